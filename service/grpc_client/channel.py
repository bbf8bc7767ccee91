"""Opens channels to a server, for synchronous clients and for asyncio."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

from dataclasses import dataclass

import grpc

Options = tuple[tuple[str, int | str], ...]

_OPTIONS: Options = (
    # The server limits its answers with a setting of its own.
    ("grpc.max_receive_message_length", -1),
    # gRPC's own delays grow to two minutes, during which a restarted server would not be found.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Detects a server that vanished without closing the connection, also by a stream without messages.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
# A server that stops may refuse a call before it has processed it. gRPC 1.85 then retries the call; if no server
# listens by then, a stream of the synchronous API never ends, not even by a cancellation, until the channel is closed.
_NO_RETRIES: Options = (("grpc.enable_retries", 0),)
# Channels with the same credentials would share one connection.
_OWN_CONNECTION: Options = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain and its private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """Which server certificates to trust over TLS.

    Attributes:
        root_certificates: the authorities, in PEM; None for those of the system.
        name: the name in the server's certificate, if it is not the host of the address.
        identity: the client certificate for a server that asks for one.
    """

    root_certificates: bytes | None = None
    name: str | None = None
    identity: Identity | None = None


def open_channel(address: str, trust: Trust | None) -> grpc.Channel:
    """Opens a channel of the synchronous API. `trust` is None for plaintext."""
    every = (*options(trust), *_NO_RETRIES)
    if trust is None:
        return grpc.insecure_channel(address, every)
    return grpc.secure_channel(address, credentials(trust), every)


def open_aio_channel(address: str, trust: Trust | None) -> grpc.aio.Channel:
    """Opens a channel of the asyncio API with a connection of its own. `trust` is None for plaintext."""
    every = (*options(trust), *_OWN_CONNECTION)
    if trust is None:
        return grpc.aio.insecure_channel(address, every)
    return grpc.aio.secure_channel(address, credentials(trust), every)


def options(trust: Trust | None) -> Options:
    """Returns the options of every channel. `trust` is None for plaintext."""
    if trust is None:
        # A proxy would see the API key.
        return (*_OPTIONS, ("grpc.enable_http_proxy", 0))
    return _OPTIONS if trust.name is None else (*_OPTIONS, ("grpc.ssl_target_name_override", trust.name))


def credentials(trust: Trust) -> grpc.ChannelCredentials:
    """Returns the credentials of a channel over TLS."""
    if trust.identity is None:
        return grpc.ssl_channel_credentials(trust.root_certificates)
    return grpc.ssl_channel_credentials(trust.root_certificates, trust.identity.key, trust.identity.certificate)
