"""Text that others chose, for a terminal: it must not steer it."""

import re

# Also what breaks lines in Unicode, and what turns the direction of writing, so that text is shown in another order.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Shows control characters by their numbers, line breaks among them."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
