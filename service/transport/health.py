"""The health service: what it answers depends on no lock that a caller can hold, and a watch holds no thread."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from service.domain.errors import Overloaded
from service.transport.receiving import Sender

SERVICE_NAME = health.SERVICE_NAME
OVERALL_HEALTH = health.OVERALL_HEALTH
WRITES = "deviceassignment.v1.writes"
"""The health of the calls that write: NOT_SERVING on a database that can only be read."""

_MAX_WATCHES = 10_000

Answer = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Answers with the states that it was set to.

    The servicer that comes with grpcio waits, while it holds the lock that `Check` needs, for each watching caller to
    take an answer.

    Args:
        ahead: whether answers to watches are sent without a thread (see `receiving`).
    """

    def __init__(self, *, ahead: bool) -> None:
        self._ahead = ahead
        self._states: dict[str, int] = {}
        self._watches: dict[str, dict[Callable[[Answer], None], None]] = {}
        self._count = 0
        self._stopping = False
        self._lock = threading.Lock()

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> Answer:  # the rpc's name
        """Answers with a service's state, or NOT_FOUND."""
        state = self._states.get(request.service)
        if state is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return Answer(status=state)

    def Watch(  # type: ignore[override]  # gRPC gives what sends; the rpc's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send: Callable[[Answer | None], None],
    ) -> None:
        """Sends a service's state, and each later one, until the caller ends the call."""
        watch = Sender(context, Answer.SerializeToString).send if self._ahead else send
        service = request.service

        def over() -> None:
            with self._lock:
                watches = self._watches[service]
                del watches[watch]
                self._count -= 1
                if not watches:
                    del self._watches[service]

        with self._lock:
            if self._count >= _MAX_WATCHES:
                raise Overloaded
            self._count += 1
            self._watches.setdefault(service, {})[watch] = None
            # While the lock is held, so that a later state is sent later.
            watch(Answer(status=self._states.get(service, Answer.SERVICE_UNKNOWN)))
        if not context.add_callback(over):
            over()

    def set(self, service: str, state: int) -> None:
        """Sets a service's state, and sends it to those that watch it."""
        with self._lock:
            if self._stopping:
                return
            self._states[service] = state
            for watch in self._watches.get(service, ()):
                watch(Answer(status=state))

    def enter_graceful_shutdown(self) -> None:
        """Sets all services to NOT_SERVING for good."""
        for service in list(self._states):
            self.set(service, Answer.NOT_SERVING)
        self._stopping = True


def register(servicer: Health, server: grpc.Server) -> None:
    """Adds the service to a server."""
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(servicer, server)
