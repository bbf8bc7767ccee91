"""How transactions begin, so that no setting of the database, the role or the session changes what they do.

Nothing is set when a connection begins: a pooler may run each transaction in another session of the database, and
PgBouncer refuses settings at the start of a connection.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.storage.backend import View

QUESTION = """
SELECT
  current_setting('default_transaction_isolation') <> 'serializable'
    AND current_setting('statement_timeout') = '0' AND current_setting('lock_timeout') = '0'
    AND current_setting('client_min_messages') NOT IN ('error', 'fatal', 'panic'),
  EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
"""

# No access mode for writes: a database that an operator has turned read-only stays so.
_BEGIN = {
    View.WRITE: "BEGIN ISOLATION LEVEL READ COMMITTED",
    View.SNAPSHOT: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    View.STATEMENT: "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
}

# PostgreSQL reports a commit that a standby has not confirmed as a warning.
USUAL = (
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),"
    " set_config('client_min_messages', 'warning', true)"
)
"""The statement that sets a transaction to what is usual: no limits of time, and warnings."""

# A prepared statement is planned once. By default PostgreSQL plans one with arrays as parameters at every call, which
# takes a tenth of the time of a small write.
_PLAN_ONCE = "SET LOCAL plan_cache_mode = force_generic_plan"


class SessionSettings(NamedTuple):
    """What a session is set to.

    Attributes:
        usual: whether nothing has to be set for a transaction.
        citus: whether tables may be distributed. Citus cannot run generic plans of most statements.
    """

    usual: bool
    citus: bool

    @classmethod
    def of(cls, row: Sequence[Any]) -> "SessionSettings":
        """Reads the answer to `QUESTION`."""
        return cls(*row)

    def beginning(self, view: View, *, prepared: bool) -> list[str]:
        """Returns the commands that begin a transaction.

        Args:
            view: what the transaction reads, and whether it writes.
            prepared: whether its statements are prepared.
        """
        if view is View.STATEMENT and self.usual:
            return []
        commands = [_BEGIN[view]]
        if not self.usual:
            commands.append(USUAL)
        if view is View.WRITE and prepared and not self.citus:
            commands.append(_PLAN_ONCE)
        return commands
