"""The state of the database's tables: is it today's, and how to get there.

Alembic is imported where it is needed, by the two functions that run it: it takes longer to load than most commands to
work.
"""

import os
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from service.domain.errors import DatabaseUnavailable
from service.runtime.operator_error import OperatorError
from service.storage import location
from service.storage.backend import Failure
from service.storage.database import Database
from service.storage.sqlite.backend import make_file
from service.storage.tables import metadata

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number does, as long as nobody else uses it: two upgrades at once take turns.
_UPGRADE_LOCK = 0x0DE71CE


class NotCurrent(OperatorError):
    """The database cannot be served as it is; the text says why and which command mends it."""


def _steps() -> list[str]:
    """Names every step, in order: each module of the migrations begins with its step's number."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Names the newest step."""
    return _steps()[-1]


def upgrade(database: Database) -> tuple[str, str]:
    """Brings the tables up to date, and makes an SQLite file that is not there yet.

    Returns:
        The step the database was at (empty for a new one), and the step it is at now.

    Raises:
        DatabaseUnavailable: it cannot be reached.
        DatabaseRefused: it does not let this user do that.
        NotCurrent: it is at a step of a newer version.
        OSError: the file cannot be made.
    """
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415

    if database.engine.dialect.name == "sqlite":
        make_file(location.sqlite_path(database.url))
    try:
        with database.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
            before = _revision(connection)
            _known(before)
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before, _revision(connection)
    except DBAPIError as error:
        raise _unreachable(database, error) from error


def check(database: Database) -> str:
    """Gives the step that the database is at, if that is the newest.

    Raises:
        NotCurrent: it is another, or the database stores text in a way that loses some.
        DatabaseUnavailable: it cannot be reached.
        DatabaseRefused: it does not let this user do that.
        OSError: the system does not let this user look for the file.
    """
    mend = "run `device-assignment db upgrade`"
    if database.engine.dialect.name == "sqlite" and not _is_there(path := location.sqlite_path(database.url)):
        if not Path(path).parent.is_dir():
            raise NotCurrent(f"there is no folder {Path(path).parent} for the database file; make it, then {mend}")
        raise NotCurrent(f"there is no database file {path}; {mend} to make it")
    try:
        with database.engine.connect() as connection:
            found = _revision(connection)
            if connection.dialect.name == "postgresql":
                encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
                if encoding != "UTF8":
                    raise NotCurrent(f"the database's encoding is {encoding}; make one with encoding UTF8")
    except DBAPIError as error:
        raise _unreachable(database, error) from error
    if not found:
        raise NotCurrent(f"the database is empty; {mend}")
    if found != head():
        _known(found)
        raise NotCurrent(f"the tables have version {int(found)}, but this program needs version {int(head())}; {mend}")
    return found


def drift(database: Database) -> list[str]:
    """Names the differences between the migrated tables and `tables.py`: none, if the steps are complete."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # see above
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, metadata)]


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _known(found: str) -> None:
    if found and found not in _steps():
        raise NotCurrent(
            f"the tables have version {found.lstrip('0')}, which this program does not know; run a newer program"
        )


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or ""


def _unreachable(database: Database, error: DBAPIError) -> Exception:
    failure = database.backend.failure(error)
    where = location.place(database.url)
    if failure is Failure.BUSY:
        return DatabaseUnavailable(f"the database {where} is in use by another process; try again when that has ended")
    if failure is not Failure.AWAY:
        return location.refused(database.url, error)
    return DatabaseUnavailable(f"cannot open the database {where}: {location.cause(database.url, error)}")
