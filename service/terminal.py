"""Text that others chose, for a terminal: it must not steer it."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def visible(text: str) -> str:
    """Shows control characters by their numbers, line breaks among them."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
