"""A pool of gRPC channels to the server. The channels can be replaced while calls are in flight."""

import asyncio
from typing import Any, Self
from weakref import WeakSet

import grpc

from service.grpc_client.channel import Trust, open_aio_channel

_POLL_SECONDS = 1.0


class _PooledChannel:
    """A channel and its calls in flight."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        self.channel = opened
        self.rpcs: dict[_PooledRpc, Any] = {}
        # Weak: a done callback would keep the call, and so its answer, until the next garbage collection.
        self.calls: WeakSet[Any] = WeakSet()

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to connect has failed."""
        return self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def close_when_idle(self) -> None:
        """Closes the channel after its last call."""
        self.rpcs.clear()
        while self.calls:  # noqa: ASYNC110  # the weak set has no event for the end of the last call
            await asyncio.sleep(_POLL_SECONDS)
        await self.channel.close()


class _PooledRpc:
    """An rpc; each call goes to the channel with the fewest calls."""

    def __init__(self, pool: "ChannelPool", kind: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._pool = pool
        self._kind, self._arguments, self._named = kind, arguments, named

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        pooled = self._pool.least_loaded()
        rpc = pooled.rpcs.get(self)
        if rpc is None:
            rpc = pooled.rpcs[self] = getattr(pooled.channel, self._kind)(*self._arguments, **self._named)
        call = rpc(*arguments, **named)
        pooled.calls.add(call)
        return call


class ChannelPool:
    """Has the methods of `grpc.aio.Channel` that the gateway uses. Construct and use it in the event loop.

    Args:
        address: the server, `host:port`.
        trust: which server certificate to trust; None for plaintext.
        count: how many channels there are. Each has a connection of its own, which is opened for its first call.
    """

    def __init__(self, address: str, trust: Trust | None, count: int = 1) -> None:
        self._address = address
        self._count = count
        self._channels = self._open(trust)
        self._renewing: asyncio.Task[None] | None = None
        self._closing: list[asyncio.Task[None]] = []

    @property
    def is_failing(self) -> bool:
        """Whether a call would fail at once, because no channel can be connected."""
        return all(pooled.is_failing for pooled in self._channels)

    def least_loaded(self) -> _PooledChannel:
        """Returns the channel with the fewest calls, of those that are not failing if there are any."""
        chosen = min(self._channels, key=_load)
        if chosen.is_failing:
            chosen = min((pooled for pooled in self._channels if not pooled.is_failing), key=_load, default=chosen)
        return chosen

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        """Returns an rpc with one answer."""
        return _PooledRpc(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Returns an rpc that streams its answers."""
        return _PooledRpc(self, "unary_stream", arguments, named)

    def renew(self, trust: Trust) -> None:
        """Opens new channels, and uses them for new calls once one is connected. Until then the old ones are used."""
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._renew(trust))

    async def _renew(self, trust: Trust) -> None:
        opened = self._open(trust)
        try:
            await opened[0].channel.channel_ready()
        except asyncio.CancelledError:
            for pooled in opened:
                await pooled.channel.close()
            raise
        before, self._channels = self._channels, opened
        self._closing = [task for task in self._closing if not task.done()]
        self._closing += [asyncio.create_task(pooled.close_when_idle()) for pooled in before]

    def _open(self, trust: Trust | None) -> list[_PooledChannel]:
        return [_PooledChannel(open_aio_channel(self._address, trust)) for _ in range(self._count)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        for task in self._closing:
            task.cancel()
        for pooled in self._channels:
            await pooled.channel.close()


def _load(pooled: _PooledChannel) -> int:
    return len(pooled.calls)
