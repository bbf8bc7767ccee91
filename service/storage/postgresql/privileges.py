"""The privileges that the statements of the service need."""

from collections.abc import Sequence

import sqlalchemy
from sqlalchemy import text

# `to_regclass` finds a table along the search path, as the statements do.
_MISSING = text("""
SELECT DISTINCT privilege, object FROM (
  SELECT 'TEMPORARY' AS privilege, 'the database ' || current_database() AS object
  WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
  UNION ALL
  SELECT 'USAGE', 'the schema ' || nspname
  FROM pg_namespace
  WHERE nspname = ANY (string_to_array(translate(current_setting('search_path'), '" ', ''), ','))
    AND NOT has_schema_privilege(oid, 'USAGE')
  UNION ALL
  SELECT wanted, ours.name
  FROM unnest(CAST(:names AS text[])) AS ours (name)
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
  WHERE NOT has_table_privilege(to_regclass(ours.name), wanted)
) AS missing
""")


def missing(connection: sqlalchemy.Connection, tables: Sequence[str]) -> str:
    """Returns what the user lacks of them on these tables, their schemas and the database; empty if it has all."""
    by_object: dict[str, list[str]] = {}
    for privilege, name in connection.execute(_MISSING, {"names": list(tables)}):
        by_object.setdefault(name, []).append(privilege)
    objects: dict[tuple[str, ...], list[str]] = {}
    for name, privileges in sorted(by_object.items()):
        objects.setdefault(tuple(sorted(privileges)), []).append(name)
    return "; ".join(f"{', '.join(privileges)} on {', '.join(names)}" for privileges, names in objects.items())


def sentence(missing: str) -> str:
    """Says what is missing, and what to do."""
    return f"the user of the database lacks {missing}; grant what docs/operate.md lists under Privileges"
