"""The certificate of the gateway, and its trust in the server. Both are renewed when their files change."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.grpc_client import certificate
from service.grpc_client.certificate import Tls
from service.grpc_client.channel import Trust
from service.grpc_client.renewal import Renewed


class ServerContext:
    """An SSL context whose certificate can be replaced while the server runs.

    Each handshake switches to a context with the newest certificate. Loading it into the same context would not be
    enough: with a key of another type the context would offer both certificates.
    """

    def __init__(self, tls: Tls) -> None:
        self._current = certificate.context(tls)
        self.context = certificate.context(tls)
        self.context.sni_callback = self._choose

    def replace(self, tls: Tls) -> None:
        """Uses another certificate for new connections. Raises `CertificateUnusable`."""
        self._current = certificate.context(tls)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """OpenSSL calls it at each handshake, also without a server name."""
        connection.context = self._current


@dataclass(frozen=True, slots=True)
class Trusted:
    """How to make the trust in a server from files.

    Attributes:
        sources: the files.
        make: makes the trust from their current contents.
        check: checks a new certificate that both this gateway and the server use, before it is used. Raises
            `CertificateUnusable`.
    """

    sources: Sequence[Renewed[Any]]
    make: Callable[[], Trust]
    check: Callable[[Any], None] = lambda _value: None


class Certificates:
    """The gateway's own certificate and its trust in the server, as in the files now.

    Args:
        tls: the gateway's certificate; None for plaintext.
        trust: the trust in the server, or how to make it from files; None for plaintext.

    Attributes:
        context: the SSL context of the gateway's own certificate; None for plaintext.
        trust: the current trust in the server; None for plaintext.
    """

    def __init__(self, tls: Renewed[Tls] | None, trust: Trust | Trusted | None) -> None:
        self._tls = tls
        self._trusted = trust if isinstance(trust, Trusted) else None
        self._renew: Callable[[Trust], object] = lambda _trust: None
        sources = (tls, *(self._trusted.sources if self._trusted else ()))
        self._sources = {source for source in sources if source is not None}
        for source in self._sources:
            if self._trusted is not None and source is tls:
                source.refresh(self._trusted.check)
            else:
                source.refresh()
        self._server_context = None if tls is None else ServerContext(tls.value)
        self.context = None if self._server_context is None else self._server_context.context
        self.trust = trust.make() if isinstance(trust, Trusted) else trust

    def watch(self, renew: Callable[[Trust], object]) -> None:
        """Starts to watch the files. `renew` is called in another thread with each new trust in the server."""
        self._renew = renew
        for source in self._sources:
            source.watch(partial(self._use, source))

    def _use(self, source: Renewed[Any]) -> None:
        if self._server_context is not None and source is self._tls:
            self._server_context.replace(source.value)
        if self._trusted is not None and source in self._trusted.sources:
            self._renew(self._trusted.make())

    def ask(self) -> None:
        """Reads the files again at once. Signal handlers may call it."""
        for source in self._sources:
            source.ask()

    def close(self) -> None:
        """Stops watching the files."""
        for source in self._sources:
            source.close()
