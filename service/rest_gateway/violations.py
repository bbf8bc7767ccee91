"""Records what is wrong with a request, by JSON path."""

import re

SHOWN = 20
"""How many violations an answer lists."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MAX_NAME_CHARACTERS = 64


class TooManyViolations(Exception):
    """More is wrong than an answer lists, so the rest of the request is not read."""


class Violations:
    """The violations so far.

    Attributes:
        listed: pairs of a JSON path, such as `deviceIdentifiers[3]`, and a description; the first ones.
        total: how many violations there are.
    """

    def __init__(self) -> None:
        self.listed: list[tuple[str, str]] = []
        self.total = 0

    def add(self, path: str, description: str) -> None:
        """Records a violation. Raises `TooManyViolations` if an answer lists no more."""
        self.total += 1
        if len(self.listed) == SHOWN:
            raise TooManyViolations
        self.listed.append((path, description))


def member(path: str, name: str) -> str:
    """Returns the path of an object's member, for any name: `metadata.colour`, `devices["SN 1"]`."""
    if _PLAIN.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}[{quoted(name)}]"


def quoted(name: str) -> str:
    """Quotes a name from a request for an answer."""
    shown = name if len(name) <= _MAX_NAME_CHARACTERS else name[:_MAX_NAME_CHARACTERS] + "…"
    # Half a surrogate pair cannot be encoded, and control characters could change a terminal.
    shown = "".join(c if c.isprintable() else "�" for c in shown)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
