"""Runs use cases for the call that the thread serves: each in one transaction of the call's organisation."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from service.domain.options import Options
from service.domain.pages import PageLimits
from service.domain.replay import Codec, Request, answer_once
from service.grpc_server import call
from service.metrics import numbers
from service.runtime import fairness
from service.storage.unit_of_work import Storage, UnitOfWork

A = TypeVar("A", bound=Message)
C = TypeVar("C", bound="Command")
R = TypeVar("R")


_REPLAYS = numbers.counter("replays", "Writes that got the answer of an earlier call with the same request id.")


class Command(Protocol):
    """A validated write."""

    @property
    def options(self) -> Options:
        """What every write takes."""

    def request(self) -> Request:
        """Returns what its request id stands for."""


class UseCases:
    """Runs use cases.

    Args:
        storage: runs transactions.
        max_answer_bytes: where lists in answers end, because clients would refuse a longer answer.
    """

    def __init__(self, storage: Storage, max_answer_bytes: int) -> None:
        self._storage = storage
        self.max_answer_bytes = max_answer_bytes

    def write(self, kind: type[A], command: C, use_case: Callable[[UnitOfWork, C], R], answer: Callable[[R], A]) -> A:
        """Runs a write and returns its answer, or the answer that the same request id got before.

        Args:
            kind: the answer's message.
            command: what to do.
            use_case: does it.
            answer: makes the answer of the result, before the commit: nothing is committed that cannot be answered.
        """
        current, principal = call.current()
        call.count(validate_only=command.options.validate_only)
        codec = Codec(kind.SerializeToString, kind.FromString)

        def work(uow: UnitOfWork) -> tuple[A, bool]:
            return answer_once(uow, command.request(), codec, lambda: answer(use_case(uow, command)))

        message, replayed = self._storage.write(principal.organization_id, current.cancellation, work)
        if replayed:
            _REPLAYS.add()
        call.count(replayed=replayed, operation_id=getattr(message, "operation_id", ""))
        return message

    def read(self, work: Callable[[UnitOfWork], R]) -> R:
        """Runs a read on one view of the data; see `Storage.read`."""
        current, principal = call.current()
        return self._storage.read(principal.organization_id, current.cancellation, work)

    def page_limits(self, page_size: int) -> PageLimits:
        """Returns where a page of this many members ends."""
        return PageLimits(page_size, self.max_answer_bytes, _pause)


def _pause() -> None:
    """Lets shorter calls run between two parts of a page."""
    fairness.lengthen()
    fairness.give_way()
