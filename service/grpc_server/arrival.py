"""A call between its headers and its message: what is known of it before a thread is given to it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain.errors import ServiceError
from service.domain.keys import Principal
from service.method_table import Rpc

SMALL_BYTES = 64 * 1024
"""Messages of up to so many bytes are not counted, and their calls may use all threads."""


def _nothing(_length: int) -> None:
    """Stands for what a call has no use for."""


def _always() -> bool:
    """Stands for a question that was not asked."""
    return True


@dataclass(slots=True, eq=False)
class Arrival:
    """A call that has come in.

    Attributes:
        method: its full name, `package.Service/Method`.
        rpc: its row in the table of rpcs.
        sha256: the hash of its key; empty where the method takes none.
        principal: whose key that is, if it was good not long ago; what admits the call checks it again.
        peer: the address of the caller's end of the connection, for a call whose key is not known to be good.
        screened: whether scope and rate have been looked at.
        since: when it came in, on `time.monotonic`'s clock.
        held_bytes: the length of its message, if that is a large one; before it has come, what is set aside for it.
        has_long_answer: whether its answer may be a long one.
        has_place: whether it holds room; see `Room`.
        error: why it is refused, if it is.
        received: is called with the message's length by a thread that has waited for it.
        active: returns whether the caller still waits for an answer.
        has_end: whether its end will be noticed; if not, it ends when its thread has served it.
        served: whether its thread is done with it.
        gone: whether its answer has been sent, or its caller has gone.
    """

    method: str
    rpc: Rpc
    sha256: str = ""
    principal: Principal | None = None
    peer: str = ""
    screened: bool = False
    since: float = field(default_factory=time.monotonic)
    held_bytes: int = 0
    has_long_answer: bool = False
    has_place: bool = False
    error: ServiceError | None = None
    received: Callable[[int], object] = _nothing
    active: Callable[[], bool] = _always
    has_end: bool = False
    served: bool = False
    gone: bool = False

    def end(self) -> None:
        """Lets go of what refers back to the call: such a circle is freed by the collector alone."""
        self.error = None
        self.received = _nothing
        self.active = _always

    @property
    def is_large(self) -> bool:
        """Whether its message is a long one, or its answer may be."""
        return self.has_long_answer or self.held_bytes > SMALL_BYTES

    @property
    def owner(self) -> str:
        """The organisation whose share of the server it uses; without a good key, the connection."""
        return self.peer if self.principal is None else self.principal.organization_id


class Arriving:
    """Carries a call's `Arrival` from the interceptor to the executor that gRPC submits the call to.

    gRPC does both for one call after the other on the thread that takes in an address's calls, and
    neither knows of the other.
    """

    def __init__(self) -> None:
        self._arrival: Arrival | None = None

    def put(self, arrival: Arrival) -> None:
        """Names the call that is submitted next."""
        self._arrival = arrival

    def take(self) -> Arrival:
        """Returns the call that is being submitted."""
        arrival, self._arrival = self._arrival, None
        if arrival is None:
            raise LookupError("gRPC submits a call that it has not shown to the interceptor")
        return arrival


class _Served(threading.local):
    arrival: Arrival | None = None


_served = _Served()


def serve(arrival: Arrival | None) -> None:
    """Names the call that this thread is about to serve."""
    _served.arrival = arrival


def served() -> Arrival:
    """Returns the call that this thread serves."""
    if _served.arrival is None:
        raise LookupError("this thread serves no call")
    return _served.arrival
