"""What the applications of all routes share."""

from concurrent.futures import Executor
from dataclasses import dataclass

import grpc

from service.transport.gateway.keys import KeyChecks
from service.transport.gateway.shares import Shares


@dataclass(frozen=True, slots=True)
class Shared:
    """What the applications of all routes share.

    Attributes:
        channel: to the service.
        keys: refuses bad keys.
        shares: counts what requests hold.
        executor: the thread that reads and writes the messages that take longer than a few milliseconds. There is one:
            the event loop waits for the interpreter behind one thread at most.
        max_body_bytes: the longest body that is read.
        seconds: the deadline of a request that names none.
    """

    channel: grpc.aio.Channel
    keys: KeyChecks
    shares: Shares
    executor: Executor
    max_body_bytes: int
    seconds: float
