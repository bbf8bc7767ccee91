"""Safe retries: a request id gets one answer, however often it is asked."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.domain.errors import RequestIdReused, ServiceError
from service.domain.values import Reply
from service.storage.unit_of_work import UnitOfWork

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Codec(Generic[A]):
    """Turns an answer into bytes and back."""

    encode: Callable[[A], bytes]
    decode: Callable[[bytes], A]


@dataclass(frozen=True, slots=True)
class Request:
    """What a request id stands for.

    Attributes:
        request_id: the caller's UUID in lower case; empty for a call that is not to be remembered.
        content: the method and every validated value of the request, so that two spellings of the same wish agree.
    """

    request_id: str
    content: Iterable[object]

    def fingerprint(self) -> bytes:
        """Gives the same bytes exactly for the same content."""
        return hashlib.sha256(json.dumps(list(self.content), separators=(",", ":")).encode()).digest()


def answer_once(uow: UnitOfWork, request: Request, codec: Codec[A], work: Callable[[], A]) -> tuple[A, bool]:
    """Runs `work`, unless the request id has an answer already; then gives that one.

    The answer is kept in the transaction of the work, so that the one never commits without the other, and a call that
    changed nothing keeps its answer too. Errors are not kept.

    Returns:
        The answer, and whether it is a repeated one.

    Raises:
        RequestIdReused: the request id stands for something else.
        Retry: a twin of this call has been answered meanwhile; running again finds its answer.
    """
    if not request.request_id:
        return work(), False
    fingerprint = request.fingerprint()

    def known() -> A | None:
        reply = uow.replies.find(request.request_id)
        if reply is None:
            return None
        if reply.fingerprint != fingerprint:
            raise RequestIdReused
        return codec.decode(reply.answer)

    if (answer := known()) is not None:
        return answer, True
    try:
        answer = work()
    except ServiceError:
        # A twin of this call may have held the customer's lock until just now. What made the work fail may then be the
        # twin's own doing (`expected_revision`, `require_all`), and its answer is this call's answer too.
        if (answer := known()) is None:
            raise
        # The work may have changed something before it failed. The answer cannot be kept a second time, so this undoes
        # the transaction, and the next run finds the answer before any work.
    uow.replies.keep(request.request_id, Reply(fingerprint, codec.encode(answer)))
    return answer, False
