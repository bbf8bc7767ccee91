"""Runs the steps on the connection of `schema.upgrade`."""

from alembic import context

from service.storage.tables import metadata

# In batch mode Alembic rebuilds a table that SQLite cannot alter.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
