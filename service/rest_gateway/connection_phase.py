"""The phases of an HTTP connection."""

from enum import Enum, auto

import h11
from uvicorn.protocols.http.h11_impl import RequestResponseCycle


class Phase(Enum):
    """What a connection does."""

    NEW = auto()
    SERVING = auto()
    """A request is in progress."""
    QUEUED = auto()
    """A pipelined request waits in the queue of paced events."""
    IDLE = auto()
    """It waits for a request."""
    PARTIAL = auto()
    """It waits for the rest of a head, or of a body that was answered before it arrived."""
    CLOSING = auto()


def current_phase(connection: h11.Connection, cycle: RequestResponseCycle | None, *, queued: bool) -> Phase:
    """Returns the phase of an open connection.

    Args:
        connection: the parser.
        cycle: the last request and its response.
        queued: whether a pipelined request waits in the queue.
    """
    if cycle is not None and not cycle.response_complete:
        return Phase.SERVING
    if queued:
        return Phase.QUEUED
    if connection.their_state is h11.IDLE and not connection.trailing_data[0]:
        return Phase.IDLE
    return Phase.PARTIAL
