"""Rejects invalid API keys before a body is read. The server checks the key of each call again."""

import asyncio
import hashlib
import re
import time
from typing import Any, NamedTuple

import grpc

from service.grpc_client.metadata import API_KEY, KEY_CHECK
from service.rest_gateway import call_errors, errors
from service.rest_gateway.channel_pool import ChannelPool
from service.rest_gateway.http_error import HTTPError

KEY_PATTERN = re.compile(rb"da_[0-9A-Za-z]{8}_[0-9A-Za-z]{8,64}")
"""The form of a key."""

_VALID_SECONDS = 300.0
_MAX_KNOWN = 10_000
_MAX_UNKNOWN_IN_FLIGHT = 2
_MAX_UNKNOWN_WAITING = 128
_MAX_KNOWN_IN_FLIGHT = 128
_CHECK_SECONDS = 10.0
# After an invalid key its place among the checks in flight stays taken for this many times as long as the check took,
# so that a flood of invalid keys uses at most a quarter of the server's time.
_DELAY_TIMES = 3
_MAX_DELAY_SECONDS = 0.25


class _ValidKey(NamedTuple):
    """A key that the server accepted: until when it is not checked again, and its organisation."""

    until: float
    owner: bytes


class KeyChecker:
    """Checks keys with the server, and caches the valid ones.

    A key that was valid before is checked at once. Unknown keys are checked a few at a time, so that a flood of invalid
    keys costs the server little, and does not delay requests with valid keys.

    Args:
        control: a channel to the server that has no other calls than key checks and health checks.
    """

    def __init__(self, control: ChannelPool) -> None:
        self._rpc: Any = control.unary_unary(f"/{KEY_CHECK}")
        self._valid: dict[bytes, _ValidKey] = {}
        self._in_flight: dict[bytes, asyncio.Task[bytes]] = {}
        self._known_in_flight = 0
        self._unknown = asyncio.Semaphore(_MAX_UNKNOWN_IN_FLIGHT)
        self._waiting = 0

    async def check(self, key: bytes, seconds: float) -> bytes:
        """Returns at once if the key was valid within the last minutes; checks it with the server otherwise.

        Returns:
            The id of the key's organisation, or a value that stands for it.

        Raises:
            HTTPError: the key is invalid, or could not be checked within `seconds`.
        """
        name = hashlib.sha256(key).digest()
        valid = self._valid.get(name)
        if valid is not None and valid.until > time.monotonic():
            return valid.owner
        check = self._in_flight.get(name)
        if check is None:
            check = self._in_flight[name] = asyncio.create_task(self._check(name, key))
            check.add_done_callback(lambda done: self._finish(name, done))
        try:
            # Several requests may wait for one check, so none of them cancels it.
            return await asyncio.wait_for(asyncio.shield(check), seconds)
        except TimeoutError:
            raise errors.deadline_exceeded() from None

    def owner(self, key: bytes) -> bytes | None:
        """Returns the organisation of a key that was valid when it was last checked; None for other keys."""
        valid = self._valid.get(hashlib.sha256(key).digest())
        return None if valid is None else valid.owner

    def forget(self, key: bytes) -> None:
        """Removes a key that the server has rejected from the cache."""
        self._valid.pop(hashlib.sha256(key).digest(), None)

    def _finish(self, name: bytes, done: asyncio.Task[bytes]) -> None:
        del self._in_flight[name]
        if not done.cancelled():
            done.exception()  # marks it as retrieved: asyncio would log it if no request waits any more

    async def _check(self, name: bytes, key: bytes) -> bytes:
        valid = self._valid.get(name)
        if valid is not None:
            if self._known_in_flight >= _MAX_KNOWN_IN_FLIGHT:
                return valid.owner  # the server checks it with the call
            self._known_in_flight += 1
            try:
                return await self._call(name, key)
            finally:
                self._known_in_flight -= 1
        if self._waiting >= _MAX_UNKNOWN_WAITING:
            raise errors.too_many_keys()
        self._waiting += 1
        try:
            async with self._unknown:
                return await self._call_with_delay(name, key)
        finally:
            self._waiting -= 1

    async def _call_with_delay(self, name: bytes, key: bytes) -> bytes:
        started = time.monotonic()
        try:
            return await self._call(name, key)
        except HTTPError:
            await asyncio.sleep(min(_DELAY_TIMES * (time.monotonic() - started), _MAX_DELAY_SECONDS))
            raise

    async def _call(self, name: bytes, key: bytes) -> bytes:
        try:
            owner: bytes = await self._rpc(b"", metadata=((API_KEY, key.decode()),), timeout=_CHECK_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._valid.pop(name, None)
            raise call_errors.from_rpc_error(error) from None
        while len(self._valid) >= _MAX_KNOWN:
            self._valid.pop(next(iter(self._valid)))
        valid = self._valid[name] = _ValidKey(time.monotonic() + _VALID_SECONDS, owner or name)
        return valid.owner
