"""Connections at hand, for those who have just ended a transaction in order and will soon begin another."""

import threading

from sqlalchemy import Engine, Pool, PoolProxiedConnection


class Connections:
    """Keeps connections between two transactions.

    SQLAlchemy's pool opens them, limits their number and closes them; but to give one back to it and to get it again
    takes 20 µs, as much as a small statement.

    Args:
        engine: whose pool they come from.
        most: how many to keep. The rest of the pool is for those who ask the engine itself.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._most = most
        # The last one comes first: its server process is warm.
        self._kept: list[tuple[PoolProxiedConnection, Pool]] = []
        # So that none is kept, and never closed, while others let go.
        self._lock = threading.Lock()

    def take(self) -> tuple[PoolProxiedConnection, Pool]:
        """Gives a connection, and the pool that it comes from.

        Raises:
            sqlalchemy.exc.TimeoutError: there is none to be had.
            The driver's error: none can be opened.
        """
        with self._lock:
            if self._kept:
                return self._kept.pop()
            pool = self._engine.pool
        return self._engine.raw_connection(), pool

    def keep(self, pooled: PoolProxiedConnection, pool: Pool) -> bool:
        """Takes a connection that is in no transaction. Returns whether it is kept; the caller gives it back if not."""
        with self._lock:
            if pool is not self._engine.pool or len(self._kept) >= self._most:
                return False
            self._kept.append((pooled, pool))
            return True

    def let_go(self) -> None:
        """Closes what is kept, and the pool, for a new one to begin."""
        with self._lock:
            self._engine.dispose()
            kept, self._kept = self._kept, []
        for pooled, _ in kept:
            pooled.invalidate()
