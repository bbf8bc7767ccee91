"""Reads the JSON value of one field into a message, and records what is wrong with it."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from service.rest_gateway import structs
from service.rest_gateway.violations import Violations, quoted

SURROGATE = "must not contain half of a surrogate pair"

_INT32 = range(-(2**31), 2**31)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")

Read = Callable[[Message, Any, str, Violations], None]
"""Reads a value into the message; the text is the value's JSON path."""


def field_reader(field: FieldDescriptor) -> Read:
    """Returns the reader of a field. Raises `NotImplementedError` if no request has had a field of its type before."""
    kind = field.message_type.full_name if field.message_type else field.type
    make = _LISTS.get(kind) if field.is_repeated else _SINGLE.get(kind)
    if make is None:
        raise NotImplementedError(f"add a reader for the type of the field {field.full_name}")
    return make(field)


def _string(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, str):
            violations.add(path, "must be a string")
            return
        try:
            setattr(message, name, value)
        except UnicodeEncodeError:
            violations.add(path, SURROGATE)

    return read


def _strings(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, list):
            violations.add(path, "must be an array of strings")
            return
        try:
            # All at once, which is fast; the loop below finds the wrong ones.
            getattr(message, name).extend(value)
        except (TypeError, UnicodeEncodeError):
            for index, item in enumerate(value):
                if not isinstance(item, str):
                    violations.add(f"{path}[{index}]", "must be a string")
                elif _SURROGATE.search(item):
                    violations.add(f"{path}[{index}]", SURROGATE)

    return read


def _boolean(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if isinstance(value, bool):
            setattr(message, name, value)
        else:
            violations.add(path, "must be true or false")

    return read


def _integer(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        # In JSON 1.0 and 1e0 are the same number as 1.
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, bool) or not isinstance(whole, int):
            violations.add(path, "must be a whole number")
        elif whole not in _INT32:
            violations.add(path, f"must be a number between {_INT32[0]} and {_INT32[-1]}")
        else:
            setattr(message, name, whole)

    return read


def _enum(field: Any) -> Read:
    numbers = {value.name: value.number for value in field.enum_type.values}
    names = list(numbers)

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if isinstance(value, str) and value in numbers:
            setattr(message, field.name, numbers[value])
        else:
            violations.add(path, f"must be one of {', '.join(map(quoted, names))}")

    return read


def _struct(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        structs.read(value, getattr(message, name), path, violations)

    return read


def _timestamp(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        try:
            _set_timestamp(getattr(message, name), value)
        except (TypeError, ValueError, OverflowError):
            violations.add(path, "must be a time such as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00.5+02:00")

    return read


def _set_timestamp(target: Any, value: Any) -> None:
    found = _TIME.fullmatch(value)
    if found is None:
        raise ValueError(value)
    zone = "+00:00" if found[3] in "Zz" else found[3]
    target.FromDatetime(datetime.fromisoformat(found[1].upper() + zone))
    target.nanos = int((found[2] or "0").ljust(9, "0"))


_Make = Callable[[FieldDescriptor], Read]

_SINGLE: dict[str | int, _Make] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_INT32: _integer,
    FieldDescriptor.TYPE_ENUM: _enum,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": _timestamp,
}
_LISTS: dict[str | int, _Make] = {FieldDescriptor.TYPE_STRING: _strings}
