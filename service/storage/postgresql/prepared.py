"""Whether statements are prepared under names, and what becomes of that behind a pooler."""

import hashlib

import psycopg
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName

from service.runtime import log
from service.storage.backend import Mode

LOST = (DuplicatePreparedStatement, InvalidSqlStatementName)
"""The errors of a statement that is not prepared where it should be, or that another connection has prepared."""


class PreparedStatements:
    """Decides for all connections of a pool whether statements are prepared.

    A pooler in transaction mode runs each transaction in another session of the database. Some poolers prepare a
    statement in each session that needs it; behind the others a statement is missing, or exists already.

    Args:
        mode: `auto` prepares until a statement is missing or exists already, and then no more.

    Attributes:
        named: whether statements are prepared under names now.
    """

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self.named = mode != "never"

    def lost(self, error: psycopg.Error) -> None:
        """Takes note of one of these errors."""
        if self.named and self._mode == "auto":
            self.named = False
            log.warning(
                "statements are no longer prepared",
                cause=str(error).partition("\n")[0],
                advice="a pooler before the database does not keep prepared statements; let it keep them, or set "
                "DEVICE_ASSIGNMENT_PREPARED_STATEMENTS to never",
            )


def name_of(sql: str) -> bytes:
    """Returns the name under which a statement is prepared.

    The name depends on the text alone. Sessions may be shared with other processes, and the same name must not mean
    another statement there.
    """
    return b"da_" + hashlib.sha256(sql.encode()).hexdigest()[:32].encode()
