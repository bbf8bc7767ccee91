"""What every write does around its use case: one transaction, one answer for a request id, counts for the log."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from service.domain.replay import Codec, Request, answer_once
from service.grpc_server import call
from service.storage.unit_of_work import Storage, UnitOfWork

A = TypeVar("A", bound=Message)
W = TypeVar("W", bound="Wish")
R = TypeVar("R")


class Wish(Protocol):
    """A validated write."""

    def request(self) -> Request:
        """Tells what its request id stands for."""


def answer(
    storage: Storage,
    kind: type[A],
    wish: W,
    use_case: Callable[[UnitOfWork, W], R],
    render: Callable[[R], A],
) -> A:
    """Runs a write in a transaction and gives its answer, or the one that its request id got before.

    The answer is rendered before the commit, so that none is committed that cannot be told.
    """
    current, principal = call.current()
    codec = Codec(kind.SerializeToString, kind.FromString)

    def work(uow: UnitOfWork) -> tuple[A, bool]:
        return answer_once(uow, wish.request(), codec, lambda: render(use_case(uow, wish)))

    message, replayed = storage.write(principal.organization_id, current.cancellation, work)
    current.counts.update(replayed=replayed)
    return message


def read(storage: Storage, work: Callable[[UnitOfWork], R]) -> R:
    """Runs a read on one view of the data; see `Storage.read`."""
    current, principal = call.current()
    return storage.read(principal.organization_id, current.cancellation, work)


def count(**counts: int | bool) -> None:
    """Notes numbers for the call's line in the log."""
    call.current()[0].counts.update(counts)
