"""Faults of the service's process, of connections and of the clock. Each is begun, lasts a while and is ended."""

import os
import random
import signal
from dataclasses import dataclass

from tests.torture.clock import MISSING, Clock
from tests.torture.proxy import Mode, Proxy
from tests.torture.service_process import ServiceProcess


class Fault:
    """Something that goes wrong.

    Attributes:
        name: what the report calls it.
        seconds: how long it lasts, at least and at most.
    """

    name = ""
    seconds = (0.0, 0.0)

    def missing(self) -> str:
        """Says why it cannot be done here; nothing if it can."""
        return ""

    def begin(self) -> dict[str, object]:
        """Begins it. Returns what the record should say of it."""
        raise NotImplementedError

    def end(self) -> None:
        """Ends it."""


@dataclass
class KillServer(Fault):
    """Ends the server with SIGKILL, or its supervisor alone, whose workers finish beside the new ones then."""

    service: ServiceProcess
    chance: random.Random
    name = "kill -9 of the server"

    def begin(self) -> dict[str, object]:
        """Kills; the server is started again by itself."""
        group = self.chance.random() < 0.7
        self.service.end(signal.SIGKILL, group=group)
        return {"all processes": group}


@dataclass
class KillWorker(Fault):
    """Ends one worker with SIGKILL; the service's own supervisor starts it again."""

    service: ServiceProcess
    chance: random.Random
    name = "kill -9 of a worker"

    def begin(self) -> dict[str, object]:
        """Kills one."""
        workers = self.service.workers()
        if workers:
            os.kill(self.chance.choice(workers), signal.SIGKILL)
        return {"workers": len(workers)}


@dataclass
class RestartServer(Fault):
    """Stops the server in order; it is started again."""

    service: ServiceProcess
    name = "orderly restart of the server"

    def begin(self) -> dict[str, object]:
        """Sends SIGTERM."""
        self.service.end(signal.SIGTERM)
        return {}


@dataclass
class CutConnections(Fault):
    """Resets all connections, once."""

    proxy: Proxy
    where: str

    def __post_init__(self) -> None:
        """Names it."""
        self.name = f"connections cut {self.where}"

    def begin(self) -> dict[str, object]:
        """Resets them."""
        return {"connections": self.proxy.cut()}


@dataclass
class Misbehave(Fault):
    """Has a proxy misbehave for a while."""

    proxy: Proxy
    where: str
    mode: Mode
    what: str
    seconds = (0.5, 5.0)

    def __post_init__(self) -> None:
        """Names it."""
        self.name = f"{self.what} {self.where}"

    def begin(self) -> dict[str, object]:
        """Begins it; where connections are refused, those that are open are reset first."""
        self.proxy.set(self.mode)
        if self.mode is Mode.REFUSE:
            self.proxy.cut()
        return {}

    def end(self) -> None:
        """Forwards again; connections that have lost bytes are reset."""
        self.proxy.set(Mode.FORWARD)


def connection_faults(proxy: Proxy, where: str) -> list[Fault]:
    """Returns all the faults of a proxy's connections."""
    return [
        CutConnections(proxy, where),
        Misbehave(proxy, where, Mode.REFUSE, "connections refused"),
        Misbehave(proxy, where, Mode.HANG, "connections hung"),
        Misbehave(proxy, where, Mode.LOSE_REQUESTS, "connections half-open, requests lost,"),
        Misbehave(proxy, where, Mode.LOSE_ANSWERS, "connections half-open, answers lost,"),
    ]


@dataclass
class SetClockBack(Fault):
    """Sets the database's clock back for a while, and then right again."""

    clock: Clock
    chance: random.Random
    needs_library: bool
    name = "clock set back"
    seconds = (2.5, 6.0)

    def missing(self) -> str:
        """PostgreSQL's clock needs a library."""
        return MISSING if self.needs_library and not self.clock.installed else ""

    def begin(self) -> dict[str, object]:
        """Sets it back by up to a minute."""
        back = self.chance.randint(3, 60)
        self.clock.set_back(back)
        return {"unstable_seconds": back}

    def end(self) -> None:
        """Sets it right."""
        self.clock.set_back(0)
