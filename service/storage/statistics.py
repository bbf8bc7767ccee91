"""Renews what the database's planner knows of the tables, which grow fast while they are young."""

from service.storage.database import Database
from service.storage.tables import metadata


def renew(database: Database, *, committed: bool = False) -> list[str]:
    """Renews the planner's statistics of the tables that have more than doubled since that was last done.

    Args:
        database: the database.
        committed: whether much has just been committed. Then it also renews the statistics of tables in which the
            planner saw pages and hardly a row, because it looked before the commit.

    Returns:
        The names of these tables.

    Raises:
        Conflict, DatabaseUnavailable, Overloaded: as `Database.session` does.
    """
    return database.backend.renew_statistics(database.session, sorted(metadata.tables), committed=committed)
