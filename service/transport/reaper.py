"""Ends calls whose message does not come."""

import threading
from collections.abc import Sequence

from service import log
from service.domain.errors import ApiKeyInvalid, MessageTimeout
from service.transport.admission import Admission
from service.transport.receiver import Receiver

_LOOK_SECONDS = 0.25


class Reaper:
    """Looks for calls whose message is late, or whose key has been revoked meanwhile, and limits what they may take up.

    Args:
        receivers: where such calls are.
        admission: checks keys.
        message_seconds: how long a message may be under way.
    """

    def __init__(self, receivers: Sequence[Receiver], admission: Admission, message_seconds: float) -> None:
        self._receivers = receivers
        self._admission = admission
        self._message_seconds = message_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._reap, name="reaper", daemon=True)

    def start(self) -> None:
        """Begins, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._stopping.set()

    def _reap(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for receiver in self._receivers:
                try:
                    self._reap_of(receiver)
                except Exception:  # noqa: BLE001  # whatever it is, the other calls are looked at
                    log.exception("calls without a message not ended")

    def _reap_of(self, receiver: Receiver) -> None:
        for arrival in receiver.receiving(self._message_seconds):
            receiver.fail(arrival, MessageTimeout(self._message_seconds))
        for arrival in receiver.receiving(_LOOK_SECONDS):
            if arrival.sha256 and not self._admission.still_good(arrival):
                receiver.fail(arrival, ApiKeyInvalid())
            else:
                receiver.set_aside(arrival)
