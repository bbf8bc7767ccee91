"""Follows operations for streams: one query for all the streams of an organisation."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

from service.domain.errors import ApiKeyInvalid, DatabaseUnavailable, ServiceError, Stopping
from service.domain.values import OperationRecord
from service.grpc_server import call
from service.metrics import numbers
from service.runtime import fairness, log
from service.storage.unit_of_work import OperationStream

POLL_SECONDS = 0.2
_CHECK_SECONDS = 1.0
_POLLER_END_SECONDS = 2.0
_BATCH = 200
# How many streams may read at once: their connections are beside those of the calls.
READERS = 2

_STREAMS = numbers.gauge("watch_streams", "Streams of operations that are open.")
_LAG = numbers.gauge(
    "watch_lag_seconds",
    "How long ago new operations were last looked for; of the organisation with an open stream where it is longest.",
    numbers.Kind.MAX,
)
_SENT = numbers.counter("watch_operations_sent", "Operations that streams have sent.")


class Watchers:
    """Follows the operations of each organisation that has an open stream.

    Args:
        stream: assigns positions to operations and reads them.
        max_seconds: the age at which a stream ends, so that its caller connects again, perhaps to another server.
    """

    def __init__(self, stream: OperationStream, max_seconds: float) -> None:
        self._stream = stream
        self._max_seconds = max_seconds
        self._changed = threading.Condition()
        self._watching: Counter[str] = Counter()
        self._open: dict[call.Call, float] = {}
        self._overdue: set[str] = set()
        self._next_check = 0.0
        self._last: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        self._stopped = False
        self._readers = threading.BoundedSemaphore(READERS)
        self._poller = threading.Thread(target=self._poll, name="watch", daemon=True)
        self._poller.start()

    def last(self, organization_id: str) -> int:
        """Returns the last position in an organisation's stream."""
        with self._readers:
            return self._stream.last(organization_id)

    def follow(self, organization_id: str, after: int, customer_id: str | None) -> Iterator[OperationRecord]:
        """Yields the operations after a position, and waits for more, until the stream has reached its age.

        It reads one batch at a time: what a slow caller has not received stays in the database.

        Raises:
            Stopping: the server stops.
            ApiKeyInvalid: the key is not valid any more.
        """
        current, _ = call.current()
        until = time.monotonic() + self._max_seconds
        with self._changed:
            if not self._watching[organization_id]:
                self._looked[organization_id] = time.monotonic()
            self._watching[organization_id] += 1
            self._open[current] = until
            self._last.setdefault(organization_id, 0)
            self._changed.notify_all()
        try:
            while time.monotonic() < until:
                self._check(current)
                last = self._wait(organization_id, after)
                if last <= after:
                    continue
                with self._readers:
                    batch = self._stream.behind(organization_id, after, _BATCH, customer_id)
                for operation in batch:
                    # A caller may be slow with each: so what ends a stream is checked before each.
                    if time.monotonic() >= until:
                        return
                    self._check(current)
                    yield operation
                    _SENT.add()
                    if len(batch) == _BATCH:  # there may be thousands more
                        fairness.catch_up()
                        fairness.give_way()
                        fairness.end()  # a caller that does not read may keep the stream here for an hour
                # After a full batch there may be more. Otherwise nothing is left up to `last`.
                found = batch[-1].position if batch else 0
                after = found if len(batch) == _BATCH else max(last, found)
        finally:
            with self._changed:
                self._watching[organization_id] -= 1
                del self._open[current]

    def stop(self) -> None:
        """Ends every stream."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        # With a time-out: a database that hangs must not keep the server from stopping.
        self._poller.join(_POLLER_END_SECONDS)

    def write_gauges(self) -> None:
        """Writes how many streams there are, and how late they are, for Prometheus."""
        now = time.monotonic()
        with self._changed:
            looked = [self._looked[organization_id] for organization_id, streams in self._watching.items() if streams]
            _STREAMS.set(len(self._open))
        _LAG.set(now - min(looked, default=now))

    def _check(self, current: call.Call) -> None:
        """Raises the error that ends a stream early, if there is one."""
        if self._stopped:
            raise Stopping
        current.recheck()
        current.cancellation.check()

    def _wait(self, organization_id: str, after: int) -> int:
        """Waits up to a second for an operation after a position, and returns the last position."""
        with self._changed:
            if not self._stopped and self._last[organization_id] <= after:
                self._changed.wait(1.0)
            if self._stopped:
                raise Stopping
            return self._last[organization_id]

    def _poll(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                watched = [organization_id for organization_id, streams in self._watching.items() if streams]
                if not watched:
                    self._changed.wait(1.0)
                    continue
            self._end_stuck_streams()
            more = False
            for organization_id in watched:
                more |= self._look(organization_id)
            if not more:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, POLL_SECONDS)

    def _end_stuck_streams(self) -> None:
        """Cancels streams that should have ended but cannot, because their caller does not read."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        with self._changed:
            streams = list(self._open.items())
        for current, until in streams:
            if now > until + _CHECK_SECONDS or not _good(current):
                # A stream whose caller reads ends by itself within a second, with a status of its own.
                if current.id in self._overdue:
                    current.cancel()
                self._overdue.add(current.id)
        self._overdue &= {current.id for current, _ in streams}

    def _look(self, organization_id: str) -> bool:
        started = time.monotonic()
        try:
            last, more = self._stream.advance(organization_id)
        except DatabaseUnavailable:
            return False  # the log has one line of that
        except ServiceError as error:
            log.warning("stream of operations not read", reason=error.reason)
            return False
        except Exception:  # noqa: BLE001  # after any defect the other organisations' streams go on
            log.exception("stream of operations not read")
            return False
        with self._changed:
            self._looked[organization_id] = started
            if last > self._last[organization_id]:
                self._last[organization_id] = last
                self._changed.notify_all()
        return more


def _good(current: call.Call) -> bool:
    try:
        current.recheck()
    except ApiKeyInvalid:
        return False
    except ServiceError:
        return True  # it cannot be checked now
    return True
