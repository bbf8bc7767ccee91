"""The composition root of the REST gateway, which runs in a process of its own."""

import signal
from types import FrameType

from service.config import Settings
from service.grpc_client.certificate import Tls
from service.grpc_client.channel import Trust
from service.grpc_client.renewal import Renewed
from service.rest_gateway import pages
from service.rest_gateway.application import Options
from service.rest_gateway.certificates import Certificates, Trusted
from service.rest_gateway.server import Runner, Target
from service.rest_gateway.sockets import listen
from service.runtime import log, open_files
from service.runtime.operator_error import OperatorError
from service.runtime.signals import HANGUP, ignore_hangup
from service.supervision.heartbeat import Link
from service.version import VERSION

# For the connections to the service, the log, and callers who are being turned away.
_OTHER_DESCRIPTORS = 64


class CannotListen(OperatorError):
    """The gateway cannot listen there; the text says where and why."""


def serve(
    settings: Settings,
    address: str,
    target: str,
    *,
    trust: Trust | Trusted | None = None,
    tls: Renewed[Tls] | None = None,
    link: Link | None = None,
) -> None:
    """Serves REST until SIGTERM or SIGINT. On SIGHUP it reads the certificates again.

    Args:
        settings: the configuration.
        address: where to serve, `host:port`; port 0 takes a free one.
        target: where the service is, `host:port`.
        trust: whom to trust there, or what that is made of; None for plaintext.
        tls: the certificate and its key; None serves plaintext.
        link: to the supervisor, which alone is asked with SIGINT then, and which has reserved the port.

    Raises:
        CannotListen: it cannot listen there.
    """
    connections = min(settings.rest_connections, max(1, open_files.raise_limit() - _OTHER_DESCRIPTORS))
    options = Options(
        max_body_bytes=settings.rest_max_body_bytes,
        buffered_bytes=settings.rest_buffered_bytes,
        connections=connections,
        seconds=settings.rest_timeout_seconds,
        keep_alive_seconds=settings.rest_keep_alive_seconds,
        cors_origins=tuple(settings.rest_cors_origins.split()),
    )
    certificates = Certificates(tls, trust)
    runner = Runner(
        Target(target, certificates.trust), options, settings.drain_seconds, certificates.context, pages.routes()
    )

    def read_again(_signal: int, _frame: FrameType | None) -> None:
        certificates.ask()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        runner.stop()

    def tell() -> None:
        log.info(
            "serving REST",
            address=address,
            port=port,
            tls=tls is not None,
            target=target,
            connections=connections,
            version=VERSION,
        )
        if connections < settings.rest_connections:
            why = "each takes one of the open files that this process may have (ulimit -n)"
            log.warning("fewer connections than set", connections=connections, reason=why)
        certificates.watch(runner.renew)
        if link is not None:
            link.report(True)

    try:
        listening = listen(address, shared=link is not None)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None
    port: int = listening[0].getsockname()[1]
    for number in (signal.SIGTERM, signal.SIGINT) if link is None else (signal.SIGTERM,):
        signal.signal(number, ask)
    if HANGUP is not None:
        signal.signal(HANGUP, read_again)
    if link is not None:
        link.start(lambda _all_serve: None)
    runner.run(listening, tell)
    ignore_hangup()
    certificates.close()
    log.info("stopped REST")
