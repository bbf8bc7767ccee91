"""What commands and maintenance ask of PostgreSQL: upgrades, the planner's statistics, settings."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy
from sqlalchemy import Engine, text

from service.runtime.operator_error import OperatorError
from service.storage.backend import Sessions
from service.storage.checkup import Check
from service.storage.postgresql import privileges
from service.storage.postgresql.checks import CHECKS
from service.storage.postgresql.connection_limit import smallest_limit
from service.storage.postgresql.session_settings import USUAL

OLDEST = 15
"""The oldest version of PostgreSQL that the tests run on."""

_VERSION = text("SELECT current_setting('server_version'), CAST(current_setting('server_version_num') AS integer)")

# Any number that no other program uses for a lock of this kind in the same database.
_UPGRADE_LOCK = 0x0DE71CE

_WRITABLE = text("SELECT current_setting('transaction_read_only') = 'off'")

# In pages of usually 8 KiB. A smaller table can be read whole.
_SMALL = 10

# Goes by size, which is known at once; the counts of rows follow some time after the commit. Only an owner of a table
# may renew its statistics, and from PostgreSQL 17 on a role that has the privilege; otherwise autovacuum has to.
_OUTGROWN = text("""
SELECT relation.relname
FROM unnest(CAST(:names AS text[])) AS ours (name) JOIN pg_class AS relation ON relation.oid = to_regclass(ours.name)
WHERE pg_relation_size(relation.oid) / current_setting('block_size')::int
  > greatest(
    CAST(:small AS integer),
    CASE WHEN :committed AND relation.reltuples < relation.relpages THEN 0 ELSE 2 * relation.relpages END
  )
  AND (pg_has_role(relation.relowner, 'USAGE') OR CASE
    WHEN CAST(current_setting('server_version_num') AS integer) >= 170000
      THEN has_table_privilege(relation.oid, 'MAINTAIN')
    ELSE false
  END)
ORDER BY relation.relname
""")


class Administration:
    """See `backend.Backend`."""

    checks: Sequence[Check] = CHECKS

    def create_file(self) -> None:
        """Does nothing: an administrator creates the database."""

    def copy_to(self, file: Path) -> int:  # noqa: ARG002  # the interface's
        """Names PostgreSQL's own tool."""
        raise OperatorError(
            "db backup copies SQLite databases; use pg_dump for PostgreSQL, as docs/operate.md shows under Backup"
        )

    def missing_file(self, remedy: str) -> str:  # noqa: ARG002  # the interface's
        """Returns nothing: whether the database exists is found out by connecting."""
        return ""

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Takes an advisory lock without a limit of time, then limits the wait for tables: calls wait behind it."""
        connection.execute(text(USUAL))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))

    def unsuitable(self, connection: sqlalchemy.Connection) -> str:
        """Goes by the server's version and the database's encoding."""
        version, number = connection.execute(_VERSION).one()
        if number < OLDEST * 10_000:
            return f"the database is PostgreSQL {version}, which is too old; use version {OLDEST} or a newer one"
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        return "" if encoding == "UTF8" else f"the database's encoding is {encoding}; make one with encoding UTF8"

    def missing_privileges(self, connection: sqlalchemy.Connection, tables: Sequence[str]) -> str:
        """Asks for what the statements of the service need; `db upgrade` needs more."""
        missing = privileges.missing(connection, tables)
        return missing and privileges.sentence(missing)

    def allowed_connections(self, connection: sqlalchemy.Connection) -> int:
        """Goes by the limits of the server, the database and the role."""
        return smallest_limit(connection)[0]

    def writable(self, engine: Engine) -> bool:
        """Asks whether a transaction is read-only: on a standby, or because of a setting."""
        with engine.connect() as connection:
            return bool(connection.execute(_WRITABLE).scalar_one())

    def renew_statistics(self, session: Sessions, tables: Sequence[str], *, committed: bool) -> list[str]:
        """Runs ANALYZE on the tables that have more than doubled since it last ran.

        A prepared statement keeps its plan until there are new statistics. A plan that was made for an empty table
        reads a whole organisation where one row is needed, which is as fast there; autovacuum runs once a minute.
        """
        with session() as connection:
            parameters = {"names": tables, "small": _SMALL, "committed": committed}
            outgrown = list(connection.execute(_OUTGROWN, parameters).scalars())
            if outgrown:
                # A table that another process is analysing is skipped, unless that began before the commit.
                how = "" if committed else "(SKIP_LOCKED)"
                connection.execute(text(f"ANALYZE {how} {', '.join(outgrown)}"))
        return outgrown
