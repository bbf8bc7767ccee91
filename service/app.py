"""Builds the service from its parts, serves it, and stops it in order."""

import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from service.config import Settings
from service.grpc_client import validity
from service.grpc_client.certificate import Tls
from service.grpc_client.renewal import Renewed
from service.grpc_server import served
from service.grpc_server.authentication import Authenticator
from service.grpc_server.reception import Limits
from service.grpc_server.served import Served
from service.grpc_server.server import Server
from service.grpc_server.watch import READERS
from service.maintenance import Maintenance
from service.metrics import numbers
from service.runtime import affinity, garbage, log, open_files
from service.runtime.signals import HANGUP, Signals
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.outages import Outages
from service.storage.probe import Found, Probe
from service.storage.stream import Stream
from service.supervision.heartbeat import Link
from service.tracing import spans
from service.version import VERSION

# Beside the calls' connections: two for unknown keys, one for keys of calls that wait for their message, one for the
# last use of keys, one for the streams' poller, and a spare one.
_EXTRA_CONNECTIONS = 6 + READERS
_PROBE_CONNECTIONS = 1

# An SQLite connection has its file, the write-ahead log and shared memory open; the rest is files, pipes and pollers.
_DESCRIPTORS_PER_DATABASE_CONNECTION = 3
_OTHER_DESCRIPTORS = 40

# A database that hangs is noticed within the sum of the two.
_HEALTH_SECONDS = 1.0
_HEALTH_PATIENCE_SECONDS = 1.5
# A database that hangs must not keep the process from ending.
_HEALTH_END_SECONDS = 5.0

_PROCESSES = numbers.gauge("server_processes", "Processes that serve gRPC.")
_DATABASE = numbers.gauge(
    "database_up",
    "Whether the database takes reads and writes, as every process sees it: 1 or 0.",
    numbers.Kind.MIN,
    access=("read", "write"),
)
_CERTIFICATE = numbers.gauge(
    "certificate_end_timestamp_seconds", "When the certificate that is served expires, in Unix time.", numbers.Kind.MIN
)


class Service:
    """A server and its database.

    Args:
        settings: the configuration.
        link: to the supervisor, if this is one of several processes that share a port and report one health.
        addresses: how many addresses it serves on.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable: the database cannot be served.
    """

    def __init__(self, settings: Settings, link: Link | None = None, *, addresses: int = 1) -> None:
        self._settings = settings
        self._link = link
        self._health = threading.Lock()
        self._found = Found(reads=False, writes=False)
        self._others_serve = link is None
        connections = settings.threads + _EXTRA_CONNECTIONS
        self._database = Database(settings.database_url, connections, settings.prepared_statements)
        try:
            schema.check(self._database)
            schema.check_privileges(self._database)
        except Exception:
            self._database.close()
            raise
        self._outages = Outages(self._database.backend.place)
        self._probe = Probe(settings.database_url, _HEALTH_PATIENCE_SECONDS)
        keys = Keys(self._database)
        self._authenticator = Authenticator(keys.find, settings.key_cache_seconds)
        limits = Limits(
            threads=settings.threads,
            waiting=settings.waiting_calls,
            max_answer_bytes=settings.max_answer_bytes,
            rate_limit=settings.rate_limit,
            streams=settings.streams,
            stream_seconds=settings.stream_seconds,
            connections=_connections(settings, addresses),
            connection_age_seconds=settings.connection_age_seconds,
            message_seconds=settings.message_seconds,
            receive_bytes=settings.receive_bytes,
            receive_ahead=settings.receive_ahead,
        )
        stream = Stream(self._database)
        self._server = Server(
            self._database,
            stream,
            self._authenticator,
            limits,
            reflect=settings.reflection,
            share_port=link is not None,
        )
        self._certificate: Served | None = None
        self._certificate_ends: float | None = None
        self._stopping = threading.Event()
        # Not part of the maintenance thread, which may wait for a database that hangs.
        self._watch = threading.Thread(target=self._watch_health, name="health", daemon=True)
        self._maintenance = Maintenance(self._database, keys, self._authenticator.take_used, settings.request_id_hours)

    def start(self, *addresses: str, tls: Tls | None = None) -> int:
        """Serves on addresses. Returns the first one's port."""
        self._certificate = None if tls is None else Served(tls)
        self._note_end(tls)
        ports = self._server.listen(addresses, None if self._certificate is None else self._certificate.credentials)
        if self._link is not None:
            self._link.start(self._set_others_serve)
        # The tables have been read. A probe at this moment would take a busy database for one that is away.
        found = Found(reads=True, writes=self._database.writable())
        self._outages.note(found)
        self._set_health(found)
        self._watch.start()
        self._maintenance.start()
        numbers.write_each_second(self._write_gauges)
        for address, port in zip(addresses, ports, strict=True):
            log.info("serving", address=address, port=port, tls=tls is not None, version=VERSION)
        return ports[0]

    def renew(self, tls: Tls) -> None:
        """Uses another certificate for connections that come from now on."""
        if self._certificate is not None:
            self._certificate.replace(tls)
            self._note_end(tls)

    def stop(self) -> bool:
        """Finishes the calls in flight, within `drain_seconds`, and closes everything. Returns whether all finished."""
        log.info("stopping", seconds=self._settings.drain_seconds)
        self._stopping.set()
        finished = self._server.drain(self._settings.drain_seconds)
        self._watch.join(_HEALTH_END_SECONDS)
        self._maintenance.stop()
        self._probe.close()
        self._database.close()
        log.info("stopped", calls_cancelled=not finished)
        return finished

    def _note_end(self, tls: Tls | None) -> None:
        self._certificate_ends = None if tls is None else validity.ends(tls.certificate).timestamp()

    def _write_gauges(self) -> None:
        """Writes the state of this process, for Prometheus."""
        _PROCESSES.set(1)
        _DATABASE.set(self._found.reads, "read")
        _DATABASE.set(self._found.writes, "write")
        if self._certificate_ends is not None:
            _CERTIFICATE.set(self._certificate_ends)
        for part in (self._server, self._database, self._authenticator):
            part.write_gauges()

    def _watch_health(self) -> None:
        while not self._stopping.wait(_HEALTH_SECONDS):
            try:
                found = self._probe.ask()
                self._outages.note(found)
                self._set_health(found)
            except Exception:  # noqa: BLE001  # whatever it is, the database is asked again
                log.exception("health not set")

    def _set_others_serve(self, all_serve: bool) -> None:  # noqa: FBT001  # a state, not an option
        self._set_health(others_serve=all_serve)

    def _set_health(self, found: Found | None = None, *, others_serve: bool | None = None) -> None:
        """Sets what health checks answer, which is for all workers, and reports this one's state to the supervisor."""
        with self._health:
            if found is not None and found.writes and self._found.reads and not self._found.writes:
                # Pooled connections may lead to the server that takes no writes any more.
                self._database.renew()
            self._found = self._found if found is None else found
            self._others_serve = self._others_serve if others_serve is None else others_serve
            self._server.serving(
                reads=self._found.reads and self._others_serve,
                writes=self._found.writes and self._others_serve,
                database=self._found.reads,
            )
            if self._link is not None and found is not None:
                self._link.report(found.reads)


def serve(
    settings: Settings,
    addresses: Sequence[str],
    tls: Renewed[Tls] | None = None,
    *,
    started: Callable[[int], None] = lambda _port: None,
    link: Link | None = None,
    serve_metrics: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM or SIGINT. On SIGHUP it reads the certificate again.

    Args:
        settings: the configuration.
        addresses: each `host:port`; port 0 takes a free one.
        tls: the certificate and key; None serves plaintext.
        started: is called with the first address's port once the server answers.
        link: to the supervisor, which handles SIGINT; the port is shared with other processes.
        serve_metrics: begins to serve the metrics, if they are served.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable, AddressUnavailable, CertificateUnusable: it cannot be
            served.
    """
    # First of all: a signal without a handler does not end process 1 of a container.
    ends = (signal.SIGTERM, signal.SIGINT) if link is None else (signal.SIGTERM,)
    with Signals(*ends, HANGUP) as signals:
        garbage.run_seldom()
        with affinity.together() if settings.cpu_affinity else nullcontext():
            spans.start(settings.traces_endpoint, log.process_name())
            _check_certificate(tls, supervised=link is not None)
            service = Service(settings, link, addresses=len(addresses))
            serve_metrics()
            started(service.start(*addresses, tls=None if tls is None else tls.value))
            if tls is not None:
                tls.watch(lambda: service.renew(tls.value))
            for number in signals:
                if number in ends:
                    break
                if tls is not None:
                    tls.ask()
            if tls is not None:
                tls.close()
            service.stop()
            spans.stop()


def _check_certificate(tls: Renewed[Tls] | None, *, supervised: bool) -> None:
    """Tries the certificate with gRPC's own client. The supervisor has done it, but perhaps long ago."""
    if tls is None:
        return
    if not supervised:
        tls.check(served.check)
    tls.refresh(served.check)


def descriptors(settings: Settings) -> int:
    """Returns how many descriptors a process takes beside those of its callers' connections."""
    return _OTHER_DESCRIPTORS + _DESCRIPTORS_PER_DATABASE_CONNECTION * connections_of_a_process(settings)


def _connections(settings: Settings, addresses: int) -> int:
    """Returns how many callers may be connected to each address, so that the database's files can still be opened."""
    free = open_files.raise_limit() - descriptors(settings)
    connections = min(settings.connections, max(1, free // addresses))
    if connections < settings.connections:
        log.warning("fewer connections than set", connections=connections, set=settings.connections)
    return connections


def connections_of_a_process(settings: Settings) -> int:
    """Returns how many connections to the database a process that serves takes at most."""
    return settings.threads + _EXTRA_CONNECTIONS + _PROBE_CONNECTIONS


def check(settings: Settings) -> int | None:
    """Checks that the database can be served, and closes it.

    Returns:
        How many connections it allows; None where one process serves it best.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable: it cannot be served.
    """
    database = Database(settings.database_url, 1)
    try:
        schema.check(database)
        schema.check_privileges(database)
        with database.session(write=False) as connection:
            return database.backend.allowed_connections(connection)
    finally:
        database.close()
