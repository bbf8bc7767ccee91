"""Parses a JSON document strictly: repeated members, deep nesting and numbers like NaN are refused or marked."""

import json
from itertools import accumulate
from typing import Any, NoReturn

MAX_LEVELS = 64
"""How deep a document may be nested. No valid request is as deep."""

# Longer than any number that a field or an object's member can hold.
_LONGEST_INTEGER = 32

_BRACKETS = b"[{]}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
# As signed bytes: an opening bracket is +1, and a closing bracket is -1.
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")


class NotJson(Exception):
    """The bytes are not a JSON document; the text says why, and follows "The body "."""


class TooManyValues(Exception):
    """The document has more values than allowed."""


class Repeated(dict[str, Any]):
    """An object in which a member occurs twice; `name` is that member's name."""

    def __init__(self, members: dict[str, Any], name: str) -> None:
        super().__init__(members)
        self.name = name


def parse(chunks: list[bytes], max_values: int) -> Any:
    """Parses a document.

    Args:
        chunks: its bytes. The list is emptied, so that a large document is not in memory as chunks and as text.
        max_values: how many values it may have: strings, numbers, true, false, null, arrays and objects.
            An empty array or object counts twice.

    Raises:
        NotJson: it is not JSON, or is nested too deeply.
        TooManyValues: it has more values. This is checked before parsing.
    """
    body = b"".join(chunks)
    chunks.clear()
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
    """Counts values and levels in the bytes, a hundred times faster than parsing."""
    opened = body.count(b"[") + body.count(b"{")
    # Each value but the first follows a comma or an opening bracket. This first count includes those within strings.
    if body.count(b",") + opened < max_values and opened <= MAX_LEVELS:
        return
    # A value takes at most four quotes: two of its own and two of its name. Half of all that delimit a string, those
    # that begin one, never follow a backslash. So this limits the number of parts below.
    if body.count(b'"') - body.count(b'\\"') > 4 * max_values:
        raise TooManyValues
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    outside = b"".join(parts[::2])
    del parts
    opened = outside.count(b"[") + outside.count(b"{")
    if outside.count(b",") + opened >= max_values:
        raise TooManyValues
    brackets = outside.translate(_STEPS, _NOT_BRACKETS)
    # With more closing than opening brackets it is not JSON; the parser has the better message.
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
    # A longer number is out of range for every field anyway, and converting it would take long.
    return int(digits[:_LONGEST_INTEGER])


def _constant(name: str) -> NoReturn:
    raise NotJson(f"is not JSON: it has {name} for a number")


_decode = json.JSONDecoder(object_pairs_hook=_members, parse_int=_integer, parse_constant=_constant).decode
