"""A PostgreSQL primary with a synchronous standby for a run, behind a proxy, and its faults."""

import random
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.torture.clock import Clock
from tests.torture.cluster import Cluster
from tests.torture.faults import Fault
from tests.torture.node import Node
from tests.torture.proxy import Proxy

_NAME = "torture"
_SETTLE_SECONDS = 30.0
# Longer than callers wait: what they give up must stay unseen.
_BEHIND_SECONDS = 7.0


class PostgresStage:
    """A database on two servers.

    Args:
        clock: of the servers.
        seed: of the faults' choices.
        followed: whether it has a standby; the faults need one.
    """

    workers = 2

    def __init__(self, clock: Clock, seed: int, *, followed: bool = True) -> None:
        self.proxy = Proxy()
        self._chance = random.Random(seed)  # noqa: S311  # no secret
        self.cluster = Cluster(clock.preloaded, followed=followed)
        self.cluster.primary.run(f"CREATE DATABASE {_NAME}")
        self.proxy.target = self.cluster.primary.port
        self.service_url = self._url(self.proxy.port)

    @property
    def direct_url(self) -> str:
        """The database past the proxy."""
        return self._url(self.cluster.primary.port)

    def _url(self, port: int) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{_NAME}"

    def settle(self) -> None:
        """Ends the sessions that the service has left behind."""
        question = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{_NAME}'"
        until = time.monotonic() + _SETTLE_SECONDS
        while self.cluster.primary.value(question):
            if time.monotonic() > until:
                raise RuntimeError("sessions stay open")
            time.sleep(0.1)

    def faults(self) -> list[Fault]:
        """Returns the faults of the database."""
        return [
            KillPostgres(self, self._chance),
            HoldCustomer(self, self._chance),
            ReadOnly(self),
            PauseStandby(self),
            Promote(self, behind=False),
            Promote(self, behind=True),
        ]

    def close(self) -> None:
        """Ends the servers."""
        self.proxy.close()
        self.cluster.close()


@dataclass
class KillPostgres(Fault):
    """Ends PostgreSQL, or one of its sessions, with SIGKILL, and starts it again."""

    stage: PostgresStage
    chance: random.Random
    name = "kill -9 of PostgreSQL"
    seconds = (0.0, 2.0)

    def begin(self) -> dict[str, object]:
        """Kills."""
        self._node: Node = self.stage.cluster.primary
        self._whole = self.chance.random() < 0.7
        if self._whole:
            self._node.kill()
        else:
            self._node.kill_backend()
        return {"whole": self._whole}

    def end(self) -> None:
        """Starts it again, and waits until the standby follows again."""
        if self._whole:
            self._node.start()
        _until_it_answers(self._node)
        self.stage.cluster.wait_for_standby()


def _until_it_answers(node: Node) -> None:
    """Waits for the end of PostgreSQL's own recovery."""
    until = time.monotonic() + _SETTLE_SECONDS
    while True:
        try:
            node.value("SELECT 1")
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


@dataclass
class HoldCustomer(Fault):
    """Has another session lock the rows of customers, sometimes for longer than callers wait."""

    stage: PostgresStage
    chance: random.Random
    name = "customers' rows locked by another session"
    seconds = (1.0, 8.0)

    def begin(self) -> dict[str, object]:
        """Locks every second customer, or one."""
        self._holder: psycopg.Connection[Any] = self.stage.cluster.primary.connect(_NAME)
        self._holder.execute("BEGIN")
        share = self.chance.choice((0.5, 0.1))
        found = self._holder.execute("SELECT id FROM customer WHERE random() < %s ORDER BY id", (share,)).fetchall()
        for (customer_id,) in found:
            self._holder.execute("SELECT 1 FROM customer WHERE id = %s FOR UPDATE", (customer_id,))
        return {"customers": len(found)}

    def end(self) -> None:
        """Lets them go."""
        self._holder.close()


@dataclass
class ReadOnly(Fault):
    """Has the primary refuse to write."""

    stage: PostgresStage
    name = "primary read-only"
    seconds = (1.0, 5.0)

    def begin(self) -> dict[str, object]:
        """Sets it for all sessions."""
        self._set("on")
        return {}

    def end(self) -> None:
        """Has it write again."""
        self._set("off")

    def _set(self, value: str) -> None:
        self.stage.cluster.primary.run(
            f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"
        )


@dataclass
class PauseStandby(Fault):
    """Stops the standby where it is: commits wait for it, until it goes on."""

    stage: PostgresStage
    name = "synchronous standby hung"
    seconds = (1.0, 6.0)

    def begin(self) -> dict[str, object]:
        """Stops it. What waits becomes visible only afterwards, under the time that it was made at."""
        self._pause()
        return {"unstable_seconds": 1}

    def end(self) -> None:
        """Lets it go on."""
        standby = self.stage.cluster.standby
        assert standby is not None
        standby.resume()

    def _pause(self) -> None:
        standby = self.stage.cluster.standby
        assert standby is not None
        standby.pause()


@dataclass
class Promote(PauseStandby):
    """Loses the primary for good, and has the synchronous standby take its place.

    Attributes:
        behind: whether the standby has been hanging for a while when the primary is lost: then there are calls whose
            commits wait, which nobody may have seen.
    """

    behind: bool
    seconds = (0.0, 0.0)

    def __post_init__(self) -> None:
        """Names it."""
        self.name = f"synchronous standby promoted, {'behind by unacknowledged calls' if self.behind else 'caught up'}"

    def begin(self) -> dict[str, object]:
        """Kills the primary, promotes the standby and points the service at it."""
        cluster = self.stage.cluster
        cluster.wait_for_standby()
        if self.behind:
            self._pause()
            time.sleep(_BEHIND_SECONDS)
        self.stage.proxy.target = 0
        cluster.promote(behind=self.behind)
        self.stage.proxy.target = cluster.primary.port
        return {"unstable_seconds": _BEHIND_SECONDS + 1} if self.behind else {}

    def end(self) -> None:
        """Makes a new standby."""
        self.stage.cluster.follow()
