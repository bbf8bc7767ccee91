"""Finds the principal of a key, with a cache of a few seconds, and bounds the rate of each key."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid, RateLimited
from service.domain.keys import Principal, RefusedKey
from service.metrics import numbers

_MAX_CACHED = 10_000

_LOOKUPS = numbers.counter(
    "key_lookups", "Keys that were checked, by whether the cache had them.", cache=("hit", "miss")
)
_CACHED = numbers.gauge("key_cache_keys", "Keys in the cache.")


class Authenticator:
    """Checks keys.

    Args:
        find: looks a key up in the database, by its hash.
        cache_seconds: how long a result is used. A revocation is effective after this time at the latest.
    """

    def __init__(
        self, find: Callable[[str, Cancellation], Principal | RefusedKey | None], cache_seconds: float
    ) -> None:
        self._find = find
        self._cache_seconds = cache_seconds
        self._cached: dict[str, tuple[Principal, float]] = {}
        self._used: dict[str, datetime] = {}

    def known(self, sha256: str) -> tuple[Principal | None, bool]:
        """Returns the principal of a key that was valid at its last check, and whether the cache may still be used."""
        known = self._cached.get(sha256)
        return (None, False) if known is None else (known[0], known[1] > time.monotonic())

    def principal(self, sha256: str, cancellation: Cancellation) -> Principal:
        """Returns the principal of a key, by the key's hash.

        Raises:
            ApiKeyInvalid: it is unknown, expired or revoked; the error does not say which.
            DatabaseUnavailable: it cannot be checked now.
            Cancelled, DeadlineExceeded: the call ended first.
        """
        now = time.monotonic()
        known = self._cached.get(sha256)
        if known is not None and known[1] > now:
            _LOOKUPS.add(1, "hit")
            principal = known[0]
        else:
            _LOOKUPS.add(1, "miss")
            found = self._find(sha256, cancellation)
            if not isinstance(found, Principal):
                self._cached.pop(sha256, None)
                error = ApiKeyInvalid()
                error.refused = found
                raise error
            principal = found
            self._cached.pop(sha256, None)
            if len(self._cached) >= _MAX_CACHED:
                self._forget_oldest()
            # From the time before the query, so that the result is never used for longer than `cache_seconds`.
            self._cached[sha256] = (principal, now + self._cache_seconds)
        self._used[principal.key_id] = datetime.now(UTC)
        return principal

    def _forget_oldest(self) -> None:
        # Another thread may change the cache now: then there is space, or the next call makes it.
        with suppress(KeyError, StopIteration, RuntimeError):
            del self._cached[next(iter(self._cached))]

    def write_gauges(self) -> None:
        """Writes the size of the cache, for Prometheus."""
        _CACHED.set(len(self._cached))

    def take_used(self) -> dict[str, datetime]:
        """Returns when each key was last used since the last call of this method."""
        used, self._used = self._used, {}
        return used


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket for each key: this many calls a second, and as many at once. 0 is no limit."""

    def __init__(self, calls_per_second: float) -> None:
        self._rate = calls_per_second
        self._burst = max(1.0, calls_per_second)
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """Counts a call. Raises `RateLimited`, with the time to wait, if the bucket is empty."""
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
