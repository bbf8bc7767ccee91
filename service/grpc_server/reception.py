"""Builds what a call passes before it is served: interceptor, admission, and the executors of each kind of call."""

from dataclasses import dataclass

from service.domain.errors import ServiceError
from service.grpc_server.admission import Admission
from service.grpc_server.authentication import Authenticator, RateLimit
from service.grpc_server.capacity import Capacity
from service.grpc_server.evicting_executor import EvictingExecutor
from service.grpc_server.identification import Identification
from service.grpc_server.incoming_call import CallHandoff
from service.grpc_server.interceptor import Interceptor
from service.grpc_server.message_receiver import MessageReceiver
from service.grpc_server.open_services import OpenServices
from service.grpc_server.reaper import Reaper
from service.grpc_server.refusals import Pace, Refusals
from service.metrics import numbers

_REFLECTION_STREAMS = 16
_OPEN_THREADS = 2
_OPEN_CALLS = 1_000
_OPEN_BURST = 500
_OPEN_PER_SECOND = 500
_OPEN_BYTES = 64 * 1024 * 1024
_CALLS = numbers.gauge(
    "calls_open",
    "Calls that a thread serves, that wait for their key, message, thread or caller, or that wait to be refused.",
    state=("running", "waiting", "refused"),
)
# A call whose message has not come by then may be dropped for a new call.
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the server.

    Attributes:
        threads: calls served at once.
        waiting: calls that may wait for a thread; further ones are refused.
        max_answer_bytes: where lists in answers end.
        rate_limit: calls a second for each key; 0 for no limit.
        streams: streams of operations open at once.
        stream_seconds: the age at which such a stream ends.
        connections: connections open at once.
        connection_age_seconds: the age at which a connection takes no more calls; 0 for no limit.
        message_seconds: how long the transfer of a call's message may take.
        receive_bytes: how long the messages of all calls may be together that are being received, wait or run.
        receive_ahead: whether a message is received before a thread serves the call.
    """

    threads: int
    waiting: int
    max_answer_bytes: int
    rate_limit: float
    streams: int
    stream_seconds: float
    connections: int
    connection_age_seconds: float
    message_seconds: float
    receive_bytes: int
    receive_ahead: bool


class Reception:
    """Accepts, admits and refuses calls.

    Args:
        authenticator: checks keys.
        limits: the limits of the server.

    Attributes:
        calls: runs ordinary calls.
        streams: runs streams of operations.
        open_calls: runs the calls of health.
        interceptor: what every call passes.
    """

    def __init__(self, authenticator: Authenticator, limits: Limits) -> None:
        ahead, handoff = limits.receive_ahead, CallHandoff()
        self._refusals = Refusals()
        self._identification = Identification(authenticator)

        def receiver(name: str, threads: int, places: int) -> MessageReceiver:
            return MessageReceiver(
                name,
                threads,
                Capacity(places, limits.receive_bytes, _PATIENCE_SECONDS),
                handoff=handoff,
                refusals=self._refusals,
                identify=self._identification.find,
                ahead=ahead,
            )

        self.calls = receiver("call", limits.threads, limits.threads + limits.waiting)
        self.streams = receiver("stream", limits.streams, limits.streams)
        self._open_pace = Pace(_OPEN_BURST, _OPEN_PER_SECOND)
        self.open_calls = MessageReceiver(
            "health",
            2 * _OPEN_THREADS,  # one connection may have half of them
            Capacity(_OPEN_CALLS, _OPEN_BYTES, 0.0),
            handoff=handoff,
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
            handoff,
            calls=self.calls,
            streams=self.streams,
            open_services=OpenServices(self.open_calls, self._reflections, ahead=ahead),
            refusals=self._refusals,
        )

    @property
    def idle(self) -> bool:
        """Whether the answers of all calls but streams have been sent."""
        waiting = self.calls.pending or self._identification.pending or self._refusals.pending
        return not waiting and self._admission.idle

    def write_gauges(self) -> None:
        """Writes how many calls there are, for Prometheus."""
        running = self.calls.running
        _CALLS.set(running, "running")
        _CALLS.set(max(0, self.calls.pending - running) + self._identification.pending, "waiting")
        _CALLS.set(self._refusals.pending, "refused")

    def start(self) -> None:
        """Starts to end calls whose message does not come."""
        self._reaper.start()

    def hold(self) -> None:
        """Holds the calls that come from now on: they get no answer yet."""
        self._refusals.pace.stop()
        self._open_pace.stop()
        self.calls.hold()
        self.streams.hold()

    def refuse_held(self, error: ServiceError) -> None:
        """Refuses the calls that are held."""
        self.calls.refuse_held(error)
        self.streams.refuse_held(error)

    def refuse_late(self, error: ServiceError) -> None:
        """Refuses the calls whose message has not come for a while."""
        self._identification.refuse(error)
        for incoming in self.calls.idle(_PATIENCE_SECONDS, answered=False):
            self.calls.fail(incoming, error)

    def close(self) -> None:
        """Ends the threads, each when it has nothing to do."""
        self._reaper.stop()
        for executor in (self.calls, self.streams, self.open_calls, self._reflections, self._refusals):
            executor.close()
        self._identification.close()
        self._admission.close()
