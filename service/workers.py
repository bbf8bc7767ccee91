"""Serves with several processes that share a port, under a supervisor."""

import gc
import os
from collections.abc import Callable
from functools import partial

import structlog

from service import app, log
from service.config import Settings
from service.domain.errors import OperatorError, ServiceError
from service.port import SharedPort
from service.supervision.link import Link
from service.supervision.process import Child
from service.supervision.supervisor import Supervisor
from service.transport.server import Tls

_log = structlog.get_logger("server")

# Beside the calls in flight: the database's answers to the bookkeeping, and the end of the streams.
_STOP_MARGIN_SECONDS = 8.0


class NoWorkers(OperatorError):
    """This system cannot run several workers."""


def serve(
    settings: Settings,
    address: str,
    workers: int,
    tls: Tls | None = None,
    started: Callable[[int], None] = lambda _port: None,
) -> bool:
    """Serves until SIGTERM or SIGINT.

    The processes are forked: all has been imported by then, and no thread, connection or gRPC been started.

    Args:
        settings: the configuration, the same for each worker.
        address: `host:port`; port 0 takes a free one.
        workers: how many processes.
        tls: the certificate and key; None serves plaintext.
        started: is told the port once all workers answer.

    Returns:
        Whether all workers stopped by themselves; those that did not in time were killed.

    Raises:
        UnsupportedDatabase, NotCurrent, DatabaseUnavailable, PortUnavailable, NoWorkers: it cannot be served.
        CannotServe: the workers die before they serve.
    """
    if not hasattr(os, "fork"):
        raise NoWorkers("this system cannot fork processes; serve with one worker")
    port = SharedPort(address)
    app.check(settings)

    def all_serve() -> None:
        _log.info("all workers serving", address=port.address, port=port.number, workers=workers)
        started(port.number)

    log.name_process("supervisor")
    children = [
        Child(f"worker-{number}", partial(_work, settings, port.address, tls)) for number in range(1, workers + 1)
    ]
    # What is there now stays: a collector that looks at it would make each worker a copy of its own.
    gc.collect()
    gc.freeze()
    try:
        return Supervisor(
            children,
            stop_seconds=settings.drain_seconds + _STOP_MARGIN_SECONDS,
            let_go=port.close,
            all_serve=all_serve,
        ).run()
    finally:
        port.close()


def _work(settings: Settings, address: str, tls: Tls | None, link: Link) -> None:
    try:
        app.serve(settings, address, tls, link=link)
    except (OperatorError, ServiceError) as error:
        _log.error("cannot serve", reason=str(error))
        raise SystemExit(1) from error
