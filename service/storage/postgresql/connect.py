"""Connections to PostgreSQL: the driver's settings and the pool."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Engine, PoolProxiedConnection, create_engine

from service.storage.postgresql.values import ADAPTERS, BinaryCursor


def engine(parameters: Mapping[str, Any], connections: int) -> Engine:
    """Makes an engine. A lost connection is noticed when it is used, and the work is then run again.

    Args:
        parameters: libpq's, from the URL.
        connections: the largest number of connections.
    """

    def connected() -> psycopg.Connection[Any]:
        made: psycopg.Connection[Any] = psycopg.connect(
            **parameters,
            context=ADAPTERS,
            cursor_factory=BinaryCursor,
            # `libpq` prepares the statements. A pooler may have neither psycopg's nor SQLAlchemy's.
            prepare_threshold=None,
        )
        # For transactions that SQLAlchemy begins; the default is the database's.
        made.isolation_level = IsolationLevel.READ_COMMITTED
        return made

    return create_engine(
        "postgresql+psycopg://",
        creator=connected,
        # To find out whether the database has that type would take two more statements for each engine.
        use_native_hstore=False,
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
