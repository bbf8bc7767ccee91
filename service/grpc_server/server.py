"""The gRPC server: its services, health, reflection, and how it stops."""

import time
from collections.abc import Sequence

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1.customer_pb2_grpc import add_CustomerServiceServicer_to_server
from deviceassignment.v1.device_assignment_pb2_grpc import add_DeviceAssignmentServiceServicer_to_server
from deviceassignment.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from grpc_health.v1 import health_pb2

from service.domain.errors import Stopping
from service.grpc_server import health
from service.grpc_server.assignment_servicer import AssignmentServicer
from service.grpc_server.authentication import Authenticator
from service.grpc_server.customer_servicer import CustomerServicer
from service.grpc_server.device_servicer import DeviceServicer
from service.grpc_server.key_check import KeyCheck
from service.grpc_server.owner_lookup import OwnerLookup
from service.grpc_server.reception import Limits, Reception
from service.grpc_server.reflection import Reflection
from service.grpc_server.use_cases import UseCases
from service.grpc_server.watch import Watchers
from service.method_table import MAX_REQUEST_BYTES
from service.runtime.operator_error import OperatorError
from service.storage.unit_of_work import OperationStream, Storage

SERVICES = tuple(
    service.full_name
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
)

_STREAMS_PER_CONNECTION = 256
_UNSEEN_CALLS = 10_000
_UNREAD_BYTES = 64 * 1024
# A connection whose TLS or HTTP/2 handshake takes longer is closed.
_HANDSHAKE_MS = 10_000
_IDLE_CONNECTION_MS = 300_000
_NO_LIMIT = 2**31 - 1
_POLL_SECONDS = 0.01
_STREAM_END_SECONDS = 1.0
_GRACE_MARGIN_SECONDS = 5.0
# Shorter than the 0.2 s after which clients usually call again.
_HOLD_SECONDS = 0.15


class AddressUnavailable(OperatorError):
    """The server cannot listen at an address; the text says at which."""

    def __init__(self, address: str) -> None:
        super().__init__(f"cannot listen on {address}: it is in use, or no address of this machine")
        self.address = address


class Server:
    """Serves the use cases over gRPC.

    Args:
        storage: runs transactions.
        stream: reads operations for streams.
        authenticator: checks keys.
        limits: the limits of the server.
        reflect: whether to serve reflection.
        share_port: whether other processes may listen on the same port.
    """

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
        self.reception = Reception(authenticator, limits)
        self._health = health.Health()
        self._limits = limits
        self._reflection = Reflection((*SERVICES, health.SERVICE_NAME)) if reflect else None
        self._share_port = share_port
        self._servers: list[grpc.Server] = []
        self._watchers = Watchers(stream, limits.stream_seconds)
        use_cases = UseCases(storage, limits.max_answer_bytes)
        self._assignments = AssignmentServicer(use_cases, OwnerLookup(storage), self._watchers)
        self._customers = CustomerServicer(use_cases)
        self._devices = DeviceServicer(use_cases)
        self._served: dict[str, bool] = {}
        self.serving(reads=False, writes=False)

    def listen(self, addresses: Sequence[str], credentials: grpc.ServerCredentials | None) -> list[int]:
        """Opens ports and serves them. Returns their numbers, which the system chooses where an address has 0.

        Without credentials it serves plaintext. Each address has a limit of connections of its own, and a thread of its
        own that accepts calls.

        Raises:
            AddressUnavailable: an address is in use, or is not an address of this machine.
        """
        servers = [self._make() for _ in addresses]
        ports = [_open(server, address, credentials) for server, address in zip(servers, addresses, strict=True)]
        self._servers = servers
        for server in servers:
            server.start()
        self.reception.start()
        return ports

    def _make(self) -> grpc.Server:
        """Makes a `grpc.Server`. Each has a thread that accepts calls, with a queue."""
        server = grpc.server(
            self.reception.calls,
            interceptors=[self.reception.interceptor],
            options=(
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
                # How many calls may wait to be accepted. Beyond its default of 1,000 gRPC cancels some at random.
                ("grpc.server.max_pending_requests", _UNSEEN_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", _UNSEEN_CALLS),
                # How many bytes a caller may send on a stream that is not read. gRPC's default grows to megabytes.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", _UNREAD_BYTES),
                ("grpc.max_allowed_incoming_connections", self._limits.connections),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
                # Clients connect again by themselves when they make a call.
                ("grpc.max_connection_idle_ms", _IDLE_CONNECTION_MS),
                # gRPC adds or subtracts up to a tenth, and lets calls and streams on the connection finish.
                ("grpc.max_connection_age_ms", _milliseconds(self._limits.connection_age_seconds)),
                # A second server on the same port must fail, unless they are to share it.
                ("grpc.so_reuseport", int(self._share_port)),
                # The calls of a client that vanished without closing its connection are ended.
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ),
        )
        add_DeviceAssignmentServiceServicer_to_server(self._assignments, server)
        add_CustomerServiceServicer_to_server(self._customers, server)
        add_DeviceServiceServicer_to_server(self._devices, server)
        health.register(self._health, server)
        server.add_generic_rpc_handlers((KeyCheck(),))
        if self._reflection is not None:
            self._reflection.register(server)
        return server

    def write_gauges(self) -> None:
        """Writes the state of calls and streams, for Prometheus."""
        self.reception.write_gauges()
        self._watchers.write_gauges()

    def serving(self, *, reads: bool, writes: bool, database: bool | None = None) -> None:
        """Sets the health of the server and of each service by whether reads are served; of `WRITES`, writes.

        Args:
            reads: whether all processes serve reads.
            writes: whether they serve writes.
            database: whether the database answers this process; the same as `reads` by default.
        """
        served = dict.fromkeys((health.OVERALL_HEALTH, *SERVICES), reads)
        served |= {health.WRITES: reads and writes, health.DATABASE: reads if database is None else database}
        status = health_pb2.HealthCheckResponse
        for name, serves in served.items():
            if self._served.get(name) is not serves:  # a watch gets changes only
                self._health.set(name, status.SERVING if serves else status.NOT_SERVING)
        self._served = served

    def drain(self, seconds: float) -> bool:
        """Accepts no more calls and lets those in flight finish.

        Streams that would stay open for ever, such as a health watch, end with the last call.

        Returns:
            Whether all calls finished in time; the others are cancelled.
        """
        self._health.enter_graceful_shutdown()
        self._watchers.stop()
        # gRPC answers CANCELLED, which clients do not retry, to a call that arrives at its stop. So calls are held a
        # while before, and refused with UNAVAILABLE after the stop; by then most clients wait for an answer.
        self.reception.hold()
        time.sleep(min(seconds, _HOLD_SECONDS))
        # gRPC's grace period ends later than this one: a call that it cancels looks like one that has finished.
        for server in self._servers:
            server.stop(seconds + _GRACE_MARGIN_SECONDS)
        self.reception.refuse_held(Stopping())
        deadline = time.monotonic() + seconds
        while not self.reception.idle and time.monotonic() < deadline:
            self.reception.refuse_late(Stopping())
            time.sleep(_POLL_SECONDS)
        finished = self.reception.idle
        # Streams end at once, unless their caller does not read.
        deadline = min(deadline, time.monotonic() + _STREAM_END_SECONDS)
        while self.reception.streams.pending and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        for stopped in [server.stop(None) for server in self._servers]:
            stopped.wait()
        self.reception.close()
        return finished


def _milliseconds(seconds: float) -> int:
    """Returns gRPC's number for a time, which has another one for no limit."""
    return max(1, round(seconds * 1000)) if seconds else _NO_LIMIT


def _open(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise AddressUnavailable(address) from error
