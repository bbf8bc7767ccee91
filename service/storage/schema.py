"""The version of the database's tables: what it is, and how it is brought up to date.

The two functions that need Alembic import it themselves, because it takes longer to load than most commands to run.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from service.domain.errors import DatabaseUnavailable
from service.runtime.operator_error import OperatorError
from service.storage import location
from service.storage.backend import Failure
from service.storage.database import Database
from service.storage.tables import metadata

_MIGRATIONS = Path(__file__).parent / "migrations"


class NotCurrent(OperatorError):
    """The database cannot be served as it is; the text says why, and which command helps."""


def _steps() -> list[str]:
    """Returns the number of every step, in order: the name of each module of the migrations begins with it."""
    return sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Returns the newest step."""
    return _steps()[-1]


def following() -> str:
    """Returns the step after the newest one.

    This program can use its tables too, because every step leaves what the version before it needs. So the servers of
    two versions can run side by side during an upgrade.
    """
    return f"{int(head()) + 1:04}"


def upgrade(database: Database) -> tuple[str, str]:
    """Brings the tables up to date, and makes the database's file if it has one and it does not exist.

    Returns:
        The step the database was at (empty for a new one), and the step it is at now.

    Raises:
        DatabaseUnavailable: it cannot be reached.
        DatabaseRefused: this user is not allowed to do that.
        NotCurrent: it is at a step of a newer version, or it is too old or cannot store every text.
        OSError: the file cannot be made.
    """
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415

    database.backend.create_file()
    try:
        with database.engine.begin() as connection:
            database.backend.lock_schema(connection)
            before = _revision(connection)
            _known(before)
            if unsuitable := database.backend.unsuitable(connection):
                raise NotCurrent(unsuitable)
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before, _revision(connection)
    except DBAPIError as error:
        raise _unreachable(database, error) from error


def check(database: Database) -> str:
    """Returns the step that the database is at: the newest, or the one after it.

    Raises:
        NotCurrent: it is at another step, is too old, or cannot store every text.
        DatabaseUnavailable: it cannot be reached.
        DatabaseRefused: this user is not allowed to do that.
        OSError: the system does not let this user look for the file.
    """
    remedy = "run `device-assignment db upgrade`"
    if missing := database.backend.missing_file(remedy):
        raise NotCurrent(missing)
    try:
        with database.engine.connect() as connection:
            found = _revision(connection)
            if not found and "USAGE" in database.backend.missing_privileges(connection, ()):
                # A schema that the user may not use looks empty.
                _check_privileges(database, connection)
            if unsuitable := database.backend.unsuitable(connection):
                raise NotCurrent(unsuitable)
    except DBAPIError as error:
        raise _unreachable(database, error) from error
    if not found:
        raise NotCurrent(f"the database is empty; {remedy}")
    if found not in {head(), following()}:
        _known(found)
        raise NotCurrent(
            f"the tables have version {int(found)}, but this program needs version {int(head())}; {remedy}"
        )
    return found


def check_privileges(database: Database) -> None:
    """Checks that a server may do what its statements do.

    Raises:
        NotCurrent: privileges are missing; the text names them.
        DatabaseUnavailable, DatabaseRefused: as `check` does.
    """
    try:
        with database.engine.connect() as connection:
            _check_privileges(database, connection)
    except DBAPIError as error:
        raise _unreachable(database, error) from error


def _check_privileges(database: Database, connection: Connection) -> None:
    if missing := database.backend.missing_privileges(connection, sorted(metadata.tables)):
        raise NotCurrent(missing)


def drift(database: Database) -> list[str]:
    """Lists the differences between the migrated tables and `tables.py`. There are none if the steps are complete."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # see above
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, metadata)]


def _known(found: str) -> None:
    if found and found < _steps()[0]:
        raise NotCurrent(
            "the tables were made by a development version before 1.0 and cannot be upgraded; run `device-assignment "
            "export` with that version, make a new database with `device-assignment db upgrade`, and import the file"
        )
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
