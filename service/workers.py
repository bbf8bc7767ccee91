"""Serves with several processes under a supervisor: workers that share a port, and REST in front of them."""

import gc
import ipaddress
import os
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from service import app, log, log_lines
from service.config import Settings
from service.domain.errors import OperatorError, ServiceError
from service.port import SharedPort
from service.supervision.link import Link
from service.supervision.process import Child
from service.supervision.supervisor import Supervisor
from service.transport import certificate
from service.transport.certificate import Tls
from service.transport.channel import Trust

# Beside the calls in flight: the database's answers to the bookkeeping, and the end of the streams.
_STOP_MARGIN_SECONDS = 8.0


class NoWorkers(OperatorError):
    """This system cannot run several processes."""


@dataclass(frozen=True, slots=True)
class Front:
    """Where to serve REST, `host:port`, and with which certificate; None serves plaintext. Port 0 takes a free one."""

    address: str
    tls: ssl.SSLContext | None = None


def serve(
    settings: Settings,
    address: str,
    workers: int,
    *,
    tls: Tls | None = None,
    front: Front | None = None,
    started: Callable[[int, int | None], None] = lambda _port, _rest_port: None,
) -> bool:
    """Serves until SIGTERM or SIGINT.

    The processes are forked: all has been imported by then, and no thread, connection or gRPC been started.

    Args:
        settings: the configuration, the same for each worker.
        address: `host:port`; port 0 takes a free one.
        workers: how many processes.
        tls: the certificate and key; None serves plaintext.
        front: where to serve REST; None serves none.
        started: is told the port, and that of REST, once all processes answer.

    Returns:
        Whether all processes stopped by themselves; those that did not in time were killed.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable, PortUnavailable, NoWorkers, CertificateUnusable: it
            cannot be served.
        CannotServe: the processes die before they serve.
    """
    if not hasattr(os, "fork"):
        raise NoWorkers("this system cannot fork processes: serve with one worker, and REST with `gateway`")
    trust = None if front is None or front.tls is None else certificate.trust(front.tls)
    with ExitStack() as ports:
        port = ports.enter_context(closing(SharedPort(address)))
        rest_port = None if front is None else ports.enter_context(closing(SharedPort(front.address)))
        app.check(settings)
        log_lines.name_process("supervisor")
        children = [
            Child(f"worker-{number + 1}", partial(_work, settings, port.address, tls)) for number in range(workers)
        ]
        where: dict[str, Any] = {"address": port.address, "port": port.number}
        if front is not None and rest_port is not None:
            children.append(_gateway(settings, Front(rest_port.address, front.tls), _beside(port.address), trust))
            where |= {"rest_address": rest_port.address, "rest_port": rest_port.number}

        def all_serve() -> None:
            log.info("all workers serving", **where, workers=workers)
            started(port.number, None if rest_port is None else rest_port.number)

        # What is there now stays: a collector that looks at it would make each process a copy of its own.
        gc.collect()
        gc.freeze()
        return Supervisor(
            children,
            stop_seconds=settings.drain_seconds + _STOP_MARGIN_SECONDS,
            let_go=ports.close,
            all_serve=all_serve,
        ).run()


def _work(settings: Settings, address: str, tls: Tls | None, link: Link) -> None:
    try:
        app.serve(settings, address, tls, link=link)
    except (OperatorError, ServiceError, OSError) as error:
        log.error("cannot serve", reason=str(error))
        raise SystemExit(1) from error


def _gateway(settings: Settings, front: Front, target: str, trust: Trust | None) -> Child:
    # Only where it is wanted, but before the fork: it is shared then, and back at once when it died.
    from service import rest  # noqa: PLC0415

    def run(link: Link) -> None:
        try:
            rest.serve(settings, front.address, target, trust=trust, tls=front.tls, link=link)
        except (OperatorError, OSError) as error:
            log.error("cannot serve", reason=str(error))
            raise SystemExit(1) from error

    return Child("gateway", run, front=True)


def _beside(address: str) -> str:
    """Gives the address at which a process of this machine reaches what listens on `address`."""
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return address
    if not ip.is_unspecified:
        return address
    return f"127.0.0.1:{port}" if ip.version == 4 else f"[::1]:{port}"  # noqa: PLR2004  # IPv4
