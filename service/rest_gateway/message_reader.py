"""Reads a JSON object into a request message, and records everything that is wrong with it.

The names are those of the proto3 JSON mapping: `deviceIdentifiers`, or as in the proto `device_identifiers`. Null is
the same as absent. Unlike the mapping it does not take a number from a string, nor an enum from a number.
"""

from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from service.rest_gateway.document import Repeated
from service.rest_gateway.field_readers import SURROGATE, Read, field_reader
from service.rest_gateway.violations import Violations, member


class MessageReader:
    """Reads the JSON objects of one message type.

    Args:
        descriptor: the message type.
        map_field: a list that JSON has as an object: from the first field of each member to its second.
    """

    def __init__(self, descriptor: Descriptor, map_field: str = "") -> None:
        self._readers: dict[str, tuple[str, Read]] = {}
        for field in descriptor.fields:
            read = _map_reader(field) if field.name == map_field else field_reader(field)
            for name in (field.json_name, field.name):
                self._readers[name] = (field.json_name, read)

    def read(self, value: Any, message: Message, path: str, violations: Violations) -> None:
        """Reads an object into a message; `path` is the object's JSON path, empty at the top."""
        if not isinstance(value, dict):
            violations.add(path or "body", "must be an object")
            return
        if isinstance(value, Repeated):
            violations.add(member(path, value.name), "must be given once")
        given: set[str] = set()
        for name, item in value.items():
            known = self._readers.get(name)
            if known is None:
                violations.add(member(path, name), "is no field of this request")
                continue
            json_name, read = known
            if json_name in given:
                violations.add(member(path, json_name), "must be given once, under one of its names")
            given.add(json_name)
            if item is not None:
                read(message, item, member(path, json_name), violations)


def _map_reader(field: Any) -> Read:
    key, content = field.message_type.fields[:2]
    read_content = field_reader(content)

    def read(message: Message, value: Any, path: str, violations: Violations) -> None:
        if not isinstance(value, dict):
            violations.add(path, "must be an object")
            return
        if isinstance(value, Repeated):
            violations.add(member(path, value.name), "must be given once")
        listed = getattr(message, field.name)
        given: set[str] = set()
        for name, item in value.items():
            trimmed = name.strip()
            if trimmed in given:
                violations.add(member(path, name), "must be given once; white space at its ends does not count")
            given.add(trimmed)
            added = listed.add()
            try:
                setattr(added, key.name, trimmed)
            except UnicodeEncodeError:
                violations.add(member(path, name), SURROGATE)
            read_content(added, item, member(path, trimmed), violations)

    return read
