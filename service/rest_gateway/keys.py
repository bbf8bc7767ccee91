"""Refuses bad API keys before a body is read. The service checks the key of each call again: this saves work only."""

import asyncio
import hashlib
import re
import time
from typing import Any, NamedTuple

import grpc

from service.grpc_client import failure
from service.grpc_client.metadata import API_KEY, KEY_CHECK
from service.rest_gateway import failures
from service.rest_gateway.dialling import Dialled

FORM = re.compile(rb"da_[0-9A-Za-z]{8}_[0-9A-Za-z]{8,64}")
"""The form of a key."""

_GOOD_SECONDS = 300.0
_MAX_KNOWN = 10_000
_MAX_UNKNOWN_ASKED = 2
_MAX_UNKNOWN_WAITING = 128
_MAX_KNOWN_ASKED = 128
# A key that was not good holds its place among those asked about for so many times as long as the answer took, so that
# a flood of such keys leaves the service three quarters of the time.
_REST_TIMES = 3
_MAX_REST_SECONDS = 0.25


class _Good(NamedTuple):
    """A key that was good: until when it is not asked about again, and whose calls it is counted with."""

    until: float
    owner: bytes


class KeyChecks:
    """Asks the service about keys, and remembers those that were good.

    A key that was good before is asked about at once. Others wait for each other, so that a flood of wrong keys takes
    the service little work, and the callers with good keys none of their time.

    Args:
        control: a channel to the service that has no other calls than these and those of health.
    """

    def __init__(self, control: Dialled) -> None:
        self._rpc: Any = control.unary_unary(f"/{KEY_CHECK}")
        self._good: dict[bytes, _Good] = {}
        self._asked: dict[bytes, asyncio.Task[bytes]] = {}
        self._known_asked = 0
        self._unknown = asyncio.Semaphore(_MAX_UNKNOWN_ASKED)
        self._waiting = 0

    async def check(self, key: bytes, seconds: float) -> bytes:
        """Returns if a key was good within the last minutes; asks the service otherwise.

        Returns:
            The id of the key's organisation, or what stands for it.

        Raises:
            Refused: the key is not good, or the service cannot tell.
        """
        name = hashlib.sha256(key).digest()
        good = self._good.get(name)
        if good is not None and good.until > time.monotonic():
            return good.owner
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = asyncio.create_task(self._ask(name, key))
            asked.add_done_callback(lambda done: self._answered(name, done))
        try:
            # Several requests may wait for one answer: none of them ends the question.
            return await asyncio.wait_for(asyncio.shield(asked), seconds)
        except TimeoutError:
            raise failures.too_slow() from None

    def owner(self, key: bytes) -> bytes | None:
        """Returns whose a key is, if it was good when it was last asked about."""
        good = self._good.get(hashlib.sha256(key).digest())
        return None if good is None else good.owner

    def forget(self, key: bytes) -> None:
        """Asks about a key again the next time, because the service has refused it."""
        self._good.pop(hashlib.sha256(key).digest(), None)

    def _answered(self, name: bytes, done: asyncio.Task[bytes]) -> None:
        del self._asked[name]
        if not done.cancelled():
            done.exception()  # each request that waits has it; if none is left, it is not reported as lost

    async def _ask(self, name: bytes, key: bytes) -> bytes:
        good = self._good.get(name)
        if good is not None:
            if self._known_asked >= _MAX_KNOWN_ASKED:
                return good.owner  # the service checks it with the call
            self._known_asked += 1
            try:
                return await self._call(name, key)
            finally:
                self._known_asked -= 1
        if self._waiting >= _MAX_UNKNOWN_WAITING:
            raise failures.too_many_keys()
        self._waiting += 1
        try:
            async with self._unknown:
                return await self._call_and_rest(name, key)
        finally:
            self._waiting -= 1

    async def _call_and_rest(self, name: bytes, key: bytes) -> bytes:
        started = time.monotonic()
        try:
            return await self._call(name, key)
        except failures.Refused:
            await asyncio.sleep(min(_REST_TIMES * (time.monotonic() - started), _MAX_REST_SECONDS))
            raise

    async def _call(self, name: bytes, key: bytes) -> bytes:
        try:
            owner: bytes = await self._rpc(b"", metadata=((API_KEY, key.decode()),), timeout=10.0)
        except grpc.RpcError as error:
            failed = failure.from_error(error)
            if failed.code == "UNAUTHENTICATED":
                self._good.pop(name, None)
            raise failures.told(failed) from None
        while len(self._good) >= _MAX_KNOWN:
            self._good.pop(next(iter(self._good)))
        good = self._good[name] = _Good(time.monotonic() + _GOOD_SECONDS, owner or name)
        return good.owner
