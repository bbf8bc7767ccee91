"""Collects what is wrong with a request, by JSON path."""

import re

SHOWN = 20
"""How many violations an answer names."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_MAX_NAME_CHARACTERS = 64


class Enough(Exception):
    """More is wrong than an answer names, so the rest of the request is not looked at."""


class Violations:
    """What is wrong so far: pairs of a path, such as `deviceIdentifiers[3]`, and what to do about it."""

    def __init__(self) -> None:
        self.listed: list[tuple[str, str]] = []
        self.total = 0

    def wrong(self, path: str, description: str) -> None:
        """Notes a violation. Raises `Enough` if an answer names no more."""
        self.total += 1
        if len(self.listed) == SHOWN:
            raise Enough
        self.listed.append((path, description))


def member(path: str, name: str) -> str:
    """Gives the path of an object's member, whatever its name: `metadata.colour`, `devices["SN 1"]`."""
    if _PLAIN.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}[{quoted(name)}]"


def quoted(name: str) -> str:
    """Quotes a name that came with the request, so that it can stand in an answer."""
    shown = name if len(name) <= _MAX_NAME_CHARACTERS else name[:_MAX_NAME_CHARACTERS] + "…"
    # Half a surrogate pair cannot be sent, and control characters should not be.
    shown = "".join(c if c.isprintable() else "�" for c in shown)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
