"""A socket that is registered with a `PacedSelector`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from selectors import SelectorKey


class Selector(Protocol):
    """What a socket needs of its selector."""

    def set_authenticated(self, socket: "PacedSocket", *, authenticated: bool) -> None:
        """Switches between immediate and paced events."""

    def queue_callback(self, socket: "PacedSocket", callback: Callable[[], object]) -> None:
        """Queues a callback as an event of the socket."""

    def remove(self, socket: "PacedSocket") -> None:
        """Removes the socket."""


class PacedSocket:
    """The state of one socket.

    Attributes:
        fd: the file descriptor.
        is_listener: whether it accepts connections.
        authenticated: whether the loop gets its events at once, because of a valid key.
        owner: the organisation of that key.
        last_served: when the loop last got an event of it.
        spent: how much time its events have taken since the last valid key.
        key: what the loop has registered for it, while its events are paced.
        ready_mask: its events that wait in the queue; 0 for none.
        has_callback: whether a callback of it waits in the queue.
    """

    __slots__ = (
        "_selector",
        "authenticated",
        "fd",
        "has_callback",
        "is_listener",
        "key",
        "last_served",
        "owner",
        "ready_mask",
        "spent",
    )

    def __init__(self, selector: Selector, fd: int, *, is_listener: bool = False) -> None:
        self._selector = selector
        self.fd = fd
        self.is_listener = is_listener
        self.authenticated = False
        self.owner = b""
        self.last_served = 0.0
        self.spent = 0.0
        self.key: SelectorKey | None = None
        self.ready_mask = 0
        self.has_callback = False

    @property
    def is_queued(self) -> bool:
        """Whether the queue has an event or a callback of the socket."""
        return self.has_callback or self.ready_mask != 0

    def set_authenticated(self, *, authenticated: bool, owner: bytes = b"") -> None:
        """Switches between immediate and paced events.

        A valid key refunds the time of the paced events before it, so that clients who open a connection for each
        request are not slowed down.
        """
        self.owner = owner
        if authenticated != self.authenticated:
            self._selector.set_authenticated(self, authenticated=authenticated)
        self.spent = 0.0

    def queue_callback(self, callback: Callable[[], object]) -> None:
        """Queues a callback as an event of the socket. The callback must only schedule work in the loop."""
        self._selector.queue_callback(self, callback)

    def remove(self) -> None:
        """Removes the socket from the selector, unless its file descriptor has been reused."""
        self._selector.remove(self)
