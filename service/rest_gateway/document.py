"""Reads the text of a JSON document, strictly: what other readers would take in silence is refused or marked."""

import json
from itertools import accumulate
from typing import Any, NoReturn

MAX_LEVELS = 64
"""How deep a document may be nested: deeper than any request that the service takes."""

# Longer than any number that a field or an object's member can hold.
_LONGEST_INTEGER = 32

_BRACKETS = b"[{]}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
# Read as signed bytes: an opening bracket is +1, and a closing one -1.
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")


class NotJson(Exception):
    """The bytes are no JSON document; the text says why, after "The body "."""


class TooManyValues(Exception):
    """The document has more values than are read."""


class Repeated(dict[str, Any]):
    """An object that names a member twice; `name` is it."""

    def __init__(self, members: dict[str, Any], name: str) -> None:
        super().__init__(members)
        self.name = name


def parse(pieces: list[bytes], max_values: int) -> Any:
    """Reads a document.

    Args:
        pieces: its bytes. The list is emptied, so that a big document is not held in every form at once.
        max_values: how many values it may have: strings, numbers, true, false, null, arrays and objects.
            An empty array or object counts twice.

    Raises:
        NotJson: it is none, or nested beyond all reason.
        TooManyValues: it has more values. This is found before it is parsed.
    """
    body = b"".join(pieces)
    pieces.clear()
    _check_size(body, max_values)
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


def _check_size(body: bytes, max_values: int) -> None:
    """Counts values and levels in the bytes, a hundred times faster than a parser makes the values."""
    opened = body.count(b"[") + body.count(b"{")
    # Each value but the first comes behind a comma or an opening bracket. Those in strings are counted too, at first.
    if body.count(b",") + opened < max_values and opened <= MAX_LEVELS:
        return
    # A value takes at most four quotes: two of its own and two of its name. Half of all that delimit a string, those
    # that begin one, never follow a backslash. So this bounds how many parts the text has below.
    if body.count(b'"') - body.count(b'\\"') > 4 * max_values:
        raise TooManyValues
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    outside = b"".join(parts[::2])
    del parts
    opened = outside.count(b"[") + outside.count(b"{")
    if outside.count(b",") + opened >= max_values:
        raise TooManyValues
    brackets = outside.translate(_STEPS, _NOT_BRACKETS)
    # With more closing brackets than opening ones it is no JSON, which the parser says better.
    if len(brackets) <= 2 * opened and max(accumulate(memoryview(brackets).cast("b")), default=0) > MAX_LEVELS:
        raise NotJson("is nested too deeply")


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
