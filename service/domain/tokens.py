"""The opaque strings that callers hand back: revisions and page tokens."""

import base64
import binascii
import json
from dataclasses import dataclass

from service.domain.unit_of_work import Customer

MAX_TOKEN_CHARACTERS = 4096


def revision_token(customer_id: str, revision: int) -> str:
    """Names a revision. Two customers' revisions never read alike, so that one cannot guard the other's change."""
    return f"rev_{customer_id.removeprefix('cust_')}_{revision}"


@dataclass(frozen=True, slots=True)
class PageToken:
    """Where a listing of a customer's devices goes on, and the moment that it shows.

    It holds nothing that its owner does not know, and it is looked up in the caller's organisation alone; so it is not
    signed.
    """

    customer_id: str
    revision: int
    after: str

    def encode(self) -> str:
        """Writes the token as URL-safe text."""
        text = json.dumps([self.customer_id, self.revision, self.after], separators=(",", ":"), ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "PageToken":
        """Reads a token.

        Raises:
            ValueError: this is no token of ours.
        """
        if len(text) > MAX_TOKEN_CHARACTERS:
            raise ValueError("too long")
        try:
            padded = text + "=" * (-len(text) % 4)
            match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
                case [str() as customer_id, int() as revision, str() as after] if 0 <= revision < 2**63:
                    (customer_id + after).encode()  # JSON can spell half a character, which no database takes
                    if "\0" not in after:
                        return cls(customer_id, revision, after)
        except (binascii.Error, RecursionError, ValueError) as error:
            raise ValueError("not a page token") from error
        raise ValueError("not a page token")


def next_page(customer: Customer, revision: int, last: str) -> str:
    """Gives the token that goes on after `last`."""
    return PageToken(customer.id, revision, last).encode()
