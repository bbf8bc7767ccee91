"""How many connections PostgreSQL allows."""

import sqlalchemy
from sqlalchemy import text

# -1 is no limit of a database or a role.
_LIMITS = text("""
SELECT
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
  (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)
""")
_SET_BY = ("max_connections", "the database's CONNECTION LIMIT", "the role's CONNECTION LIMIT")


def smallest_limit(connection: sqlalchemy.Connection) -> tuple[int, str]:
    """Returns how many connections server, database and role allow but to superusers, and which of them decides."""
    row = connection.execute(_LIMITS).one()
    return min((limit, name) for limit, name in zip(row, _SET_BY, strict=True) if limit >= 0)
