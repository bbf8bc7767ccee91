"""Certificates that are read again when their files change, and kept as they were while the files cannot be used."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from service.grpc_client import certificate
from service.grpc_client.certificate import CertificateUnusable, KeyMismatch
from service.runtime import log
from service.runtime.operator_error import OperatorError

T = TypeVar("T")


class _Request(Enum):
    """What the thread is asked for."""

    READ = auto()
    END = auto()


_SECONDS = 5.0
# Files that are replaced one after the other do not fit together for a moment, which is no news.
_HALF_REPLACED_SECONDS = 1.0
_WARNING = timedelta(days=14)
_AGAIN = timedelta(days=1)
_END_SECONDS = 5.0

Contents = tuple[bytes, ...]


def _now() -> datetime:
    return datetime.now(UTC)


class Renewed(Generic[T]):
    """What files that belong together hold. It is read when this is made; a thread that looks again has to be started.

    Args:
        files: the files.
        make: makes the value of their contents. Raises `CertificateUnusable`.
        ends: finds out when the value ends; None for never.
        seconds: how often the files are looked at.
        now: the clock.

    Raises:
        OSError: a file cannot be read.
        CertificateUnusable: what is in them cannot be used.
    """

    def __init__(
        self,
        files: Sequence[Path],
        make: Callable[[Contents], T],
        *,
        ends: Callable[[T], datetime | None] = lambda _value: None,
        seconds: float = _SECONDS,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._files = files
        self._make = make
        self._ends = ends
        self._seconds = seconds
        self._now = now
        self._contents = self._read()
        with self._named():
            self.value = make(self._contents)
        self._refused: tuple[object, bool] | None = None
        self._told: tuple[bool, datetime] | None = None
        # One that may be put to by a signal's handler.
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._check: Callable[[T], None] = lambda _value: None
        self._changed: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._keep_up, name="certificates", daemon=True)

    @property
    def names(self) -> str:
        """The files, for people."""
        return " and ".join(map(str, self._files))

    def check(self, look: Callable[[T], None]) -> None:
        """Has the value looked at by a function that raises `CertificateUnusable`, and adds the files' names."""
        with self._named():
            look(self.value)

    def refresh(self, check: Callable[[T], None] = lambda _value: None) -> None:
        """Reads the files once more, in case that this was made some time ago, in another process.

        Args:
            check: looks at each new value before it is taken, from now on. Raises `CertificateUnusable`.
        """
        self._check = check
        self._look(asked=False)

    def watch(self, changed: Callable[[], None]) -> None:
        """Starts the thread. `changed` is called in it when there is another value."""
        self._changed = changed
        self._thread.start()

    def ask(self) -> None:
        """Has the files read again at once, and the log say what came of it."""
        self._requests.put(_Request.READ)

    def close(self) -> None:
        """Ends the thread."""
        if self._thread.is_alive():
            self._requests.put(_Request.END)
            self._thread.join(_END_SECONDS)

    def _keep_up(self) -> None:
        seconds = self._seconds
        while True:
            self._look_at_end()
            request = None
            with suppress(Empty):
                request = self._requests.get(timeout=seconds)
            if request is _Request.END:
                return
            try:
                settled = self._look(asked=request is _Request.READ)
            except Exception:  # noqa: BLE001  # whatever it is, the files are read again
                log.exception("certificate not renewed", files=self.names)
                settled = True
            seconds = self._seconds if settled else min(self._seconds, _HALF_REPLACED_SECONDS)

    def _look(self, *, asked: bool) -> bool:
        """Takes what the files hold now if it is new and good. Returns whether there is no need to look soon again."""
        found: object = None
        try:
            found = contents = self._read()
            if contents == self._contents:
                if asked or self._refused is not None:
                    log.info("certificate as before", files=self.names)
                self._refused = None
                return True
            with self._named():
                value = self._make(contents)
                self._check(value)
        except (OSError, OperatorError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            return self._refuse(found or reason, reason, asked=asked)
        self._contents, self.value, self._refused, self._told = contents, value, None, None
        log.info("certificate renewed", files=self.names)
        self._changed()
        return True

    def _refuse(self, found: object, reason: str, *, asked: bool) -> bool:
        """Logs once why what has been found is not taken, when it is found for the second time."""
        seen, told = self._refused == (found, False), self._refused == (found, True)
        if not (asked or seen or told):
            self._refused = (found, False)
            return False
        if asked or not told:
            log.error("certificate not renewed", files=self.names, reason=reason)
        self._refused = (found, True)
        return True

    def _look_at_end(self) -> None:
        """Warns once a day, from two weeks before the end on."""
        ends, now = self._ends(self.value), self._now()
        if ends is None or now < ends - _WARNING:
            return
        over = now >= ends
        if self._told is not None and self._told[0] == over and now < self._told[1] + _AGAIN:
            return
        self._told = (over, now)
        write = log.error if over else log.warning
        write(
            "certificate has ended" if over else "certificate ends soon",
            files=self.names,
            ends=ends.isoformat(),
            days=(ends - now).days,
        )

    def _read(self) -> Contents:
        return tuple(certificate.read(path) for path in self._files)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except KeyMismatch:
            chain, key, *_ = self._files
            raise CertificateUnusable(
                f"{key} does not belong to {chain}: the first certificate in it has another key"
            ) from None
        except CertificateUnusable as error:
            raise CertificateUnusable(f"{self.names} cannot be used: {error}") from None
