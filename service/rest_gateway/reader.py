"""Reads a JSON value into a request message, as the message's descriptor has it, and names all that is wrong.

Names are those of the proto3 JSON mapping: `deviceIdentifiers`, or as in the proto `device_identifiers`. Null is the
same as absent. Stricter than the mapping: a number is not taken from a string, nor an enum from a number.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from service.rest_gateway import structs
from service.rest_gateway.document import Repeated
from service.rest_gateway.violations import Violations, member, quoted

_INT32 = range(-(2**31), 2**31)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF_CHARACTER = "must not contain half of a surrogate pair"

Read = Callable[[Message, Any, str, Violations], None]


class Shape:
    """How a message's JSON object is read.

    Args:
        descriptor: the message's.
        map_field: a list that JSON has as an object, from the first field of each member to its second.
    """

    def __init__(self, descriptor: Descriptor, map_field: str = "") -> None:
        self._readers: dict[str, tuple[str, Read]] = {}
        for field in descriptor.fields:
            read = _map(field) if field.name == map_field else _reader(field)
            for name in (field.json_name, field.name):
                self._readers[name] = (field.json_name, read)

    def read(self, value: Any, message: Message, path: str, violations: Violations) -> None:
        """Reads an object into a message; `path` is where it stands, empty at the top."""
        if not isinstance(value, dict):
            violations.wrong(path or "body", "must be an object")
            return
        if isinstance(value, Repeated):
            violations.wrong(member(path, value.name), "must be given once")
        given: set[str] = set()
        for name, item in value.items():
            known = self._readers.get(name)
            if known is None:
                violations.wrong(member(path, name), "is no field of this request")
                continue
            json_name, read = known
            if json_name in given:
                violations.wrong(member(path, json_name), "must be given once, under one of its names")
            given.add(json_name)
            if item is not None:
                read(message, item, member(path, json_name), violations)


def _reader(field: FieldDescriptor) -> Read:
    kind = field.message_type.full_name if field.message_type else field.type
    make = _LISTS.get(kind) if field.is_repeated else _SINGLE.get(kind)
    if make is None:
        raise NotImplementedError(f"no request has had such a field before: {field.full_name}")
    return make(field)


def _string(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, str):
            violations.wrong(path, "must be a string")
            return
        try:
            setattr(message, name, value)
        except UnicodeEncodeError:
            violations.wrong(path, _HALF_CHARACTER)

    return read


def _strings(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, list):
            violations.wrong(path, "must be an array of strings")
            return
        try:
            # At once, which is quick; only when one is wrong it matters which.
            getattr(message, name).extend(value)
        except (TypeError, UnicodeEncodeError):
            for index, item in enumerate(value):
                if not isinstance(item, str):
                    violations.wrong(f"{path}[{index}]", "must be a string")
                elif _SURROGATE.search(item):
                    violations.wrong(f"{path}[{index}]", _HALF_CHARACTER)

    return read


def _boolean(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if isinstance(value, bool):
            setattr(message, name, value)
        else:
            violations.wrong(path, "must be true or false")

    return read


def _integer(field: FieldDescriptor) -> Read:
    name = field.name

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        # To JSON 1.0 and 1e0 are the number 1.
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, bool) or not isinstance(whole, int):
            violations.wrong(path, "must be a whole number")
        elif whole not in _INT32:
            violations.wrong(path, f"must be a number between {_INT32[0]} and {_INT32[-1]}")
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
            violations.wrong(path, f"must be one of {', '.join(map(quoted, names))}")

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
            _set_moment(getattr(message, name), value)
        except (TypeError, ValueError, OverflowError):
            violations.wrong(path, "must be a time such as 2030-01-31T12:00:00Z or 2030-01-31T12:00:00.5+02:00")

    return read


def _set_moment(target: Any, value: Any) -> None:
    found = _MOMENT.fullmatch(value)
    if found is None:
        raise ValueError(value)
    zone = "+00:00" if found[3] in "Zz" else found[3]
    target.FromDatetime(datetime.fromisoformat(found[1].upper() + zone))
    target.nanos = int((found[2] or "0").ljust(9, "0"))


def _map(field: Any) -> Read:
    key, content = field.message_type.fields[:2]
    read_content = _reader(content)

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, dict):
            violations.wrong(path, "must be an object")
            return
        if isinstance(value, Repeated):
            violations.wrong(member(path, value.name), "must be given once")
        listed = getattr(message, field.name)
        given: set[str] = set()
        for name, item in value.items():
            trimmed = name.strip()
            if trimmed in given:
                violations.wrong(member(path, name), "must be given once; white space at its ends does not count")
            given.add(trimmed)
            added = listed.add()
            try:
                setattr(added, key.name, trimmed)
            except UnicodeEncodeError:
                violations.wrong(member(path, name), _HALF_CHARACTER)
            read_content(added, item, member(path, trimmed), violations)

    return read


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
