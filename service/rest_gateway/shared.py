"""What the applications of all routes share."""

from dataclasses import dataclass

from service.rest_gateway.dialling import Dialled
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.keys import KeyChecks
from service.rest_gateway.shares import InFlight, Shares


@dataclass(frozen=True, slots=True)
class Shared:
    """What the applications of all routes share.

    Attributes:
        dialled: the channels to the service.
        keys: refuses bad keys.
        shares: counts what requests hold.
        calls: counts the calls that wait for an answer of the service.
        streams: counts the streams that are open.
        thread: the thread that reads and writes the messages that take longer than a few milliseconds. There is one:
            the event loop waits for the interpreter behind one thread at most.
        max_body_bytes: the longest body that is read.
        seconds: the deadline of a request that names none.
    """

    dialled: Dialled
    keys: KeyChecks
    shares: Shares
    calls: InFlight
    streams: InFlight
    thread: FairThread
    max_body_bytes: int
    seconds: float
