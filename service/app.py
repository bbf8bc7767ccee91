"""The composition root: builds the service, serves it, and stops it in order."""

import gc
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import FrameType

from service import affinity, log
from service.config import Settings
from service.domain.errors import ServiceError
from service.storage import housekeeping, schema, statistics
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.probe import Probe
from service.storage.stream import Stream
from service.supervision.link import Link
from service.transport.authentication import Authenticator
from service.transport.certificate import Tls
from service.transport.server import Limits, Server
from service.transport.watch import READERS

# A collection stops all threads. What has been loaded stays, and a call's 100,000 identifiers are no garbage yet.
_COLLECTION = (20_000, 20, 50)

# Beside the calls' connections: the bookkeeping of keys, the streams' poller, and one to spare.
_EXTRA_CONNECTIONS = 3 + READERS

# A database that hangs is noticed within the sum of the two.
_HEALTH_SECONDS = 1.0
_HEALTH_PATIENCE_SECONDS = 1.5
_KEYS_SECONDS = 10.0
_STATISTICS_SECONDS = 5.0
_REPLIES_SECONDS = 600.0
# A database that hangs must not keep the process from ending.
_UPKEEP_END_SECONDS = 5.0


class Service:
    """A server and its database.

    Args:
        settings: the configuration.
        link: to the supervisor, if this is one of several that share a port and speak for each other's health.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable: the database cannot be served.
    """

    def __init__(self, settings: Settings, link: Link | None = None) -> None:
        self._settings = settings
        self._link = link
        self._health = threading.Lock()
        self._serves = False
        self._others_serve = link is None
        self._database = Database(settings.database_url, settings.threads + _EXTRA_CONNECTIONS)
        try:
            schema.check(self._database)
        except Exception:
            self._database.close()
            raise
        self._probe = Probe(settings.database_url, _HEALTH_PATIENCE_SECONDS)
        self._keys = Keys(self._database)
        self._authenticator = Authenticator(self._keys.principal, settings.key_cache_seconds)
        limits = Limits(
            threads=settings.threads,
            waiting=settings.waiting_calls,
            max_answer_bytes=settings.max_answer_bytes,
            rate_limit=settings.rate_limit,
            streams=settings.streams,
            stream_seconds=settings.stream_seconds,
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
        self._stopping = threading.Event()
        # Beside the upkeep, whose other tasks wait for a database that hangs.
        self._watch = threading.Thread(target=self._look_after_health, name="health", daemon=True)
        self._upkeep = threading.Thread(target=self._keep_up, name="upkeep", daemon=True)

    def start(self, address: str, tls: Tls | None = None) -> int:
        """Serves on an address. Gives the port."""
        port = self._server.listen(address, tls)
        if self._link is not None:
            self._link.follow(self._hear_of_others)
        self._tell_health(serves=True)
        self._watch.start()
        self._upkeep.start()
        log.info("serving", address=address, port=port, tls=tls is not None)
        return port

    def stop(self) -> bool:
        """Finishes what is in flight, within the time that the settings give, and lets go of everything."""
        log.info("stopping", seconds=self._settings.drain_seconds)
        self._stopping.set()
        finished = self._server.drain(self._settings.drain_seconds)
        self._watch.join(_UPKEEP_END_SECONDS)
        self._upkeep.join(_UPKEEP_END_SECONDS)
        self._note_used_keys()
        self._probe.close()
        self._database.close()
        log.info("stopped", calls_cancelled=not finished)
        return finished

    def _keep_up(self) -> None:
        tasks: list[tuple[float, Callable[[], None]]] = [
            (_KEYS_SECONDS, self._note_used_keys),
            (_STATISTICS_SECONDS, self._renew_statistics),
            (_REPLIES_SECONDS, self._forget_replies),
        ]
        due = [time.monotonic() + seconds for seconds, _ in tasks]
        while not self._stopping.wait(max(0.0, min(due) - time.monotonic())):
            for index, (seconds, task) in enumerate(tasks):
                if time.monotonic() >= due[index]:
                    self._do(task)
                    due[index] = time.monotonic() + seconds

    def _do(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:  # noqa: BLE001  # whatever it is, the other tasks go on, and this one next time
            log.exception("upkeep failed", task=task.__name__)

    def _look_after_health(self) -> None:
        while not self._stopping.wait(_HEALTH_SECONDS):
            self._do(self._ask_database)

    def _ask_database(self) -> None:
        self._tell_health(serves=self._probe.answers())

    def _hear_of_others(self, all_serve: bool) -> None:  # noqa: FBT001  # a state, not an option
        self._tell_health(others_serve=all_serve)

    def _tell_health(self, *, serves: bool | None = None, others_serve: bool | None = None) -> None:
        """Tells who asks for the health whether all serve, and the supervisor whether this process does."""
        with self._health:
            self._serves = self._serves if serves is None else serves
            self._others_serve = self._others_serve if others_serve is None else others_serve
            self._server.serving(self._serves and self._others_serve)
            if self._link is not None and serves is not None:
                self._link.tell(serves)

    def _note_used_keys(self) -> None:
        try:
            self._keys.used(self._authenticator.take_used())
        except ServiceError as error:
            log.warning("last use of keys not noted", reason=error.reason)

    def _renew_statistics(self) -> None:
        try:
            tables = statistics.renew(self._database)
        except ServiceError as error:
            log.warning("statistics not renewed", reason=error.reason)
        else:
            if tables:
                log.info("statistics renewed", tables=tables)

    def _forget_replies(self) -> None:
        try:
            count = housekeeping.forget_replies(self._database, timedelta(hours=self._settings.request_id_hours))
        except ServiceError as error:
            log.warning("old request ids not forgotten", reason=error.reason)
        else:
            if count:
                log.info("old request ids forgotten", count=count)


def serve(
    settings: Settings,
    address: str,
    tls: Tls | None = None,
    *,
    started: Callable[[int], None] = lambda _port: None,
    link: Link | None = None,
    held: int | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        settings: the configuration.
        address: `host:port`; port 0 takes a free one.
        tls: the certificate and key; None serves plaintext.
        started: is told the port once the server answers.
        link: to the supervisor, which alone is asked with SIGINT then; the port is shared.
        held: as which worker, counted from 0, to stay on a CPU of its own; None leaves that to the system.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable, AddressUnavailable: it cannot be served.
    """
    stop = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    # Before anything else: nothing but a handler ends the first process of a container.
    for number in (signal.SIGTERM, signal.SIGINT) if link is None else (signal.SIGTERM,):
        signal.signal(number, ask)
    if held is not None:
        affinity.hold(held)
    gc.freeze()
    gc.set_threshold(*_COLLECTION)
    service = Service(settings, link)
    started(service.start(address, tls))
    stop.wait()
    service.stop()


def check(settings: Settings) -> None:
    """Sees whether the database can be served, and lets go of it.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable: it cannot.
    """
    database = Database(settings.database_url, 1)
    try:
        schema.check(database)
    finally:
        database.close()


def read_tls(certificate: Path, key: Path) -> Tls:
    """Reads a certificate chain and its key, in PEM. Raises `OSError` if a file cannot be read."""
    return Tls(certificate.read_bytes(), key.read_bytes())
