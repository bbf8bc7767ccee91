"""Tells whose a key is, quickly, and forgets it within seconds; and holds keys to their rate."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid, RateLimited
from service.domain.keys import Principal

_MAX_CACHED = 10_000


class Authenticator:
    """Checks keys.

    Args:
        find: asks the database, by a key's hash.
        cache_seconds: how long an answer is taken for true. A revocation is effective after this long at the latest.
    """

    def __init__(self, find: Callable[[str, Cancellation], Principal | None], cache_seconds: float) -> None:
        self._find = find
        self._cache_seconds = cache_seconds
        self._cached: dict[str, tuple[Principal, float]] = {}
        self._used: dict[str, datetime] = {}

    def known(self, sha256: str) -> tuple[Principal | None, bool]:
        """Returns whose a key was when it was last checked, if it was good then, and whether that still counts."""
        known = self._cached.get(sha256)
        return (None, False) if known is None else (known[0], known[1] > time.monotonic())

    def principal(self, sha256: str, cancellation: Cancellation) -> Principal:
        """Returns whom a key speaks for, by the key's hash.

        Raises:
            ApiKeyInvalid: it is unknown, expired or revoked; which of them is not told.
            DatabaseUnavailable: it cannot be checked now.
            Cancelled, DeadlineExceeded: the caller's patience ended first.
        """
        now = time.monotonic()
        known = self._cached.get(sha256)
        if known is not None and known[1] > now:
            principal = known[0]
        else:
            found = self._find(sha256, cancellation)
            if found is None:
                self._cached.pop(sha256, None)
                raise ApiKeyInvalid
            principal = found
            self._cached.pop(sha256, None)
            if len(self._cached) >= _MAX_CACHED:
                self._forget_oldest()
            # Counted from before the question, so that the answer is not older than it may be.
            self._cached[sha256] = (principal, now + self._cache_seconds)
        self._used[principal.key_id] = datetime.now(UTC)
        return principal

    def _forget_oldest(self) -> None:
        # Another thread may change the cache just now: then there is room, or the next one makes it.
        with suppress(KeyError, StopIteration, RuntimeError):
            del self._cached[next(iter(self._cached))]

    def take_used(self) -> dict[str, datetime]:
        """Gives when each key was last used since the last time this was asked."""
        used, self._used = self._used, {}
        return used


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket for each key: so many calls a second, with bursts of a second's worth. 0 is no limit."""

    def __init__(self, calls_per_second: float) -> None:
        self._rate = calls_per_second
        self._burst = max(1.0, calls_per_second)
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """Counts a call. Raises `RateLimited`, with the time to wait, if there have been too many."""
        if not self._rate:
            return
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.setdefault(key_id, _Bucket(self._burst, now))
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
            bucket.filled_at = now
            if bucket.tokens < 1:
                raise RateLimited(retry_after_seconds=(1 - bucket.tokens) / self._rate)
            bucket.tokens -= 1
