"""The gateway's connections to the service, which can be made anew while calls go on."""

import asyncio
from typing import Any, Self
from weakref import WeakSet

import grpc

from service.grpc_client import channel
from service.grpc_client.channel import Trust

_LOOK_SECONDS = 1.0


def _open(address: str, trust: Trust | None) -> grpc.aio.Channel:
    # One of its own: gRPC would share a connection between channels that trust the same.
    options = (*channel.options(trust), ("grpc.use_local_subchannel_pool", 1))
    if trust is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, channel.credentials(trust), options)


class _Line:
    """A channel, and its calls."""

    def __init__(self, opened: grpc.aio.Channel) -> None:
        self.channel = opened
        self.rpcs: dict[_Rpc, Any] = {}
        # A callback at a call's end would keep the call, and so its answer, until the garbage collector comes.
        self.calls: WeakSet[Any] = WeakSet()

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to connect has failed."""
        return self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def retire(self) -> None:
        """Closes the channel when its last call is over."""
        self.rpcs.clear()
        while self.calls:  # noqa: ASYNC110  # see above: nothing says that the last is over
            await asyncio.sleep(_LOOK_SECONDS)
        await self.channel.close()


class _Rpc:
    """An rpc, called on the channel that has the fewest calls."""

    def __init__(self, dialled: "Dialled", kind: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._dialled = dialled
        self._kind, self._arguments, self._named = kind, arguments, named

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        line = self._dialled.choose()
        rpc = line.rpcs.get(self)
        if rpc is None:
            rpc = line.rpcs[self] = getattr(line.channel, self._kind)(*self._arguments, **self._named)
        call = rpc(*arguments, **named)
        line.calls.add(call)
        return call


class Dialled:
    """What the gateway uses of a `grpc.aio.Channel`. To be made and used in the loop.

    Args:
        address: where the service is, `host:port`.
        trust: whom to trust there; None for plaintext.
        count: how many channels there are, each with a connection of its own, which is made when a call needs it.
    """

    def __init__(self, address: str, trust: Trust | None, count: int = 1) -> None:
        self._address = address
        self._count = count
        self._lines = self._open(trust)
        self._renewing: asyncio.Task[None] | None = None
        self._retiring: list[asyncio.Task[None]] = []

    @property
    def failing(self) -> bool:
        """Whether a call would fail at once, because no channel can be connected."""
        return all(line.is_failing for line in self._lines)

    def choose(self) -> _Line:
        """Returns the channel with the fewest calls, of those that can be connected if there are any."""
        chosen = min(self._lines, key=_load)
        if chosen.is_failing:
            chosen = min((line for line in self._lines if not line.is_failing), key=_load, default=chosen)
        return chosen

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        """Gives an rpc."""
        return _Rpc(self, "unary_unary", arguments, named)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Gives an rpc that streams its answers."""
        return _Rpc(self, "unary_stream", arguments, named)

    def renew(self, trust: Trust) -> None:
        """Makes a new channel, and uses it for new calls when it is connected; until then there is the old one."""
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._renew(trust))

    async def _renew(self, trust: Trust) -> None:
        opened = self._open(trust)
        try:
            await opened[0].channel.channel_ready()
        except asyncio.CancelledError:
            for line in opened:
                await line.channel.close()
            raise
        before, self._lines = self._lines, opened
        self._retiring = [task for task in self._retiring if not task.done()]
        self._retiring += [asyncio.create_task(line.retire()) for line in before]

    def _open(self, trust: Trust | None) -> list[_Line]:
        return [_Line(_open(self._address, trust)) for _ in range(self._count)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        for task in self._retiring:
            task.cancel()
        for line in self._lines:
            await line.channel.close()


def _load(line: _Line) -> int:
    return len(line.calls)
