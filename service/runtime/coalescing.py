"""Small lookups of one organisation that come at the same time become one question to the database.

Most of what a small one costs is the way there and back, so that while one is under way those that come wait for its
end, and then one of them asks for all. An answer is as exact as that of a question of its own, because nobody joins one
that has been sent: whatever was committed before a call came is in its answer.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from service.runtime.cancellation import Cancellation

C = TypeVar("C", bound=Cancellation)
Found = TypeVar("Found")
"""What an answer is, such as the owners of devices."""

# For how long a call waits for the end of others' questions before it asks beside them: what sharing can cost where the
# database is far away. At its usual distance a question takes less.
_PATIENCE_SECONDS = 0.001
# For how long it waits for the answer to a question that it has joined before it asks alone: what sharing can cost
# where one connection has a bad moment.
_ANSWER_SECONDS = 0.05


class _Call(Generic[Found]):
    """A call that asks, or for which another one does.

    Attributes:
        asks: whether it is the one that asks.
        found: what another one has found for it, and for others; None if that failed.
        woken: held until one of the two is so.
    """

    __slots__ = ("asks", "found", "identifiers", "woken")

    def __init__(self, identifiers: list[str], *, asks: bool) -> None:
        self.identifiers = identifiers
        self.asks = asks
        self.found: Found | None = None
        self.woken = threading.Lock()
        self.woken.acquire()


class _Organization(Generic[Found]):
    """How many of an organisation's questions are under way, and which calls wait for their end."""

    __slots__ = ("asking", "waiting")

    def __init__(self) -> None:
        self.asking = 0
        self.waiting: list[_Call[Found]] = []


class Coalescer(Generic[C, Found]):
    """Asks for several calls at once where they come at once.

    Args:
        ask: finds the owners of an organisation's devices, in one statement and so at one moment.
    """

    def __init__(self, ask: Callable[[str, C, list[str]], Found]) -> None:
        self._ask = ask
        self._organizations: dict[str, _Organization[Found]] = {}
        self._lock = threading.Lock()

    def find(self, organization_id: str, cancellation: C, identifiers: list[str]) -> Found:
        """Finds the owners of few devices.

        Returns:
            They, by device, and perhaps those of devices that other calls of the organisation have asked for. The
            clock is that of the question that was asked for all of them, and so behind every one of these calls.

        Raises:
            ServiceError: the call's own cancellation ended it, or a question of its own failed. What others' fail from
                stays with them: who joined one of these asks alone.
        """
        with self._lock:
            organization = self._organizations.get(organization_id)
            if organization is None:
                organization = self._organizations[organization_id] = _Organization[Found]()
            call = _Call[Found](identifiers, asks=not organization.asking)
            if call.asks:
                organization.asking = 1
            else:
                organization.waiting.append(call)
        if not call.asks:
            self._wait(organization, call)
        if call.asks:
            return self._ask_for_all(organization_id, organization, call, cancellation)
        if call.found is None:
            return self._ask(organization_id, cancellation, identifiers)
        cancellation.check()
        return call.found

    def _wait(self, organization: _Organization[Found], call: _Call[Found]) -> None:
        """Waits until it is the call's turn to ask or another one has asked for it; for neither longer than it may."""
        if call.woken.acquire(timeout=_PATIENCE_SECONDS):
            return
        with self._lock:
            if call in organization.waiting:
                organization.waiting.remove(call)
                organization.asking += 1
                call.asks = True
        if not call.asks:  # it is part of a question that has been sent
            call.woken.acquire(timeout=_ANSWER_SECONDS)

    def _ask_for_all(
        self, organization_id: str, organization: _Organization[Found], call: _Call[Found], cancellation: C
    ) -> Found:
        others: list[_Call[Found]] = []
        found: Found | None = None
        try:
            cancellation.check()  # whoever waits should not be asked for by one who will not hear the answer
            with self._lock:
                others, organization.waiting = organization.waiting, []
            wanted = {identifier: None for each in (call, *others) for identifier in each.identifiers}
            found = self._ask(organization_id, cancellation, list(wanted))
            return found
        finally:
            self._hand_on(organization_id, organization)
            for other in others:
                other.found = found
                other.woken.release()

    def _hand_on(self, organization_id: str, organization: _Organization[Found]) -> None:
        """Has the next one ask, if one waits and no other question is under way, at whose end it would."""
        with self._lock:
            if organization.waiting and organization.asking == 1:
                heir = organization.waiting.pop(0)
                heir.asks = True
                heir.woken.release()
                return
            organization.asking -= 1
            if not organization.asking:
                del self._organizations[organization_id]
