"""What the applications of all routes share."""

from dataclasses import dataclass

from service.rest_gateway.call_limit import CallLimit
from service.rest_gateway.channel_pool import ChannelPool
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.key_limits import KeyLimits
from service.rest_gateway.keys import KeyChecker


@dataclass(frozen=True, slots=True)
class Resources:
    """What the applications of all routes share.

    Attributes:
        channels: the channels to the server.
        keys: rejects invalid keys.
        key_limits: limits requests and memory.
        calls: limits the unary calls in flight.
        streams: limits the open streams.
        thread: parses and writes the messages for which the event loop would need more than a few milliseconds. It is
            a single thread, so that the event loop competes with one other thread for the interpreter lock.
        max_body_bytes: the longest body of any path.
        seconds: the deadline of a request without `X-Request-Timeout`.
    """

    channels: ChannelPool
    keys: KeyChecker
    key_limits: KeyLimits
    calls: CallLimit
    streams: CallLimit
    thread: FairThread
    max_body_bytes: int
    seconds: float
