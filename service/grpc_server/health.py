"""The health service. No caller can block it by not reading its answers, and a watch holds no thread."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from service.grpc_server.receiving import Sender

SERVICE_NAME = health.SERVICE_NAME
OVERALL_HEALTH = health.OVERALL_HEALTH
WRITES = "deviceassignment.v1.writes"
"""The health of the calls that write: NOT_SERVING on a database that can only be read."""

DATABASE = "deviceassignment.v1.database"
"""The health of the database alone, which says whether a server that does not serve misses its database."""

_MAX_WATCHES = 10_000
_LOOK_SECONDS = 0.2

Answer = health_pb2.HealthCheckResponse
_messages: Any = health_pb2  # its published types lack those of `List`


class Health(health_pb2_grpc.HealthServicer):
    """Answers with the states that were set.

    The servicer of grpcio-health-checking sends to each watching caller, and waits for it, with the lock that `Check`
    needs.
    """

    def __init__(self) -> None:
        self._states: dict[str, int] = {}
        self._watches: dict[str, dict[Sender, None]] = {}
        self._all: dict[Sender, None] = {}  # the oldest is first
        self._stopping = False
        self._lock = threading.Lock()

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> Answer:  # the rpc's name
        """Answers with a service's state, or NOT_FOUND."""
        state = self._states.get(request.service)
        if state is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return Answer(status=state)

    def List(self, _request: Any, _context: grpc.ServicerContext) -> Any:  # the rpc's name
        """Answers with the states of all services."""
        return _messages.HealthListResponse(
            statuses={name: Answer(status=state) for name, state in self._states.items()}
        )

    def Watch(  # the rpc's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send: object = None,
    ) -> Iterator[Answer] | None:
        """Sends a service's state, and each later one, until the caller ends the call.

        Args:
            request: names the service.
            context: the stream's.
            send: set if gRPC does not ask for the answers; then they are sent without a thread.
        """
        if send is None:
            return self._follow(request.service, context)
        self._send_later_ones(request.service, context)
        return None

    def _follow(self, service: str, context: grpc.ServicerContext) -> Iterator[Answer]:
        last = None
        while context.is_active():
            state = self._states.get(service, Answer.SERVICE_UNKNOWN)
            if state != last:
                last = state
                yield Answer(status=state)
            time.sleep(_LOOK_SECONDS)

    def _send_later_ones(self, service: str, context: grpc.ServicerContext) -> None:
        watch = Sender(context, Answer.SerializeToString)

        def over() -> None:
            with self._lock:
                del self._all[watch], self._watches[service][watch]
                if not self._watches[service]:
                    del self._watches[service]

        oldest = None
        with self._lock:
            if len(self._all) >= _MAX_WATCHES:
                oldest = next(iter(self._all))
            self._all[watch] = self._watches.setdefault(service, {})[watch] = None
            # With the lock, so that states are sent in their order.
            watch.send(Answer(status=self._states.get(service, Answer.SERVICE_UNKNOWN)))
        if oldest is not None:
            oldest.cancel()
        if not context.add_callback(over):
            over()

    def set(self, service: str, state: int) -> None:
        """Sets a service's state, and sends it to the callers that watch it."""
        with self._lock:
            if self._stopping:
                return
            self._states[service] = state
            for watch in self._watches.get(service, ()):
                watch.send(Answer(status=state))

    def enter_graceful_shutdown(self) -> None:
        """Sets all services but the database to NOT_SERVING for good."""
        for service in list(self._states):
            if service != DATABASE:
                self.set(service, Answer.NOT_SERVING)
        self._stopping = True


def register(servicer: Health, server: grpc.Server) -> None:
    """Adds the service to a server."""
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(servicer, server)
