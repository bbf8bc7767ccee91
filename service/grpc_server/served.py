"""The certificate of a gRPC server. It can be replaced while the server runs, and is tried before it is used."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from service.grpc_client import certificate, channel
from service.grpc_client.certificate import WORKS, CertificateUnusable, Tls
from service.grpc_client.channel import Identity, Trust

_TRIAL_SECONDS = 20.0
_LOOPBACK = "127.0.0.1:0"


class Served:
    """The credentials of a server, whose certificate can be replaced. Open connections stay."""

    def __init__(self, tls: Tls) -> None:
        self._lock = threading.Lock()
        self._new: Tls | None = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            _configuration(tls),
            self._take,  # type: ignore[arg-type]  # None is allowed
            require_client_authentication=tls.client_ca is not None,
        )

    def replace(self, tls: Tls) -> None:
        """Replaces the certificate for new connections."""
        with self._lock:
            self._new = tls

    def _take(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns a new certificate, or None to keep the current one. gRPC calls it for each new connection."""
        if self._new is None:
            return None
        with self._lock:
            new, self._new = self._new, None
        return None if new is None else _configuration(new)


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.client_ca)


def check(tls: Tls, identity: Identity | None = None) -> None:
    """Checks that gRPC's own client can connect to a server with a certificate, on a port of its own.

    Args:
        tls: the certificate. The trial asks for a client certificate only if there is an `identity`.
        identity: the client certificate to present.

    Raises:
        CertificateUnusable: it cannot.
    """
    trust = certificate.trust(tls)
    _try(Tls(tls.certificate, tls.key), trust, f"gRPC cannot use the key; {WORKS}")
    if tls.client_ca is not None and identity is not None:
        shown = Trust(trust.root_certificates, trust.name, identity)
        _try(tls, shown, "the certificate that is shown to it does not come from the authority that it asks for")


def _try(tls: Tls, trust: Trust, problem: str) -> None:
    threads = ThreadPoolExecutor(1)
    server = grpc.server(threads)
    try:
        try:
            port = server.add_secure_port(_LOOPBACK, Served(tls).credentials)
        except RuntimeError:
            raise CertificateUnusable(problem) from None
        server.start()
        # No proxy, and no connection of an earlier trial.
        options = (*channel.options(trust), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
        with grpc.secure_channel(f"127.0.0.1:{port}", channel.credentials(trust), options) as dialled:
            try:
                dialled.unary_unary("/trial/Trial")(b"", timeout=_TRIAL_SECONDS)  # type: ignore[arg-type]  # without codecs it takes bytes
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise CertificateUnusable(problem) from None
    finally:
        server.stop(None).wait()
        threads.shutdown()
