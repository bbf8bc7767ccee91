"""Connections to PostgreSQL: the driver's settings and the pool."""

from typing import Any

import psycopg
from sqlalchemy import URL, Engine, PoolProxiedConnection, create_engine

CONNECT: dict[str, Any] = {
    "application_name": "device-assignment",
    "connect_timeout": 5,
    # Whatever the database's encoding is: with SQL_ASCII psycopg would return text as bytes, before a check of the
    # encoding can say what is wrong.
    "client_encoding": "utf8",
    # After this many milliseconds a server that has vanished counts as lost.
    "tcp_user_timeout": 15_000,
    # `libpq` prepares the statements. psycopg's own preparing would deallocate them together with its own.
    "prepare_threshold": None,
    # A prepared statement is planned once. By default PostgreSQL plans one with arrays as parameters at every call,
    # which takes longer than a small call.
    # No parallel workers: the generic plan of a lookup, made for a thousand devices, would start them for one device.
    "options": "-c plan_cache_mode=force_generic_plan -c max_parallel_workers_per_gather=0 -c timezone=UTC"
    # PostgreSQL reports a commit that a standby has not confirmed as a warning.
    " -c statement_timeout=0 -c client_min_messages=warning",
}


def engine(url: URL, connections: int) -> Engine:
    """Makes an engine. A lost connection is noticed when it is used, and the work is then run again."""
    return create_engine(
        url,
        connect_args=CONNECT,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=30,
        # The connection that was used last: its server process has its caches warm.
        pool_use_lifo=True,
        hide_parameters=True,
    )


def driver(pooled: PoolProxiedConnection) -> psycopg.Connection[Any]:
    """Returns psycopg's connection."""
    found: Any = pooled.driver_connection
    connection: psycopg.Connection[Any] = found
    return connection
