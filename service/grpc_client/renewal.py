"""Reads certificates again when their files change. While the files cannot be used, the last value stays in use."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from service.grpc_client import certificate
from service.grpc_client.certificate import CertificateUnusable, KeyMismatch
from service.grpc_client.expiry import ExpiryWarning, utc_now
from service.runtime import log
from service.runtime.operator_error import OperatorError

T = TypeVar("T")


class _Request(Enum):
    """A request to the thread."""

    READ = auto()
    END = auto()


_SECONDS = 5.0
# Files that are replaced one after the other do not fit together for a moment; only a second failure is logged.
_RETRY_SECONDS = 1.0
_END_SECONDS = 5.0

Contents = tuple[bytes, ...]


class Renewed(Generic[T]):
    """A value made from files. The constructor reads them; `watch` starts a thread that reads them again.

    Args:
        files: the files.
        make: makes the value from their contents. Raises `CertificateUnusable`.
        ends: returns when the value expires; None for never.
        seconds: how often the files are read.
        now: the clock.

    Attributes:
        value: the current value.

    Raises:
        OSError: a file cannot be read.
        CertificateUnusable: the contents cannot be used.
    """

    def __init__(
        self,
        files: Sequence[Path],
        make: Callable[[Contents], T],
        *,
        ends: Callable[[T], datetime | None] = lambda _value: None,
        seconds: float = _SECONDS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._files = files
        self._make = make
        self._ends = ends
        self._seconds = seconds
        self._expiry = ExpiryWarning(now)
        self._contents = self._read()
        with self._with_names():
            self.value = make(self._contents)
        # The last contents or error that could not be used, and whether that has been logged.
        self._rejected: tuple[object, bool] | None = None
        # A SimpleQueue, because signal handlers put requests.
        self._requests: SimpleQueue[_Request] = SimpleQueue()
        self._check: Callable[[T], None] = lambda _value: None
        self._changed: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    @property
    def names(self) -> str:
        """The names of the files, for people."""
        return " and ".join(map(str, self._files))

    def check(self, check: Callable[[T], None]) -> None:
        """Calls a function that raises `CertificateUnusable`, and adds the names of the files to the error."""
        with self._with_names():
            check(self.value)

    def refresh(self, check: Callable[[T], None] = lambda _value: None) -> None:
        """Reads the files once, because the value may have been made earlier, in the parent process.

        Args:
            check: checks each new value from now on before it is used. Raises `CertificateUnusable`.
        """
        self._check = check
        self._reload(requested=False)

    def watch(self, changed: Callable[[], None]) -> None:
        """Starts the thread. It calls `changed` after each new value."""
        self._changed = changed
        self._thread.start()

    def ask(self) -> None:
        """Requests that the thread reads the files at once and logs the result."""
        self._requests.put(_Request.READ)

    def close(self) -> None:
        """Ends the thread."""
        if self._thread.is_alive():
            self._requests.put(_Request.END)
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        seconds = self._seconds
        while True:
            self._warn_of_expiry()
            request = None
            with suppress(Empty):
                request = self._requests.get(timeout=seconds)
            if request is _Request.END:
                return
            try:
                is_final = self._reload(requested=request is _Request.READ)
            except Exception:  # noqa: BLE001  # after any error the thread continues
                log.exception("certificate not renewed", files=self.names)
                is_final = True
            seconds = self._seconds if is_final else min(self._seconds, _RETRY_SECONDS)

    def _warn_of_expiry(self) -> None:
        self._expiry.check(self._ends(self.value), self.names)

    def _reload(self, *, requested: bool) -> bool:
        """Uses the contents of the files if they are new and valid. Returns False if they should be read again soon."""
        found: object = None
        try:
            found = contents = self._read()
            if contents == self._contents:
                if requested or self._rejected is not None:
                    log.info("certificate as before", files=self.names)
                self._rejected = None
                return True
            with self._with_names():
                value = self._make(contents)
                self._check(value)
        except (OSError, OperatorError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            return self._reject(found or reason, reason, requested=requested)
        self._contents, self.value, self._rejected = contents, value, None
        self._expiry.reset()
        log.info("certificate renewed", files=self.names)
        self._changed()
        return True

    def _reject(self, found: object, reason: str, *, requested: bool) -> bool:
        """Logs once why the contents are not used, when they are found for the second time or by request."""
        is_known, is_logged = self._rejected == (found, False), self._rejected == (found, True)
        if not (requested or is_known or is_logged):
            self._rejected = (found, False)
            return False
        if requested or not is_logged:
            log.error("certificate not renewed", files=self.names, reason=reason)
        self._rejected = (found, True)
        return True

    def _read(self) -> Contents:
        return tuple(certificate.read(path) for path in self._files)

    @contextmanager
    def _with_names(self) -> Iterator[None]:
        """Adds the names of the files to errors."""
        try:
            yield
        except KeyMismatch:
            chain, key, *_ = self._files
            raise CertificateUnusable(
                f"{key} does not belong to {chain}: the first certificate in it has another key"
            ) from None
        except CertificateUnusable as error:
            raise CertificateUnusable(f"{self.names} cannot be used: {error}") from None
