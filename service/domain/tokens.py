"""The opaque strings that callers hand back: revisions and page tokens."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from service.domain.unit_of_work import Customer

MAX_TOKEN_CHARACTERS = 4096
_END = 2**63


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


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where a listing of a customer's devices goes on, and the moment that it shows."""

    customer_id: str
    revision: int
    after: str

    def encode(self) -> str:
        """Writes the token as text."""
        return pack("devices", self.customer_id, self.revision, self.after)

    @classmethod
    def decode(cls, text: str) -> "PageToken":
        """Reads a token. Raises `ValueError` if this is none."""
        return cls(*unpack(text, "devices", str, int, str))


def next_page(customer: Customer, revision: int, last: str) -> str:
    """Gives the token that goes on after `last`."""
    return PageToken(customer.id, revision, last).encode()
