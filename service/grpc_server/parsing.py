"""Parses requests. A long one is parsed in pieces, because protobuf holds the GIL until it has parsed all of it.

A message of 4 MiB may have two million members, which take 80 ms at once. Beside several of these, another call waits
as long each time that it needs the GIL. `python -m benchmarks.fairness --load members` measures it again.
"""

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from service.domain.errors import MalformedRequest, RequestTooLarge
from service.grpc_server.incoming_call import SMALL_BYTES
from service.runtime import fairness

MAX_FIELDS = 300_000
"""How many fields a request may have, members of its lists included. Lists that are too long can still be counted."""
MAX_FIELD_BYTES = 512 * 1024
"""How long one field may be, such as a device with its metadata. It is parsed at once."""

_PIECE_BYTES = 32 * 1024
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_CONTINUES = 0x80
"""Set in each byte of a varint but its last."""


def parse(data: bytes, deserialize: Callable[[bytes], Any]) -> Any:
    """Parses a request.

    Args:
        data: the message, in bytes.
        deserialize: parses a message of the method's request type.

    Raises:
        MalformedRequest: it is no message of that type.
        RequestTooLarge: it has more fields, or a longer field, than any valid request.
    """
    try:
        if len(data) <= SMALL_BYTES:
            return deserialize(data)
        fairness.lengthen()
        message = deserialize(b"")
        for piece in _pieces(data):
            message.MergeFromString(piece)
            fairness.give_way()
    except (DecodeError, IndexError) as error:
        raise MalformedRequest from error
    return message


def _pieces(data: bytes) -> Iterator[bytes]:
    """Divides a message between its fields. Each piece is a message too; merged, they are the whole message."""
    first = position = fields = 0
    while position < len(data):
        if position - first >= _PIECE_BYTES:
            yield data[first:position]
            first = position
        if data[position] & 0x87 == _LENGTH and data[position + 1] < _CONTINUES:
            position += 2 + data[position + 1]  # a short member of a list, as most fields are
        else:
            position = _end(data, position)
        fields += 1
        if fields > MAX_FIELDS:
            text = f"The request has more than {MAX_FIELDS} fields, the members of its lists included"
            raise RequestTooLarge(text)
    yield data[first:]


def _end(data: bytes, position: int) -> int:
    """Returns where the field at a position ends. The parser refuses a field that goes beyond the message's end."""
    tag, position = _varint(data, position)
    kind = tag & 7
    if kind == _LENGTH:
        length, position = _varint(data, position)
        if length > MAX_FIELD_BYTES:
            text = f"A field of the request has {length} bytes; at most {MAX_FIELD_BYTES} are taken"
            raise RequestTooLarge(text)
        return position + length
    if kind == _VARINT:
        return _varint(data, position)[1]
    if kind == _FIXED64:
        return position + 8
    if kind == _FIXED32:
        return position + 4
    raise DecodeError("groups are not used")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Reads a number of variable length. Returns it, and where it ends."""
    byte = data[position]
    if byte < _CONTINUES:
        return byte, position + 1
    number = byte & 127
    for place in range(1, _MAX_VARINT_BYTES):
        byte = data[position + place]
        number |= (byte & 127) << 7 * place
        if byte < _CONTINUES:
            return number, position + place + 1
    raise DecodeError("a number has too many bytes")
