"""Serves with several processes under a supervisor: workers that share a port, and the REST gateway."""

import ipaddress
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from service import app
from service.config import LEAST_RECEIVE_BYTES, Settings
from service.domain.errors import ServiceError
from service.grpc_client import certificate
from service.grpc_client.certificate import CertificateUnusable, Tls
from service.grpc_client.channel import Identity, Trust
from service.grpc_client.renewal import Renewed
from service.grpc_server import served
from service.metrics import numbers
from service.rest_gateway.certificates import Trusted
from service.runtime import cpus, garbage, log
from service.runtime.operator_error import OperatorError
from service.supervision.heartbeat import Link
from service.supervision.port import SharedPort
from service.supervision.process import Child
from service.supervision.supervisor import Supervisor
from service.supervision.worker_count import Means
from service.tracing import spans
from service.version import VERSION

# Beside the calls in flight: the database's answers to the bookkeeping, and the end of the streams.
_STOP_MARGIN_SECONDS = 8.0


class NoWorkers(OperatorError):
    """This system cannot run several processes."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The REST gateway beside the workers.

    Attributes:
        address: where to serve REST, `host:port`; port 0 takes a free one.
        identity: the certificate to show to the workers, if they ask for one; None shows the server's own.
    """

    address: str
    identity: Renewed[Identity] | None = None


def serve(
    settings: Settings,
    addresses: Sequence[str],
    workers: int,
    *,
    tls: Renewed[Tls] | None = None,
    rest: Rest | None = None,
    serve_metrics: Callable[[], None] | None = None,
    started: Callable[[int, int | None], None] = lambda _port, _rest_port: None,
) -> bool:
    """Serves until SIGTERM or SIGINT.

    The processes are forked: all has been imported by then, and no thread, connection or gRPC been started.

    Args:
        settings: the configuration; each worker gets its part of it.
        addresses: each `host:port`; port 0 takes a free one. The gateway calls the last.
        workers: how many processes.
        tls: the certificate and key, for REST too; None serves plaintext.
        rest: where to serve REST; None serves none.
        serve_metrics: begins to serve the metrics, in each worker; None if they are not served.
        started: is called with the first address's port, and that of REST, once all processes serve.

    Returns:
        Whether all processes stopped by themselves; those that did not in time were killed.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable, PortUnavailable, NoWorkers, CertificateUnusable: it
            cannot be served.
        CannotServe: the processes die before they serve.
    """
    if not hasattr(os, "fork"):
        raise NoWorkers("this system cannot fork processes: serve with one worker, and REST with `gateway`")
    if tls is not None:
        shown = None if rest is None else _shown(tls, rest.identity)
        _apart(partial(tls.check, partial(served.check, identity=shown)))
    with ExitStack() as ports:
        shared = [ports.enter_context(closing(SharedPort(address))) for address in addresses]
        port = shared[0]
        rest_port = None if rest is None else ports.enter_context(closing(SharedPort(rest.address)))
        app.check(settings)
        spans.check(settings.traces_endpoint)
        log.name_process("supervisor")
        children = [
            Child(
                f"worker-{number + 1}",
                partial(
                    _work,
                    part(settings, workers),
                    [each.address for each in shared],
                    tls,
                    partial(_count, number, serve_metrics),
                ),
            )
            for number in range(workers)
        ]
        where: dict[str, Any] = {"address": port.address, "port": port.number}
        if rest is not None and rest_port is not None:
            children.append(
                _gateway(settings, replace(rest, address=rest_port.address), _beside(shared[-1].address), tls, workers)
            )
            where |= {"rest_address": rest_port.address, "rest_port": rest_port.number}

        def all_serve() -> None:
            log.info("all workers serving", **where, workers=workers, version=VERSION)
            started(port.number, None if rest_port is None else rest_port.number)

        if serve_metrics is not None:
            numbers.start(len(children))
        garbage.share_with_children()
        return Supervisor(
            children,
            stop_seconds=settings.drain_seconds + _STOP_MARGIN_SECONDS,
            close_inherited=ports.close,
            all_serve=all_serve,
        ).run()


@dataclass(frozen=True, slots=True)
class Choice:
    """How many workers serve, and why."""

    workers: int
    why: dict[str, Any] = field(default_factory=dict)

    def log(self) -> None:
        """Logs it."""
        log.info("workers chosen", workers=self.workers, **self.why)


def choose(settings: Settings) -> Choice:
    """Chooses how many workers serve unless the operator says how many.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable: the database cannot be served.
    """
    spans.check(settings.traces_endpoint)  # before the database, because it takes no time
    connections = app.check(settings)
    if sys.platform != "linux":
        return Choice(1, {"decided_by": "system"})
    means = Means(cpus.allowed(), cpus.quota(), connections, app.connections_of_a_process(settings))
    workers, decided_by = means.choose()
    known = {name: value for name, value in asdict(means).items() if value is not None}
    return Choice(workers, {"decided_by": decided_by, **known})


def part(settings: Settings, workers: int) -> Settings:
    """Returns one worker's part of what is for the whole server, rounded up.

    Threads are each worker's own, and with them its connections to the database.
    """
    return replace(
        settings,
        rate_limit=settings.rate_limit / workers,
        waiting_calls=math.ceil(settings.waiting_calls / workers),
        connections=math.ceil(settings.connections / workers),
        receive_bytes=max(math.ceil(settings.receive_bytes / workers), LEAST_RECEIVE_BYTES),
        streams=math.ceil(settings.streams / workers),
    )


def _apart(check: Callable[[], None]) -> None:
    """Runs a check in a process of its own, because gRPC, once started, does not outlive a fork.

    Raises:
        CertificateUnusable: the check did, or it ended otherwise than well.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = "the certificate could not be tried"
        try:
            check()
            problem = ""
        except OperatorError as error:
            problem = str(error)
        finally:
            os.write(writer, problem.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        problem = pipe.read()
    os.waitpid(pid, 0)
    if problem:
        raise CertificateUnusable(problem)


def _shown(tls: Renewed[Tls], identity: Renewed[Identity] | None) -> Identity:
    """Returns what the gateway shows to workers that ask for a certificate."""
    return tls.value.identity if identity is None else identity.value


def _work(
    settings: Settings,
    addresses: Sequence[str],
    tls: Renewed[Tls] | None,
    serve_metrics: Callable[[], None],
    link: Link,
) -> None:
    try:
        app.serve(settings, addresses, tls, link=link, serve_metrics=serve_metrics)
    except (OperatorError, ServiceError, OSError) as error:
        log.error("cannot serve", reason=str(error))
        raise SystemExit(1) from error


def _count(slot: int, serve_metrics: Callable[[], None] | None = None) -> None:
    """Counts in a slot of the metrics from now on, and begins to serve them if this process does."""
    numbers.use_slot(slot)
    if serve_metrics is not None:
        serve_metrics()


def _gateway(settings: Settings, rest: Rest, target: str, tls: Renewed[Tls] | None, slot: int) -> Child:
    # Imported only where REST is served, but before the fork: its memory is shared, and a restart takes no imports.
    from service import rest as rest_process  # noqa: PLC0415

    trusted = None if tls is None else _trusted(tls, rest.identity)

    def run(link: Link) -> None:
        count = partial(_count, slot)
        try:
            rest_process.serve(settings, rest.address, target, trust=trusted, tls=tls, link=link, serve_metrics=count)
        except (OperatorError, OSError) as error:
            log.error("cannot serve", reason=str(error))
            raise SystemExit(1) from error

    return Child("gateway", run, calls_others=True)


def _trusted(tls: Renewed[Tls], identity: Renewed[Identity] | None) -> Trusted:
    """Trusts exactly the workers' certificate, and shows one to them if they ask for it."""

    def make() -> Trust:
        shown = None if tls.value.client_ca is None else _shown(tls, identity)
        return replace(certificate.trust(tls.value), identity=shown)

    return Trusted([tls] if identity is None else [tls, identity], make, served.check)


def _beside(address: str) -> str:
    """Returns the address at which a process of this machine reaches what listens on `address`."""
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return address
    if not ip.is_unspecified:
        return address
    return f"127.0.0.1:{port}" if ip.version == 4 else f"[::1]:{port}"  # noqa: PLR2004  # IPv4
