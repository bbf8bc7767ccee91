"""Converts `google.protobuf.Struct`, as on the wire, to JSON, as in the database, and back, without loss."""

import json
import math
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

MAX_DEPTH = 32
MAX_BYTES = 64 * 1024
_MEMBER_BYTES, _ELEMENT_BYTES = 5, 2
"""How many bytes a member of an object takes in JSON at least without its name, and an element of a list."""
_EXACT = 2**53


def to_json(value: Struct) -> str:
    """Writes an object as JSON, with its keys in order, so that equal objects are equal texts.

    Raises:
        ValueError: it is too deep or too long, or has a value that JSON or the database cannot hold, as the text says.
    """
    text = json.dumps(_Reader().object(value, 1), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(_TOO_BIG)
    return text


def from_json(text: str) -> Struct:
    """Converts the output of `to_json` back."""
    struct = Struct()
    struct.update(json.loads(text))
    return struct


_TOO_BIG = f"must have at most {MAX_BYTES} bytes as JSON"


class _Reader:
    """Converts protobuf's values to Python's, and stops at the first one that cannot be stored.

    It counts the least bytes that they take as JSON: a message of 512 KiB may have ten times as many values as can be
    stored, each of which costs a microsecond or more, and JSON is written in one step.
    """

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def object(self, struct: Struct, depth: int) -> dict[str, Any]:
        _check_depth(depth)
        self._count(_MEMBER_BYTES * len(struct.fields))
        return {self._text(key): self._value(member, depth) for key, member in struct.fields.items()}

    def _list(self, listed: ListValue, depth: int) -> list[Any]:
        _check_depth(depth)
        self._count(_ELEMENT_BYTES * len(listed.values))
        return [self._value(member, depth) for member in listed.values]

    def _value(self, value: Value, depth: int) -> Any:
        match value.WhichOneof("kind"):
            case "number_value":
                return _number(value.number_value)
            case "string_value":
                return self._text(value.string_value)
            case "bool_value":
                return value.bool_value
            case "null_value":
                return None
            case "struct_value":
                return self.object(value.struct_value, depth + 1)
            case "list_value":
                return self._list(value.list_value, depth + 1)
        raise ValueError("must not contain a value without a kind")

    def _text(self, text: str) -> str:
        self._count(len(text))
        if "\0" in text:
            raise ValueError("must not contain the character U+0000")
        return text

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError(_TOO_BIG)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"must have at most {MAX_DEPTH} levels")


def _number(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("must not contain a number that is not finite")
    # A number in a Struct is a double: from 2^53 on it may not be the integer that was meant.
    if abs(number) >= _EXACT:
        raise ValueError("must not contain a number of 2^53 or more; write it as a string")
    return number
