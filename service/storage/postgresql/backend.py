"""PostgreSQL: row locks, its own clock, and one statement for what belongs together."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, bindparam, create_engine, text
from sqlalchemy.dialects.postgresql import psycopg as sqlalchemy_psycopg

from service.domain.cancellation import Cancellation
from service.storage.backend import ChangeSet, Failure, View
from service.storage.connection import Connection
from service.storage.postgresql.libpq import Session, Unconfirmed
from service.storage.statement import Compiled, Statement
from service.storage.types import TextArray

_CONNECT = {
    "application_name": "device-assignment",
    "connect_timeout": 5,
    # Whatever the database says: with SQL_ASCII, text would come as bytes, and nobody could be told what is wrong.
    "client_encoding": "utf8",
    # A server that vanished without a word is noticed within this many milliseconds.
    "tcp_user_timeout": 15_000,
    # What is worth preparing is prepared in `libpq`. psycopg would throw that away together with its own.
    "prepare_threshold": None,
    # What is prepared is planned once: with arrays as parameters PostgreSQL would plan it anew at every call, which
    # costs more than small calls take.
    # No parallel workers: the generic plan of a look at one device would start them for a thousand's sake.
    "options": "-c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c timezone=UTC"
    # A commit that is not confirmed is told of in a warning.
    " -c statement_timeout=0 -c client_min_messages=warning",
}

_RETRY = {"40001", "40P01"}  # serialization failure, deadlock
_BUSY = {"55P03"}  # lock not available
_STOPPED = {"57014"}  # query cancelled
_AWAY_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator, system
_AWAY = {"25006", "28000", "28P01", "3D000"}  # a replica, no access, no such database

_END_ASSIGNMENTS = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_id = :organization_id AND customer_id = :customer_id
    AND device_identifier = ANY (:identifiers)
  RETURNING device_identifier, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
    device_identifier, 2, assigned_revision
  FROM ended
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray()))
)

# The customer is locked by then: what is read of them here is what will be when the transaction ends.
_LOCK_AND_UNASSIGN = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_id = :organization_id
    AND customer_id = (SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
    AND device_identifier = ANY (:identifiers)
  RETURNING customer_id, device_identifier, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id,
    (SELECT revision + 1 FROM customer WHERE organization_id = :organization_id AND email_key = :email_key),
    device_identifier, 2, assigned_revision
  FROM ended
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray()))
)

_BEGIN_ASSIGNMENTS = Statement(
    text("""
WITH begun AS (
  INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), identifier, CAST(:revision AS bigint)
  FROM unnest(:identifiers) AS identifier
  ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
  RETURNING device_identifier
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
    device_identifier, 1, CAST(:revision AS bigint)
  FROM begun
)
SELECT device_identifier FROM begun
""").bindparams(bindparam("identifiers", type_=TextArray()))
)

_SHARE_DEVICE = Statement(
    text("""
WITH begun AS (
  INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id, CAST(:identifier AS text), revision
  FROM unnest(CAST(:customer_ids AS text[]), CAST(:revisions AS bigint[])) AS new (customer_id, revision)
  ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
  RETURNING customer_id, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id, assigned_revision, CAST(:identifier AS text), 1,
    assigned_revision
  FROM begun
)
SELECT customer_id FROM begun
""")
)

_END_ALL = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
  RETURNING device_identifier, assigned_revision
)
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
  device_identifier, 2, assigned_revision
FROM ended
""")
)

_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT CAST(:organization_id AS text), new.identifier, new.id, CAST(:type AS text), clock_timestamp()
FROM unnest(:identifiers, :ids) AS new (identifier, id)
ON CONFLICT (organization_id, identifier) DO NOTHING
""").bindparams(bindparam("identifiers", type_=TextArray()), bindparam("ids", type_=TextArray()))
)

_RECORD_OPERATION = Statement(
    text("""
WITH delta AS (
  SELECT * FROM unnest(CAST(:customer_ids AS text[]), CAST(:deltas AS integer[])) AS d (customer_id, value)
), moment AS (
  SELECT greatest(
    clock_timestamp() + CAST(:lead AS bigint) * interval '1 microsecond',
    max(changed_at) + interval '1 microsecond'
  ) AS occurred_at
  FROM customer
  WHERE organization_id = :organization_id AND id = ANY (CAST(:customer_ids AS text[]))
), recorded AS (
  INSERT INTO operation
    (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count,
     reverts_operation_id)
  SELECT CAST(:organization_id AS text), CAST(:id AS text), CAST(:kind AS text), occurred_at,
    CAST(:key_id AS text), CAST(:note AS text), CAST(:assigned_count AS integer),
    CAST(:unassigned_count AS integer), CAST(:reverts_operation_id AS text)
  FROM moment
), moved AS (
  UPDATE customer
  SET revision = revision + 1, changed_at = moment.occurred_at, device_count = device_count + delta.value
  FROM delta, moment
  WHERE organization_id = :organization_id AND id = delta.customer_id
  RETURNING id, revision, device_count, changed_at
)
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT CAST(:organization_id AS text), id, revision, CAST(:id AS text), changed_at, device_count FROM moved
""")
)

# Customer by customer, and of each no more than the page needs: an operation may have changed a million devices of one.
_OPERATION_CHANGES = Statement(
    text("""
SELECT made.customer_id, listed.device_identifier, listed.change
FROM (
  SELECT customer_id, revision FROM customer_revision
  WHERE organization_id = :organization_id AND operation_id = :operation_id AND customer_id >= :after_customer
  ORDER BY customer_id
) AS made
CROSS JOIN LATERAL (
  SELECT device_identifier, change FROM assignment_change
  WHERE organization_id = :organization_id AND customer_id = made.customer_id AND revision = made.revision
    AND device_identifier > CASE made.customer_id WHEN :after_customer THEN :after_device ELSE '' END
  ORDER BY device_identifier LIMIT :limit
) AS listed
ORDER BY made.customer_id, listed.device_identifier LIMIT :limit
""")
)

_BEGIN = {View.WRITE: "BEGIN", View.SNAPSHOT: "BEGIN ISOLATION LEVEL REPEATABLE READ", View.STATEMENT: None}


_WRITABLE = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"


class PostgreSQL:
    """See `dialects.Backend`."""

    lock_and_unassign = (_LOCK_AND_UNASSIGN,)

    sqlalchemy_dialect: sqlalchemy.Dialect = sqlalchemy_psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's

    def engine(self, url: str, connections: int) -> Engine:
        """Makes a pool; a connection that went stale is noticed when it is used, and the work is run again."""
        return create_engine(
            url,
            connect_args=_CONNECT,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=30,
            # The one used last: its server process has everything at hand.
            pool_use_lifo=True,
            hide_parameters=True,
        )

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:  # noqa: ARG002  # the interface's
        """Writers wait for each other at rows only."""
        return nullcontext()

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:  # noqa: ARG002  # the interface's
        """Begins a transaction with its first statement, unless that is to be one by itself."""
        Session.of(pooled).begin(_BEGIN[view])

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits together with what waits to be sent."""
        Session.of(pooled).commit()

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Sends what waits."""
        Session.of(pooled).flush()

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Goes past psycopg's cursors."""
        return Session.of(pooled).rows(compiled.sql, [bound[name] for name in compiled.names])

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Sends all at once."""
        return Session.of(pooled).batch(
            (compiled.sql, [bound[name] for name in compiled.names]) for compiled, bound in statements
        )

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Goes past psycopg's cursors."""
        return Session.of(pooled).run(compiled.sql, [bound[name] for name in compiled.names]).command_tuples or 0

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Has a statement wait for the next one, to save a round trip."""
        Session.of(pooled).defer(compiled.sql, [bound[name] for name in compiled.names])

    def writable(self, engine: Engine) -> bool:
        """Asks for what makes transactions read-only: a standby, and a setting."""
        with engine.connect() as connection:
            return bool(connection.execute(text(_WRITABLE)).scalar_one())

    def broken(self, pooled: PoolProxiedConnection) -> bool:
        """Asks libpq."""
        return _driver(pooled).closed

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Asks the server to cancel, over a connection of its own."""
        _driver(pooled).cancel_safe(timeout=5.0)

    def failure(self, error: Exception) -> Failure:
        """Goes by the SQLSTATE; an operational error without one is a connection that broke or never was."""
        cause = getattr(error, "orig", error)
        state = getattr(cause, "sqlstate", None)
        if state in _RETRY:
            return Failure.RETRY
        if state in _BUSY:
            return Failure.BUSY
        if state in _STOPPED:
            return Failure.STOPPED
        if state in _AWAY or (state or "")[:2] in _AWAY_CLASSES:
            return Failure.AWAY
        lost = state is None and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        invalidated = getattr(error, "connection_invalidated", False)
        return Failure.AWAY if lost or invalidated else Failure.DEFECT

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:
        """With a warning, or with a connection that broke; any other error undoes the transaction."""
        return isinstance(error, Unconfirmed) or self.broken(pooled)

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Deletes and logs in one statement."""
        return [row[0] for row in connection.rows(_END_ASSIGNMENTS, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts and logs in one statement."""
        return [row[0] for row in connection.rows(_BEGIN_ASSIGNMENTS, change.parameters)]

    def share_device(
        self, connection: Connection, organization_id: str, identifier: str, revisions: Mapping[str, int]
    ) -> list[str]:
        """Inserts and logs in one statement."""
        parameters = {
            "organization_id": organization_id,
            "identifier": identifier,
            "customer_ids": list(revisions),
            "revisions": list(revisions.values()),
        }
        return [row[0] for row in connection.rows(_SHARE_DEVICE, parameters)]

    def end_all_assignments(self, connection: Connection, organization_id: str, customer_id: str, revision: int) -> int:
        """Deletes and logs in one statement; no row comes here."""
        parameters = {"organization_id": organization_id, "customer_id": customer_id, "revision": revision}
        return connection.count(_END_ALL, parameters)

    def create_devices(
        self, connection: Connection, organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement, in the order of the identifiers: two of these cannot deadlock then."""
        identifiers = sorted(ids)
        parameters = {
            "organization_id": organization_id,
            "type": device_type,
            "identifiers": identifiers,
            "ids": [ids[identifier] for identifier in identifiers],
        }
        connection.count(_CREATE_DEVICES, parameters)

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int], *, lead: timedelta
    ) -> None:
        """Reads the clock and writes all of it in one statement, sent with the commit."""
        parameters = {
            **operation,
            "customer_ids": list(deltas),
            "deltas": list(deltas.values()),
            "lead": lead // timedelta(microseconds=1),
        }
        connection.defer(_RECORD_OPERATION, parameters)

    def operation_changes(self, connection: Connection, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Joins sideways."""
        return connection.rows(_OPERATION_CHANGES, parameters)


def _driver(pooled: PoolProxiedConnection) -> psycopg.Connection[Any]:
    driver: Any = pooled.driver_connection
    found: psycopg.Connection[Any] = driver
    return found
