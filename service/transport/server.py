"""The gRPC server: services, lanes, health, reflection, and an orderly end."""

import time
from dataclasses import dataclass

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1.customer_pb2_grpc import add_CustomerServiceServicer_to_server
from deviceassignment.v1.device_assignment_pb2_grpc import (
    DeviceAssignmentServiceServicer,
    add_DeviceAssignmentServiceServicer_to_server,
)
from deviceassignment.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.domain.errors import OperatorError
from service.domain.unit_of_work import OperationStream, Storage
from service.transport import health
from service.transport.admission import Admission
from service.transport.assignments import Assignments
from service.transport.authentication import Authenticator, RateLimit
from service.transport.certificate import Tls
from service.transport.customers import Customers
from service.transport.devices import Devices
from service.transport.history import History
from service.transport.interceptor import Interceptor
from service.transport.lanes import Lane
from service.transport.watch import Watchers

SERVICES = tuple(
    service.full_name
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)

MAX_REQUEST_BYTES = 4 * 1024 * 1024
_REFLECTION_STREAMS = 16
_POLL_SECONDS = 0.01
_STREAM_END_SECONDS = 1.0
_GRACE_MARGIN_SECONDS = 5.0


class AddressUnavailable(OperatorError):
    """The server cannot listen there; the text says where."""


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
    """

    threads: int
    waiting: int
    max_answer_bytes: int
    rate_limit: float
    streams: int
    stream_seconds: float


class DeviceAssignments(Assignments, History, DeviceAssignmentServiceServicer):
    """The whole DeviceAssignmentService."""

    def __init__(self, storage: Storage, watchers: Watchers, max_answer_bytes: int) -> None:
        Assignments.__init__(self, storage, max_answer_bytes)
        History.__init__(self, storage, watchers, max_answer_bytes)


class Server:
    """Serves the use cases over gRPC."""

    def __init__(
        self,
        storage: Storage,
        stream: OperationStream,
        authenticator: Authenticator,
        limits: Limits,
        *,
        reflect: bool,
        share_port: bool = False,
    ) -> None:
        self._calls = Lane("call", limits.threads, limits.waiting)
        health_lane = Lane("health", 2, 1_000)
        # A reflection stream holds a thread for as long as it is open.
        reflection_lane = Lane("reflection", _REFLECTION_STREAMS, 0)
        open_lanes = {
            health.SERVICE_NAME: health_lane,
            "grpc.reflection.v1.ServerReflection": reflection_lane,
            reflection.SERVICE_NAME: reflection_lane,
        }
        admission = Admission(authenticator, RateLimit(limits.rate_limit))
        streams = Lane("stream", limits.streams, 0)
        self._interceptor = Interceptor(admission, self._calls, streams, open_lanes)
        self._health = health.Health(health_lane)
        self._server = grpc.server(
            self._calls,
            interceptors=[self._interceptor],
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
                # A second server on the same port must fail, unless they are to share it.
                ("grpc.so_reuseport", int(share_port)),
                # A caller that vanished without a word is noticed, and its call ended.
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ),
        )
        self._watchers = Watchers(stream, limits.stream_seconds)
        answer_bytes = limits.max_answer_bytes
        assignments = DeviceAssignments(storage, self._watchers, answer_bytes)
        add_DeviceAssignmentServiceServicer_to_server(assignments, self._server)
        add_CustomerServiceServicer_to_server(Customers(storage, answer_bytes), self._server)
        add_DeviceServiceServicer_to_server(Devices(storage, answer_bytes), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._healthy: bool | None = None
        self.serving(False)
        if reflect:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def listen(self, address: str, tls: Tls | None) -> int:
        """Opens a port and serves it. Gives the port's number, which is of interest where the address says 0.

        Raises:
            AddressUnavailable: it is taken, or not this machine's.
        """
        try:
            if tls is None:
                port = self._server.add_insecure_port(address)
            else:
                credentials = grpc.ssl_server_credentials([(tls.key, tls.certificate)])
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise AddressUnavailable(
                f"cannot listen on {address}: it is in use, or no address of this machine"
            ) from error
        self._server.start()
        return port

    def serving(self, healthy: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Tells health checks, overall and for each service, whether calls can be served."""
        if healthy is self._healthy:
            return  # watches are told of changes only
        self._healthy = healthy
        serving = health_pb2.HealthCheckResponse.SERVING
        state = serving if healthy else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in (health.OVERALL_HEALTH, *SERVICES):
            self._health.set(name, state)

    def drain(self, seconds: float) -> bool:
        """Takes no more calls and lets those in flight finish.

        Streams that would stay open for ever, such as a health watch, are ended when the last call is.

        Returns:
            Whether all calls finished in time; those that did not are cancelled.
        """
        self._health.enter_graceful_shutdown()
        self._watchers.stop()
        # gRPC's own grace ends later than ours: a call that it cancelled would look like one that finished.
        self._server.stop(seconds + _GRACE_MARGIN_SECONDS)
        deadline = time.monotonic() + seconds
        while not self._interceptor.idle and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        finished = self._interceptor.idle
        # Streams have been told to end and do so at once, unless their caller does not read.
        deadline = min(deadline, time.monotonic() + _STREAM_END_SECONDS)
        while self._interceptor.streaming and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._server.stop(None).wait()
        self._interceptor.close()
        return finished
