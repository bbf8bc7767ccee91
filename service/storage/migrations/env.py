"""Runs the steps on the connection that `schema.upgrade` hands over."""

from alembic import context

from service.storage.tables import metadata

# Alembic's own proxy; a batch rebuilds a table where SQLite cannot alter it.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
