"""Ends calls that wait too long for their callers: for a message, or until an answer is received."""

import threading
from collections.abc import Callable, Sequence

from service.domain.errors import ApiKeyInvalid, MessageTimeout
from service.grpc_server.admission import Admission
from service.grpc_server.evicting_executor import EvictingExecutor
from service.grpc_server.message_receiver import MessageReceiver
from service.runtime import log

_LOOK_SECONDS = 1.0
_END_SECONDS = 5.0


class Reaper:
    """Ends calls whose message or whose caller is late, and waiting calls whose key has been revoked.

    Args:
        receivers: where such calls are.
        streams: where streams are open that wait for messages.
        admission: checks keys.
        message_seconds: how long the transfer of a message or an answer may take.
    """

    def __init__(
        self,
        receivers: Sequence[MessageReceiver],
        streams: EvictingExecutor,
        admission: Admission,
        message_seconds: float,
    ) -> None:
        self._receivers = receivers
        self._streams = streams
        self._admission = admission
        self._message_seconds = message_seconds
        self._stopping = threading.Event()
        # Two threads: a database that hangs blocks the one that checks keys.
        self._threads = [
            threading.Thread(target=self._repeat, args=(work, seconds), name=name, daemon=True)
            for name, work, seconds in (
                ("reaper", self._end_late, _LOOK_SECONDS),
                ("reaper-keys", self._end_revoked, _LOOK_SECONDS),
            )
        ]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_END_SECONDS)

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while not self._stopping.wait(min(seconds, self._message_seconds)):
            try:
                work()
            except Exception:  # noqa: BLE001  # after any defect the calls are checked again
                log.exception("late calls not ended")

    def _end_late(self) -> None:
        self._streams.cancel_older_than(self._message_seconds)
        for receiver in self._receivers:
            for incoming in receiver.idle(self._message_seconds):
                receiver.fail(incoming, MessageTimeout(self._message_seconds))
            for incoming in receiver.idle(_LOOK_SECONDS, answered=False):
                receiver.set_aside(incoming)

    def _end_revoked(self) -> None:
        good: dict[str, bool] = {}
        for receiver in self._receivers:
            for incoming in receiver.idle(_LOOK_SECONDS, answered=False):
                sha256 = incoming.sha256
                if sha256 and sha256 not in good:
                    good[sha256] = self._admission.still_good(incoming)
                if not good.get(sha256, True):
                    receiver.fail(incoming, ApiKeyInvalid())
