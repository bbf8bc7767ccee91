"""The composition root of the REST gateway, which runs in a process of its own."""

import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

from service.config import Settings
from service.transport.channel import Trust
from service.transport.gateway.application import Options
from service.transport.gateway.description import pages
from service.transport.gateway.server import Runner, Target, listen

_log = structlog.get_logger("gateway")


class CannotListen(Exception):
    """The gateway cannot listen there; the text says where and why."""


def serve(
    settings: Settings,
    address: str,
    target: str,
    *,
    trust: Trust | None = None,
    tls: tuple[Path, Path] | None = None,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serves REST until SIGTERM or SIGINT. All it is given can be sent to a new process.

    Args:
        settings: the configuration.
        address: where to serve, `host:port`; port 0 takes a free one.
        target: where the service is, `host:port`.
        trust: whom to trust there; None for plaintext.
        tls: the files of the certificate and its key; None serves plaintext.
        started: is told the port once the gateway answers.

    Raises:
        CannotListen: it cannot listen there.
        OSError: a file cannot be read.
        ssl.SSLError: the files are no certificate and its key.
    """
    options = Options(
        max_body_bytes=settings.rest_max_body_bytes,
        seconds=settings.rest_timeout_seconds,
        keep_alive_seconds=settings.rest_keep_alive_seconds,
        cors_origins=tuple(settings.rest_cors_origins.split()),
    )
    tls_context = None if tls is None else _tls(*tls)
    runner = Runner(Target(target, trust), options, settings.drain_seconds, tls_context, pages.routes())

    def ask(_signal: int, _frame: FrameType | None) -> None:
        runner.stop()

    def tell() -> None:
        _log.info("serving REST", address=address, port=port, tls=tls is not None, target=target)
        started(port)

    try:
        listener = listen(address)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None
    port: int = listener.getsockname()[1]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    runner.run(listener, tell)
    _log.info("stopped REST")


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The password keeps OpenSSL from asking for one.
    context.load_cert_chain(certificate, key, password="")
    return context
