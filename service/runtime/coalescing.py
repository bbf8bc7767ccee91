"""Coalesces small lookups of one organisation that come at the same time into one query.

Most of the cost of a small query is the round trip. While one is in flight, the lookups that come wait for its end, and
then one of them sends a query for all. An answer is as exact as that of a query of its own, because no lookup joins a
query that has been sent: it includes all that was committed before the lookup came.

The figures are in docs/decisions/shared-lookups.md. To measure it again, set `_MAX_SHARED` beside its user
to 0 and run `make bench`, which also does without it.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from service.runtime.cancellation import Cancellation

C = TypeVar("C", bound=Cancellation)
Found = TypeVar("Found")
"""What an answer is, such as the owners of devices."""

# How long a call waits for others' queries to end before it sends its own: the most that coalescing costs where the
# database is far away. A query to a database nearby takes less.
_PATIENCE_SECONDS = 0.001
# How long it waits for the answer of a query that includes it before it sends its own: the most that coalescing costs
# where one query is slow.
_ANSWER_SECONDS = 0.05


class _Call(Generic[Found]):
    """A call that sends the query, or waits for another one that does.

    Attributes:
        asks: whether it is the one that sends.
        found: the answer of another call's query; None if that failed.
        woken: held until it is to send, or has an answer.
    """

    __slots__ = ("asks", "found", "identifiers", "woken")

    def __init__(self, identifiers: list[str], *, asks: bool) -> None:
        self.identifiers = identifiers
        self.asks = asks
        self.found: Found | None = None
        self.woken = threading.Lock()
        self.woken.acquire()


class _Organization(Generic[Found]):
    """How many queries of an organisation are in flight, and which calls wait for one to end."""

    __slots__ = ("asking", "waiting")

    def __init__(self) -> None:
        self.asking = 0
        self.waiting: list[_Call[Found]] = []


class Coalescer(Generic[C, Found]):
    """Sends one query for several calls of an organisation that come at the same time.

    Args:
        ask: runs a query for an organisation, in one statement and so at one moment.
    """

    def __init__(self, ask: Callable[[str, C, list[str]], Found]) -> None:
        self._ask = ask
        self._organizations: dict[str, _Organization[Found]] = {}
        self._lock = threading.Lock()

    def find(self, organization_id: str, cancellation: C, identifiers: list[str]) -> Found:
        """Finds what is known of a few identifiers.

        Returns:
            The answer of the query, which may be about identifiers of other calls too. Its clock was read after each of
            these calls came.

        Raises:
            Exception: this call was cancelled, or a query of its own failed. Where a query of another call fails, this
                one sends its own.
        """
        with self._lock:
            organization = self._organizations.get(organization_id)
            if organization is None:
                organization = self._organizations[organization_id] = _Organization()
            call: _Call[Found] = _Call(identifiers, asks=not organization.asking)
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
        """Waits until this call is to send the query, or another one has an answer for it; for a limited time each."""
        if call.woken.acquire(timeout=_PATIENCE_SECONDS):
            return
        with self._lock:
            if call in organization.waiting:
                organization.waiting.remove(call)
                organization.asking += 1
                call.asks = True
        if not call.asks:  # a query that has been sent includes it
            call.woken.acquire(timeout=_ANSWER_SECONDS)

    def _ask_for_all(
        self, organization_id: str, organization: _Organization[Found], call: _Call[Found], cancellation: C
    ) -> Found:
        others: list[_Call[Found]] = []
        found: Found | None = None
        try:
            cancellation.check()  # the waiting lookups must not depend on one that is cancelled
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
        """Wakes the next call to send a query, if one waits and no other query is in flight."""
        with self._lock:
            if organization.waiting and organization.asking == 1:
                following = organization.waiting.pop(0)
                following.asks = True
                following.woken.release()
                return
            organization.asking -= 1
            if not organization.asking:
                del self._organizations[organization_id]
