"""Converts JSON objects to `google.protobuf.Struct` and back, without changing numbers."""

import math
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from service.rest_gateway.document import Repeated
from service.rest_gateway.violations import Violations, member

_LEVELS = 32
_EXACT = 2**53


def read(value: Any, struct: Struct, path: str, violations: Violations) -> None:
    """Reads an object. The server checks its size and its texts."""
    if isinstance(value, dict):
        struct.SetInParent()
        _members(value, struct, path, violations, 1)
    else:
        violations.add(path, "must be an object")


def _members(value: dict[str, Any], struct: Struct, path: str, violations: Violations, level: int) -> None:
    if isinstance(value, Repeated):
        violations.add(member(path, value.name), "must be given once")
    for name, item in value.items():
        where = member(path, name)
        try:
            field = struct.fields[name]
        except UnicodeEncodeError:
            violations.add(where, "must not contain half of a surrogate pair")
            continue
        _value(item, field, where, violations, level)


def _value(item: Any, field: Value, path: str, violations: Violations, level: int) -> None:
    match item:
        case None:
            field.null_value = 0  # type: ignore[assignment]  # the only value of its enum
        case bool():
            field.bool_value = item
        case int() | float():
            # A Struct has doubles, which cannot represent each integer of 2^53 or more.
            if not math.isfinite(item) or abs(item) >= _EXACT:
                violations.add(path, "must not be a number of 2^53 or more; write it as a string")
            else:
                field.number_value = item
        case str():
            try:
                field.string_value = item
            except UnicodeEncodeError:
                violations.add(path, "must not contain half of a surrogate pair")
        case _ if level == _LEVELS:
            violations.add(path, f"is too deep: at most {_LEVELS} levels")
        case dict():
            field.struct_value.SetInParent()
            _members(item, field.struct_value, path, violations, level + 1)
        case _:
            field.list_value.SetInParent()
            for index, each in enumerate(item):
                _value(each, field.list_value.values.add(), f"{path}[{index}]", violations, level + 1)


def plain(struct: Struct) -> dict[str, Any]:
    """Returns an object as Python values, with members sorted by name and whole numbers as integers."""
    # On the wire the members of a map have no fixed order.
    return {name: _plain(struct.fields[name]) for name in sorted(struct.fields)}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return _plain_list(value.list_value)
    return None


def _plain_list(values: ListValue) -> list[Any]:
    return [_plain(value) for value in values.values]
