"""Free objects: `google.protobuf.Struct` on the wire, JSON in the database, and nothing changed between them."""

import json
import math

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import ListValue, Struct

MAX_DEPTH = 32
MAX_BYTES = 64 * 1024
_EXACT = 2**53


def to_json(value: Struct) -> str:
    """Writes an object as JSON, with its keys in order, so that equal objects are equal texts.

    Raises:
        ValueError: it is too deep or too big, or has what JSON or the database cannot hold. The text says which.
    """
    _check(value, 1)
    text = json.dumps(MessageToDict(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_BYTES} bytes as JSON")
    return text


def from_json(text: str) -> Struct:
    """Reads what `to_json` wrote."""
    struct = Struct()
    struct.update(json.loads(text))
    return struct


def _check(value: Struct | ListValue, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"must have at most {MAX_DEPTH} levels")
    if isinstance(value, Struct):
        for key in value.fields:
            _check_text(key)
        members = list(value.fields.values())
    else:
        members = list(value.values)
    for member in members:
        match member.WhichOneof("kind"):
            case "number_value":
                _check_number(member.number_value)
            case "string_value":
                _check_text(member.string_value)
            case "struct_value":
                _check(member.struct_value, depth + 1)
            case "list_value":
                _check(member.list_value, depth + 1)
            case None:
                raise ValueError("must not contain a value without a kind")


def _check_number(number: float) -> None:
    if not math.isfinite(number):
        raise ValueError("must not contain a number that is not finite")
    # A number in a Struct is a double: from 2^53 on it may not be the integer that was meant.
    if abs(number) >= _EXACT:
        raise ValueError("must not contain a number of 2^53 or more; write it as a string")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
