"""Wires what takes calls in: the executors of each kind of call, and what admits calls to them."""

from dataclasses import dataclass

from service.domain.errors import ServiceError
from service.grpc_server.admission import Admission
from service.grpc_server.arrival import Arriving
from service.grpc_server.authentication import Authenticator, RateLimit
from service.grpc_server.executors import EvictingExecutor
from service.grpc_server.identification import Identification
from service.grpc_server.interceptor import Interceptor
from service.grpc_server.open_services import OpenServices
from service.grpc_server.reaper import Reaper
from service.grpc_server.receiver import Receiver
from service.grpc_server.refusals import Pace, Refusals
from service.grpc_server.room import Room

_REFLECTION_STREAMS = 16
_OPEN_THREADS = 2
_OPEN_CALLS = 1_000
_OPEN_BURST = 500
_OPEN_PER_SECOND = 500
_OPEN_BYTES = 64 * 1024 * 1024
# A call whose message has not come by then gives way to one that has just come.
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes on.

    Attributes:
        threads: calls served at once.
        waiting: calls that may wait for a thread; more are refused.
        max_answer_bytes: where lists in answers stop.
        rate_limit: calls a second for each key; 0 for no limit.
        streams: streams of operations at once.
        stream_seconds: the age at which such a stream ends.
        connections: how many callers may be connected at once.
        message_seconds: how long a call's message may be under way.
        receive_bytes: how long the messages of all calls that are received, wait or run may be together.
        receive_ahead: whether messages are received before a thread is given to the call.
    """

    threads: int
    waiting: int
    max_answer_bytes: int
    rate_limit: float
    streams: int
    stream_seconds: float
    connections: int
    message_seconds: float
    receive_bytes: int
    receive_ahead: bool


class Reception:
    """Takes calls in.

    Args:
        authenticator: checks keys.
        limits: what may come in.

    Attributes:
        calls: runs ordinary calls.
        streams: runs streams of operations.
        open_calls: runs the calls of health.
        interceptor: what every call passes.
    """

    def __init__(self, authenticator: Authenticator, limits: Limits) -> None:
        ahead, arriving = limits.receive_ahead, Arriving()
        self._refusals = Refusals()
        self._identification = Identification(authenticator)

        def receiver(name: str, threads: int, places: int) -> Receiver:
            return Receiver(
                name,
                threads,
                Room(places, limits.receive_bytes, _PATIENCE_SECONDS),
                arriving=arriving,
                refusals=self._refusals,
                identify=self._identification.find,
                ahead=ahead,
            )

        self.calls = receiver("call", limits.threads, limits.threads + limits.waiting)
        self.streams = receiver("stream", limits.streams, limits.streams)
        self._open_pace = Pace(_OPEN_BURST, _OPEN_PER_SECOND)
        self.open_calls = Receiver(
            "health",
            2 * _OPEN_THREADS,  # one connection may have half
            Room(_OPEN_CALLS, _OPEN_BYTES, 0.0),
            arriving=arriving,
            refusals=self._refusals,
            pace=self._open_pace,
            ahead=ahead,
        )
        self._reflections = EvictingExecutor("reflection", _REFLECTION_STREAMS)
        self._admission = Admission(authenticator, RateLimit(limits.rate_limit))
        receivers = (self.calls, self.streams, self.open_calls)
        self._reaper = Reaper(receivers, self._reflections, self._admission, limits.message_seconds)
        self.interceptor = Interceptor(
            self._admission,
            arriving,
            calls=self.calls,
            streams=self.streams,
            open_services=OpenServices(self.open_calls, self._reflections, ahead=ahead),
            refusals=self._refusals,
        )

    @property
    def idle(self) -> bool:
        """Whether every call that came in, but for streams, has had its answer sent."""
        waiting = self.calls.pending or self._identification.pending or self._refusals.pending
        return not waiting and self._admission.idle

    def start(self) -> None:
        """Begins to look for calls whose message does not come."""
        self._reaper.start()

    def hold(self) -> None:
        """Keeps the calls that come from now on, without an answer."""
        self._refusals.pace.stop()
        self._open_pace.stop()
        self.calls.hold()
        self.streams.hold()

    def refuse_held(self, error: ServiceError) -> None:
        """Refuses the calls that were held."""
        self.calls.refuse_held(error)
        self.streams.refuse_held(error)

    def refuse_late(self, error: ServiceError) -> None:
        """Refuses the calls whose message has not come for a while."""
        self._identification.refuse(error)
        for arrival in self.calls.idle(_PATIENCE_SECONDS, answered=False):
            self.calls.fail(arrival, error)

    def close(self) -> None:
        """Lets the threads end."""
        self._reaper.stop()
        for executor in (self.calls, self.streams, self.open_calls, self._reflections, self._refusals):
            executor.close()
        self._identification.close()
        self._admission.close()
