"""Settings of PostgreSQL under which a crash undoes what it has confirmed."""

from sqlalchemy import text

from service.storage.database import Database

_DANGERS = {
    "synchronous_commit": "after a crash of the database, calls that were answered can be undone",
    "fsync": "after a crash of the machine, the database can be damaged",
}


def warnings(database: Database) -> list[str]:
    """Names each of them that is off, as this service's connections see it, and says what to do.

    On SQLite there is none: each connection sets how it syncs for itself.

    Raises:
        DatabaseUnavailable, Overloaded: as `Database.session` does.
    """
    if database.engine.dialect.name != "postgresql":
        return []
    with database.session(write=False) as connection:
        return [
            f"{name} is off: {danger}; set {name} to on"
            for name, danger in _DANGERS.items()
            if connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one() == "off"
        ]
