"""The gRPC server: services, lanes, health, reflection, and an orderly end."""

import time
from dataclasses import dataclass

import grpc
from deviceassignment.v1 import device_assignment_pb2
from deviceassignment.v1.device_assignment_pb2_grpc import add_DeviceAssignmentServiceServicer_to_server
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.domain.unit_of_work import Storage
from service.transport import health
from service.transport.assignments import DeviceAssignments
from service.transport.authentication import Authenticator, RateLimit
from service.transport.interceptor import Interceptor
from service.transport.lanes import Lane

SERVICES = (device_assignment_pb2.DESCRIPTOR.services_by_name["DeviceAssignmentService"].full_name,)

MAX_REQUEST_BYTES = 4 * 1024 * 1024
_REFLECTION_STREAMS = 16
_POLL_SECONDS = 0.01
_GRACE_MARGIN_SECONDS = 5.0


class AddressUnavailable(Exception):
    """The server cannot listen there; the text says where."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes on.

    Attributes:
        threads: calls served at once.
        waiting: calls that may wait for a thread; more are refused.
        max_answer_bytes: where lists in answers stop.
        rate_limit: calls a second for each key; 0 for no limit.
    """

    threads: int
    waiting: int
    max_answer_bytes: int
    rate_limit: float


class Server:
    """Serves the use cases over gRPC."""

    def __init__(self, storage: Storage, authenticator: Authenticator, limits: Limits, *, reflect: bool) -> None:
        self._calls = Lane("call", limits.threads, limits.waiting)
        health_lane = Lane("health", 2, 1_000)
        # A reflection stream holds a thread for as long as it is open.
        reflection_lane = Lane("reflection", _REFLECTION_STREAMS, 0)
        open_lanes = {
            health.SERVICE_NAME: health_lane,
            "grpc.reflection.v1.ServerReflection": reflection_lane,
            reflection.SERVICE_NAME: reflection_lane,
        }
        rate_limit = RateLimit(limits.rate_limit)
        self._interceptor = Interceptor(authenticator, rate_limit, self._calls, open_lanes)
        self._health = health.Health(health_lane)
        self._server = grpc.server(
            self._calls,
            interceptors=[self._interceptor],
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
                # A second server on the same port must fail, not share it.
                ("grpc.so_reuseport", 0),
                # A caller that vanished without a word is noticed, and its call ended.
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ),
        )
        servicer = DeviceAssignments(storage, limits.max_answer_bytes)
        add_DeviceAssignmentServiceServicer_to_server(servicer, self._server)
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
        # gRPC's own grace ends later than ours: a call that it cancelled would look like one that finished.
        self._server.stop(seconds + _GRACE_MARGIN_SECONDS)
        deadline = time.monotonic() + seconds
        while not self._interceptor.idle and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        finished = self._interceptor.idle
        self._server.stop(None).wait()
        return finished
