"""Safe retries: every call with the same request id gets the same answer."""

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
    """Converts an answer to bytes and back."""

    encode: Callable[[A], bytes]
    decode: Callable[[bytes], A]


@dataclass(frozen=True, slots=True)
class Request:
    """What a request id stands for.

    Attributes:
        request_id: the caller's UUID in lower case; empty for a call whose answer is not stored.
        content: the method and every validated value of the request, so that two spellings of the same request agree.
    """

    request_id: str
    content: Iterable[object]

    def fingerprint(self) -> bytes:
        """Returns a hash of the content."""
        return hashlib.sha256(json.dumps(list(self.content), separators=(",", ":")).encode()).digest()


def answer_once(uow: UnitOfWork, request: Request, codec: Codec[A], work: Callable[[], A]) -> tuple[A, bool]:
    """Runs `work`, or returns the answer that the request id has already.

    The answer is stored in the transaction of the work, so that neither commits without the other. The answer of a call
    that changed nothing is stored too. Errors are not.

    Returns:
        The answer, and whether it is a repeated one.

    Raises:
        RequestIdReused: the request id stands for something else.
        Retry: the same call has been answered by another transaction meanwhile; the next run finds that answer.
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
        # The same call, sent twice, may have held the customer's lock until now. Then its changes may be the cause of
        # the error (`expected_revision`, `require_all`), and its answer is the answer of this call too.
        if (answer := known()) is None:
            raise
        # The work may have changed something before it failed. The answer cannot be stored a second time, so the next
        # line raises Retry, which rolls the transaction back, and the next run finds the answer before any work.
    uow.replies.keep(request.request_id, Reply(fingerprint, codec.encode(answer)))
    return answer, False
