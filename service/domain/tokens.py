"""Opaque texts that callers send back: revisions and page tokens."""

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
# 72 bits. A caller that finds another query with the same hash harms its own listing alone.
_HASH_BYTES = 9


def revision_token(customer_id: str, revision: int) -> str:
    """Returns the text of a revision. It has the customer's id, so that one customer's is never another's."""
    return f"rev_{customer_id.removeprefix('cust_')}_{revision}"


def pack(*parts: str | int) -> str:
    """Writes a token as URL-safe text."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(text: str, kind: str, *types: type) -> list[Any]:
    """Returns the parts of a token after its kind.

    A token is not signed: it has nothing that its caller does not know, and it is used in the caller's organisation
    alone.

    Raises:
        ValueError: the text is not a token of this kind.
    """
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise ValueError("too long")
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        # JSON can have half of a surrogate pair, which databases refuse.
        json.dumps(parts, ensure_ascii=False).encode()
    except (binascii.Error, RecursionError, ValueError) as error:
        raise ValueError("not a token") from error
    if not isinstance(parts, list) or [type(part) for part in parts] != [str, *types] or parts[0] != kind:
        raise ValueError("not a token of this kind")
    for part in parts:
        if (isinstance(part, str) and "\0" in part) or (isinstance(part, int) and not 0 <= part < _END):
            raise ValueError("not a token of this service")
    return parts[1:]


def query_hash(*asked_for: str | datetime | None) -> str:
    """Returns a hash of a query, for its page tokens."""
    text = json.dumps(asked_for, default=_written)
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[:_HASH_BYTES]).decode()


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where the next page of a listing of a customer's devices begins, and the instant that the listing shows.

    Attributes:
        at: the instant of the query, if it has one.
        as_of: the instant that the first page shows; None for a list that began in the answer of a write or in a
            customer, which shows the instant of its revision.
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
        """Reads a token. Raises `ValueError` if the text is not a page token."""
        customer_id, revision, after, at, as_of = unpack(text, "devices", str, int, str, str, str)
        return cls(customer_id, revision, after, _moment(at), _moment(as_of))


def next_page(customer: Customer, revision: int, last: str) -> str:
    """Returns the token for the devices after `last`, in a list that began in another answer."""
    return PageToken(customer.id, revision, last).encode()


def _written(moment: datetime | None) -> str:
    return moment.isoformat() if moment is not None else ""


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("not a token of this service") from error
    if moment.utcoffset() != timedelta(0) or _written(moment) != text:
        raise ValueError("not a token of this service")
    return moment
