"""The composition root of the REST gateway: settings, certificates, signals and sockets of its process."""

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType

from service.config import Settings
from service.grpc_client.certificate import Tls
from service.grpc_client.channel import Trust
from service.grpc_client.renewal import Renewed
from service.metrics import numbers
from service.rest_gateway import pages
from service.rest_gateway.application import Options
from service.rest_gateway.certificates import Certificates, Trusted
from service.rest_gateway.server import Runner, Target
from service.rest_gateway.sockets import listen
from service.runtime import log, open_files
from service.runtime.operator_error import OperatorError
from service.runtime.signals import HANGUP, ignore_hangup
from service.supervision.heartbeat import Link
from service.tracing import spans
from service.version import VERSION

# For the connections to the server, the log, and connections that are being rejected.
_OTHER_DESCRIPTORS = 64

_PROCESSES = numbers.gauge("rest_processes", "Processes that serve REST.")


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
    serve_metrics: Callable[[], None] = lambda: None,
) -> None:
    """Serves REST until SIGTERM or SIGINT. SIGHUP reads the certificates again.

    Args:
        settings: the configuration.
        address: where to listen, `host:port`; port 0 takes a free port.
        target: the gRPC server, `host:port`.
        trust: the trust in the server, or how to make it from files; None for plaintext.
        tls: the certificate and its key; None serves plaintext.
        link: the connection to the supervisor, which has reserved the port. With it SIGINT is left to the supervisor.
        serve_metrics: begins to serve the metrics, if this process serves them.

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
    spans.start(settings.traces_endpoint, log.process_name() or "gateway")
    certificates = Certificates(tls, trust)
    runner = Runner(
        Target(target, certificates.trust), options, settings.drain_seconds, certificates.context, pages.routes()
    )

    def renew_certificates(_signal: int, _frame: FrameType | None) -> None:
        certificates.ask()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        runner.stop()

    def on_started() -> None:
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
            why = "the limit of open files (ulimit -n) is too low"
            log.warning("fewer connections than set", connections=connections, reason=why)
        certificates.watch(runner.renew)
        serve_metrics()
        numbers.write_each_second(partial(_PROCESSES.set, 1))
        if link is not None:
            link.report(True)

    try:
        listening = listen(address, shared=link is not None)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror}") from None
    port: int = listening[0].getsockname()[1]
    for number in (signal.SIGTERM, signal.SIGINT) if link is None else (signal.SIGTERM,):
        signal.signal(number, stop)
    if HANGUP is not None:
        signal.signal(HANGUP, renew_certificates)
    if link is not None:
        link.start(lambda _all_serve: None)
    runner.run(listening, on_started)
    ignore_hangup()
    certificates.close()
    spans.stop()
    log.info("stopped REST")
