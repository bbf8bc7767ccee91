"""Settings of the database under which a crash undoes what it has confirmed."""

from service.storage.database import Database


def warnings(database: Database) -> list[str]:
    """Returns a sentence for each such setting, which says what to do.

    Raises:
        DatabaseUnavailable, Overloaded: as `Database.session` does.
    """
    return database.backend.durability_warnings(database.session)
