"""Writes an answer message as JSON. All fields are present, except for optional ones that are not set."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from service.rest_gateway import structs

_Write = Callable[[Any], str]

_SLICE = 2_000

to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Writes plain values as JSON."""


def write(message: Message) -> str:
    """Writes a message as a JSON object, with the names of the proto3 JSON mapping."""
    return _writer(message.DESCRIPTOR)(message)


def chunks(message: Message) -> list[bytes]:
    """Writes a message in chunks, so that a long list is not in memory as values, text and bytes at once.

    The last chunk ends with a line break, so that a terminal shows its prompt on a line of its own.
    """
    written = [b"{"]
    for name, field, write_field, optional in _fields(message.DESCRIPTOR):
        if optional and not message.HasField(field):
            continue
        comma = "," if len(written) > 1 else ""
        value = getattr(message, field)
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) <= _SLICE:
            written.append(f"{comma}{name}{write_field(value)}".encode())
            continue
        for start in range(0, len(value), _SLICE):
            before = "," if start else f"{comma}{name}["
            written.append(f"{before}{write_field(value[start : start + _SLICE])[1:-1]}".encode())
        written.append(b"]")
    return [*written, b"}\n"]


@cache
def _fields(descriptor: Descriptor) -> list[tuple[str, str, _Write, bool]]:
    return [(f'"{f.json_name}":', f.name, _field_writer(f), _optional(f)) for f in descriptor.fields]


@cache
def _writer(descriptor: Descriptor) -> _Write:
    match descriptor.full_name:
        case "google.protobuf.Struct":
            return lambda struct: to_text(structs.plain(struct))
        case "google.protobuf.Timestamp":
            return lambda time: f'"{time.ToJsonString()}"'
    fields = _fields(descriptor)

    def write_object(message: Message) -> str:
        return (
            "{"
            + ",".join(
                [
                    name + write_field(getattr(message, field))
                    for name, field, write_field, optional in fields
                    if not optional or message.HasField(field)
                ]
            )
            + "}"
        )

    return write_object


def _optional(field: FieldDescriptor) -> bool:
    # A Struct that is not set is written as an empty object.
    is_struct = field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct"
    return bool(field.has_presence) and not is_struct


def _field_writer(field: FieldDescriptor) -> _Write:
    one = _one(field)
    if not field.is_repeated:
        return one
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda values: to_text(list(values))  # all at once, in C
    return lambda values: "[" + ",".join(map(one, values)) + "]"


def _one(field: Any) -> _Write:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return encode_basestring
        case FieldDescriptor.TYPE_BOOL:
            return lambda value: "true" if value else "false"
        case FieldDescriptor.TYPE_INT32:
            return str
        case FieldDescriptor.TYPE_ENUM:
            names = {value.number: f'"{value.name}"' for value in field.enum_type.values}
            # A newer server may have more values.
            return lambda number: names.get(number, f'"{number}"')
        case FieldDescriptor.TYPE_MESSAGE:
            return _writer(field.message_type)
    raise NotImplementedError(f"add a writer for the type of the field {field.full_name}")
