"""The opaque strings that callers hand back: revisions and page tokens."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.domain.values import Customer

MAX_TOKEN_CHARACTERS = 4096
_END = 2**63
# 72 bits: a caller who finds another question with the same has harmed their own listing.
_QUESTION_BYTES = 9


def revision_token(customer_id: str, revision: int) -> str:
    """Names a revision. Two customers' revisions never read alike, so that one cannot guard the other's change."""
    return f"rev_{customer_id.removeprefix('cust_')}_{revision}"


def pack(*parts: str | int) -> str:
    """Writes a token as URL-safe text."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(text: str, kind: str, *types: type) -> list[Any]:
    """Reads a token: the parts behind its kind.

    A token holds nothing that its owner does not know, and is looked up in the caller's organisation alone; so it is
    not signed.

    Raises:
        ValueError: this is no token of the kind.
    """
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise ValueError("too long")
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        # JSON can spell half a character, which no database takes.
        json.dumps(parts, ensure_ascii=False).encode()
    except (binascii.Error, RecursionError, ValueError) as error:
        raise ValueError("not a token") from error
    if not isinstance(parts, list) or [type(part) for part in parts] != [str, *types] or parts[0] != kind:
        raise ValueError("not a token of this kind")
    for part in parts:
        if (isinstance(part, str) and "\0" in part) or (isinstance(part, int) and not 0 <= part < _END):
            raise ValueError("not a token of ours")
    return parts[1:]


def question(*asked_for: str | datetime | None) -> str:
    """Gives a short text that stands for what was asked for, so that a token can hold it."""
    text = json.dumps(asked_for, default=_written)
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[:_QUESTION_BYTES]).decode()


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where a listing of a customer's devices goes on, and the moment that it shows.

    Attributes:
        at: the moment that was asked for, if one was.
        as_of: the moment that the first page showed; None for a list that a write or a record began, which shows the
            moment of its revision.
    """

    customer_id: str
    revision: int
    after: str
    at: datetime | None = None
    as_of: datetime | None = None

    def encode(self) -> str:
        """Writes the token as text."""
        moments = (_written(self.at), _written(self.as_of))
        return pack("devices", self.customer_id, self.revision, self.after, *moments)

    @classmethod
    def decode(cls, text: str) -> "PageToken":
        """Reads a token. Raises `ValueError` if this is none."""
        customer_id, revision, after, at, as_of = unpack(text, "devices", str, int, str, str, str)
        return cls(customer_id, revision, after, _moment(at), _moment(as_of))


def next_page(customer: Customer, revision: int, last: str) -> str:
    """Gives the token that goes on after `last`, in a list that was begun elsewhere."""
    return PageToken(customer.id, revision, last).encode()


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment is not None else ""


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("not a token of ours") from error
    if moment.utcoffset() != timedelta(0) or _written(moment) != text:
        raise ValueError("not a token of ours")
    return moment
