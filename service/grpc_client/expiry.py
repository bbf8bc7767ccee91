"""Warns of a certificate that expires."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service.runtime import log

_WARNING = timedelta(days=14)
_REPEAT = timedelta(days=1)


def utc_now() -> datetime:
    """Returns the time of the system."""
    return datetime.now(UTC)


class ExpiryWarning:
    """Logs a warning once a day, from two weeks before a certificate expires on, and an error afterwards.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._last: tuple[bool, datetime] | None = None

    def reset(self) -> None:
        """Forgets the last warning, because the certificate is a new one."""
        self._last = None

    def check(self, ends: datetime | None, files: str) -> None:
        """Logs if it is time to. `ends` is when the certificate expires; None for never."""
        now = self._now()
        if ends is None or now < ends - _WARNING:
            return
        expired = now >= ends
        if self._last is not None and self._last[0] == expired and now < self._last[1] + _REPEAT:
            return
        self._last = (expired, now)
        write = log.error if expired else log.warning
        write(
            "certificate has ended" if expired else "certificate ends soon",
            files=files,
            ends=ends.isoformat(),
            days=(ends - now).days,
        )
