"""A call whose headers have come: what is known of it before a thread serves it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain.errors import ServiceError
from service.domain.keys import Principal
from service.method_table import Rpc

SMALL_BYTES = 64 * 1024
"""Messages of up to this many bytes are not counted, and their calls may use all threads."""


def _nothing(_length: int) -> None:
    """Stands for the callback of a call that nothing waits for."""


def _always() -> bool:
    """Stands for the state of a call that gRPC has not submitted yet."""
    return True


@dataclass(slots=True, eq=False)
class IncomingCall:
    """A call whose headers have come.

    Attributes:
        method: its full name, `package.Service/Method`.
        rpc: its row in the table of rpcs.
        sha256: the hash of its key; empty where the method takes none.
        principal: whose key that is, if the cache has it; it is checked again when the call is admitted.
        peer: the address of the caller's end of the connection, for a call without a principal.
        screened: whether scopes and rate have been checked.
        since: when its headers came, on `time.monotonic`'s clock.
        held_bytes: the bytes that its message or answer is counted with; before it has come, what is reserved for it.
        has_long_answer: whether its answer may be a long one.
        has_place: whether it has a place; see `Capacity`.
        error: why it is refused, if it is.
        received: is called with the message's length by the thread that has waited for the message.
        active: returns whether the caller still waits for an answer.
        has_end: whether gRPC will call back at its end; if not, it ends when its thread has served it.
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
        """Removes the references that form a cycle, which the garbage collector alone would free."""
        self.error = None
        self.received = _nothing
        self.active = _always

    @property
    def is_large(self) -> bool:
        """Whether its message is long, or its answer may be."""
        return self.has_long_answer or self.held_bytes > SMALL_BYTES

    @property
    def owner(self) -> str:
        """The organisation whose share of the server it uses; without a valid key, the connection."""
        return self.peer if self.principal is None else self.principal.organization_id


class CallHandoff:
    """Carries a call's `IncomingCall` from the interceptor to the executor that gRPC submits the call to.

    gRPC calls both, for one call after the other, on the thread that accepts the calls of an address. Neither has a
    parameter that the other one could set.
    """

    def __init__(self) -> None:
        self._incoming: IncomingCall | None = None

    def put(self, incoming: IncomingCall) -> None:
        """Sets the call that is submitted next."""
        self._incoming = incoming

    def take(self) -> IncomingCall:
        """Returns the call that is being submitted."""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            raise LookupError("gRPC has submitted a call that it has not passed to the interceptor")
        return incoming


class _Served(threading.local):
    incoming: IncomingCall | None = None


_served = _Served()


def serve(incoming: IncomingCall | None) -> None:
    """Sets the call that this thread is about to serve."""
    _served.incoming = incoming


def served() -> IncomingCall:
    """Returns the call that this thread serves."""
    if _served.incoming is None:
        raise LookupError("this thread serves no call")
    return _served.incoming
