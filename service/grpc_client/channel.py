"""How clients reach a server."""

from dataclasses import dataclass

import grpc

Options = tuple[tuple[str, int | str], ...]

_OPTIONS: Options = (
    # The server bounds its answers, by a setting of its own.
    ("grpc.max_receive_message_length", -1),
    # A server that restarts is found again at once: gRPC's own delays grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A server that is gone without closing the connection is noticed, also by a stream without messages.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The certificate chain that one end shows, and its key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust over TLS.

    Attributes:
        root_certificates: the authorities, in PEM; None for the usual ones.
        name: whose certificate the server has, if not that of the host in its address.
        identity: what to show a server that asks for a certificate.
    """

    root_certificates: bytes | None = None
    name: str | None = None
    identity: Identity | None = None


# A server that stops may refuse a call before it has seen it. gRPC 1.85 then sends the call once more; and if nothing
# listens by then, a stream never ends, not even by a cancellation, until the channel is closed.
_FOR_STREAMS: Options = (("grpc.enable_retries", 0),)


def options(trust: Trust | None, *, streams: bool = False) -> Options:
    """Returns the options of a channel.

    Args:
        trust: None for plaintext.
        streams: whether answers are streamed on it.
    """
    every = (*_OPTIONS, *_FOR_STREAMS) if streams else _OPTIONS
    if trust is None:
        # A proxy would read the key.
        return (*every, ("grpc.enable_http_proxy", 0))
    return every if trust.name is None else (*every, ("grpc.ssl_target_name_override", trust.name))


def credentials(trust: Trust) -> grpc.ChannelCredentials:
    """Makes the credentials of a channel."""
    if trust.identity is None:
        return grpc.ssl_channel_credentials(trust.root_certificates)
    return grpc.ssl_channel_credentials(trust.root_certificates, trust.identity.key, trust.identity.certificate)
