"""What the gateway shows to its callers, and whom it trusts to be the server: both change with their files."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.grpc_client import certificate
from service.grpc_client.certificate import Tls
from service.grpc_client.channel import Trust
from service.grpc_client.renewal import Renewed


class Shown:
    """A context for an HTTP server that takes the certificate of the moment at each handshake.

    The context itself stays as it is: one into which a key of another kind is loaded goes on showing the first, too.
    """

    def __init__(self, tls: Tls) -> None:
        self._current = certificate.context(tls)
        self.context = certificate.context(tls)
        self.context.sni_callback = self._choose

    def replace(self, tls: Tls) -> None:
        """Shows another certificate to connections that come from now on. Raises `CertificateUnusable`."""
        self._current = certificate.context(tls)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Is called at each handshake, whether the client names the server or not."""
        connection.context = self._current


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the trust in a server is made of.

    Attributes:
        sources: the files that it comes from.
        make: makes it of what they hold now.
        check: looks at a certificate that this gateway shows and the server shows too, before it is taken. Raises
            `CertificateUnusable`.
    """

    sources: Sequence[Renewed[Any]]
    make: Callable[[], Trust]
    check: Callable[[Any], None] = lambda _value: None


class Certificates:
    """What is shown and what is trusted, as the files have it now.

    Args:
        tls: what is shown; None for plaintext.
        trust: whom to trust, or what that is made of; None for plaintext.
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
        self._shown = None if tls is None else Shown(tls.value)
        self.context = None if self._shown is None else self._shown.context
        self.trust = trust.make() if isinstance(trust, Trusted) else trust

    def watch(self, renew: Callable[[Trust], object]) -> None:
        """Looks at the files from now on. `renew` is called, in another thread, with a trust that is new."""
        self._renew = renew
        for source in self._sources:
            source.watch(partial(self._use, source))

    def _use(self, source: Renewed[Any]) -> None:
        if self._shown is not None and source is self._tls:
            self._shown.replace(source.value)
        if self._trusted is not None and source in self._trusted.sources:
            self._renew(self._trusted.make())

    def ask(self) -> None:
        """Has the files read again at once. A signal's handler may call it."""
        for source in self._sources:
            source.ask()

    def close(self) -> None:
        """Ends the watch."""
        for source in self._sources:
            source.close()
