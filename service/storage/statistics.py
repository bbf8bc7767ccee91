"""What PostgreSQL's planner knows of the tables, as long as they are young and grow fast.

A prepared statement keeps its plan until there are new statistics. A plan made for an empty table reads all of an
organisation where one row is wanted, because that is as quick there; and autovacuum comes once a minute.
SQLite plans without statistics, always in the same way, and is left alone.
"""

from sqlalchemy import text

from service.storage.database import Database
from service.storage.tables import metadata

# In pages of mostly 8 KiB: what is smaller can be read whole.
_SMALL = 10

# By size, because the size is known at once: the counts of rows come some time after the commit. Only an owner may have
# the planner look; where the service is none, PostgreSQL's own maintenance must do.
_OUTGROWN = text("""
SELECT relation.relname
FROM unnest(CAST(:names AS text[])) AS ours (name) JOIN pg_class AS relation ON relation.oid = to_regclass(ours.name)
WHERE pg_relation_size(relation.oid) / current_setting('block_size')::int
  > greatest(
    CAST(:small AS integer),
    CASE WHEN :committed AND relation.reltuples < relation.relpages THEN 0 ELSE 2 * relation.relpages END
  )
  AND pg_has_role(relation.relowner, 'USAGE')
ORDER BY relation.relname
""")


def renew(database: Database, *, committed: bool = False) -> list[str]:
    """Has the planner look again at the tables that have more than doubled since it last did.

    Args:
        database: the database.
        committed: whether much has just been committed; then also at those in which it saw pages and hardly a row,
            because it looked before the commit.

    Returns:
        Their names.

    Raises:
        Conflict, DatabaseUnavailable, Overloaded: as `Database.session` does.
    """
    if database.engine.dialect.name != "postgresql":
        return []
    with database.session() as connection:
        parameters = {"names": sorted(metadata.tables), "small": _SMALL, "committed": committed}
        outgrown = list(connection.execute(_OUTGROWN, parameters).scalars())
        if outgrown:
            # Whoever else is at it does as well, unless they began before the commit.
            how = "" if committed else "(SKIP_LOCKED)"
            connection.execute(text(f"ANALYZE {how} {', '.join(outgrown)}"))
    return outgrown
