"""Reads the text of a JSON document, strictly: what other readers would take in silence is refused or marked."""

import json
from typing import Any, NoReturn

# Longer than any number that a field or an object's member can hold.
_LONGEST_INTEGER = 32


class NotJson(Exception):
    """The bytes are no JSON document; the text says why, after "The body "."""


class Repeated(dict[str, Any]):
    """An object that names a member twice; `name` is it."""

    def __init__(self, members: dict[str, Any], name: str) -> None:
        super().__init__(members)
        self.name = name


def parse(pieces: list[bytes]) -> Any:
    """Reads a document.

    Args:
        pieces: its bytes. The list is emptied, so that a big document is not held in every form at once.

    Raises:
        NotJson: it is none, or nested beyond all reason.
    """
    body = b"".join(pieces)
    pieces.clear()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"is not UTF-8 at byte {error.start}") from None
    del body
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"is not JSON at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return Repeated(members, name)
        seen.add(name)
    return members


def _integer(digits: str) -> int:
    # A longer one stays too big for everything that it could be put into, and costs nothing to read.
    return int(digits[:_LONGEST_INTEGER])


def _constant(name: str) -> NoReturn:
    raise NotJson(f"is not JSON: it has {name} for a number")


_decode = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_constant=_constant).decode
