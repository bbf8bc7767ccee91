"""Text of callers, for a terminal, whose control characters must not reach it."""

import re

# Also Unicode's line breaks, and its characters that change the direction of writing and so the order of the text.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Returns a text with control characters, line breaks among them, as escape sequences."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
