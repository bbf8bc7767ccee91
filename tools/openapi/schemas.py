"""The JSON schemas of requests and answers, made from descriptors and comments."""

import re
from typing import TYPE_CHECKING

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tools.openapi.shared_schemas import NO_NUL, SCALARS, SHARED, TRIMMED, WELL_KNOWN, Schema

if TYPE_CHECKING:
    from service.rest_gateway.routes import Route
    from tools.openapi.comments import Comments

_NEVER_SENT = "Never sent."

# How comments state limits: "1 to 1,000 identifiers", "up to 500 characters", "1 to 255 characters".
_MEMBERS = re.compile(r"\b([\d,]+) to ([\d,]+) (?:identifiers|devices|customers)\b")
_CHARACTERS = re.compile(r"\b(up|\d+) to ([\d,]+) characters\b")


class Schemas:
    """Collects the schemas of a document.

    Args:
        comments: the comments of the protos.

    Attributes:
        components: the schemas so far, by the name of the message or enum.
    """

    def __init__(self, comments: "Comments") -> None:
        self._comments = comments
        self.components: dict[str, Schema] = dict(SHARED)

    def request(self, route: "Route") -> Schema:
        """Adds the schema of a route's JSON body; returns a reference to it."""
        message = route.method.input_type
        described = self._message(message, is_request=True)
        if route.map_field:
            described["properties"][camel_of(message, route.map_field)] = self._map(
                message.fields_by_name[route.map_field]
            )
        return _reference(message)

    def answer(self, message: Descriptor) -> Schema:
        """Adds the schema of an answer; returns a reference to it."""
        self._message(message, is_request=False)
        return _reference(message)

    def field(self, field: FieldDescriptor, *, is_request: bool, null: bool = True) -> Schema:
        """Describes one field of a message.

        Args:
            field: the field.
            is_request: whether it is part of a request. Only requests have limits in their schemas: an answer may grow.
            null: whether a request may have null for a field that is not required.
        """
        name = path(field)
        comment = self._comments.of(name)
        single = self._single(field, is_request=is_request)
        if values := self._comments.values(name):
            single["enum"] = values
        if is_request and field.type == FieldDescriptor.TYPE_STRING:
            single = self._text(field, comment)
        if field.is_repeated:
            single = {"type": "array", "items": single}
            if is_request and (members := _MEMBERS.search(comment)):
                single |= {"minItems": _number(members[1]), "maxItems": _number(members[2])}
        if is_request and not self.required(field):
            single = _absent(single, null=null)
        return {**single, "description": comment.removeprefix("Required. ")}

    def enum(self, enum: EnumDescriptor, *, is_request: bool) -> Schema:
        """Adds the schema of an enum; returns a reference to it."""
        if enum.name not in self.components:
            comments = {value.name: self._comments.of(f"{enum.name}.{value.name}") for value in enum.values}
            names = [name for name, comment in comments.items() if is_request or comment != _NEVER_SENT]
            listed = "\n".join(f"- `{name}`: {comments[name]}" for name in names)
            comment = f"{self._comments.of(enum.name)}\n{listed}"
            self.components[enum.name] = {"type": "string", "enum": names, "description": comment}
        return {"$ref": f"#/components/schemas/{enum.name}"}

    def _message(self, message: Descriptor, *, is_request: bool) -> Schema:
        if message.name not in self.components:
            described: Schema = {"type": "object", "description": self._comments.of(message.name)}
            self.components[message.name] = described
            described["properties"] = {
                field.json_name: self.field(field, is_request=is_request) for field in message.fields
            }
            # Answers always have every field but those that are marked optional.
            required = [f.json_name for f in message.fields if (self.required(f) if is_request else not _optional(f))]
            if required:
                described["required"] = required
            if is_request:
                described["additionalProperties"] = False
        return self.components[message.name]

    def required(self, field: FieldDescriptor) -> bool:
        """Returns whether a request must have a field: its comment begins with "Required." or "Required,"."""
        comment = self._comments.of(path(field))
        return comment.startswith(("Required. ", "Required, "))

    def _single(self, field: FieldDescriptor, *, is_request: bool) -> Schema:
        if field.enum_type is not None:
            return self.enum(field.enum_type, is_request=is_request)
        if field.message_type is None:
            return dict(SCALARS[field.type])
        if (known := WELL_KNOWN.get(field.message_type.full_name)) is not None:
            return dict(known)
        self._message(field.message_type, is_request=is_request)
        return _reference(field.message_type)

    def _text(self, field: FieldDescriptor, comment: str) -> Schema:
        text: Schema = {"type": "string"}
        name = field.name.removesuffix("s")
        if name.endswith("identifier"):
            text = {"$ref": "#/components/schemas/DeviceIdentifier"}
        elif name.endswith("email"):
            text["format"] = "email"
        elif comment.startswith("A UUID"):
            text["format"] = "uuid"
        elif (characters := _CHARACTERS.search(comment)) is not None:
            # A string with a minimum length follows the rules of identifiers.
            pattern = NO_NUL if characters[1] == "up" else TRIMMED
            text |= {"maxLength": _number(characters[2]), "pattern": pattern}
        if field.is_repeated or self.required(field):
            text["minLength"] = 1
        return text

    def _map(self, listed: FieldDescriptor) -> Schema:
        """Describes the object that JSON has in place of a list."""
        members = listed.message_type
        if members is None:
            raise TypeError(f"{listed.full_name} must be a list of messages")
        key, value = members.fields
        comment = self._comments.of(path(listed))
        limits = _MEMBERS.search(comment)
        described: Schema = {
            "type": "object",
            "propertyNames": self._text(key, ""),
            "additionalProperties": self._single(value, is_request=True),
        }
        if limits is not None:
            described |= {"minProperties": _number(limits[1]), "maxProperties": _number(limits[2])}
        described["description"] = (
            f"{comment.removeprefix('Required. ')} By {key.json_name}, without white space at either end."
        )
        return described


def path(field: FieldDescriptor) -> str:
    """Returns the name of a field in the comments."""
    return ".".join(field.full_name.split(".")[-2:])


def camel_of(message: Descriptor, name: str) -> str:
    """Returns a field's JSON name."""
    return str(message.fields_by_name[name].json_name)


def _reference(message: Descriptor) -> Schema:
    return {"$ref": f"#/components/schemas/{message.name}"}


def _absent(schema: Schema, *, null: bool) -> Schema:
    """Adds the values that are the same as absent: null, and the empty string where the format excludes it."""
    absent = [""] if schema.get("format") in {"email", "uuid"} else []
    if null and not absent and "$ref" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    values = [*absent, *([None] if null else [])]
    return {"anyOf": [schema, {"enum": values}]} if values else schema


def _optional(field: FieldDescriptor) -> bool:
    return bool(field.has_presence) and field.message_type is None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
