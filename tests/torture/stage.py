"""What a run needs: a database, and how much to do."""

from dataclasses import dataclass, field
from typing import Protocol

from tests.torture.faults import Fault
from tests.torture.proxy import Proxy
from tests.torture.workload import MIX


class Stage(Protocol):
    """A database for a run."""

    @property
    def workers(self) -> int:
        """How many worker processes serve it."""

    @property
    def proxy(self) -> Proxy | None:
        """What stands between it and the service, if anything does."""

    @property
    def direct_url(self) -> str:
        """Where it is, past the proxy."""

    @property
    def service_url(self) -> str:
        """Where the service finds it."""

    def faults(self) -> list[Fault]:
        """Returns the faults of the database."""

    def settle(self) -> None:
        """Waits until no transaction is under way, when the service has been stopped."""

    def close(self) -> None:
        """Ends it."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        calls: at least so many calls are made.
        faults: so many are injected, one after the other, spread over the calls.
        organizations: tenants, each with the same addresses and devices.
        clients: callers of each.
        seed: of all choices. Threads still differ from run to run.
        most_seconds: a run that takes longer ends early, with fewer calls and faults.
        mix: how often each rpc is called.
        plant: a bug to plant into the server.
        only: takes only the faults whose name has this in it.
    """

    calls: int
    faults: int
    organizations: int = 3
    clients: int = 6
    seed: int = 1
    most_seconds: float = 3_600.0
    mix: dict[str, int] = field(default_factory=lambda: dict(MIX))
    plant: str = ""
    only: str = ""


@dataclass
class Done:
    """What a run says beside its records.

    Attributes:
        seconds: how long the calls took.
        skipped: the faults that cannot be done here, with the reason.
    """

    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
