"""The JSON schemas of requests and answers, from their descriptors and comments."""

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

if TYPE_CHECKING:
    from service.rest_gateway.routes import Route
    from tools.openapi.comments import Comments

Schema: TypeAlias = dict[str, Any]

# No control characters, and no white space at either end. What is not required may be empty.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TRIMMED = rf"^(?:[^{_CONTROL}{_SPACE}](?:[^{_CONTROL}]*[^{_CONTROL}{_SPACE}])?)?$"
_NO_NUL = r"^[^\u0000]*$"

_NEVER_SENT = "Never sent."
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31 - 1},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"$ref": "#/components/schemas/Metadata"},
}

# What the comments say of objects, but for the limits of depth and bytes, which a schema cannot tell.
_METADATA_VALUE = {"$ref": "#/components/schemas/MetadataValue"}
_METADATA_OBJECT = {"propertyNames": {"pattern": _NO_NUL}, "additionalProperties": _METADATA_VALUE}
_SHARED: dict[str, Schema] = {
    "DeviceIdentifier": {
        "type": "string",
        "maxLength": 255,
        "pattern": _TRIMMED,
        "description": "No control characters, and no white space at either end. Case-sensitive, never normalised.",
    },
    "Metadata": {"type": "object", **_METADATA_OBJECT, "description": "Whatever is to be kept."},
    "MetadataValue": {
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "pattern": _NO_NUL,
        "exclusiveMinimum": -(2**53),
        "exclusiveMaximum": 2**53,
        "items": _METADATA_VALUE,
        **_METADATA_OBJECT,
        "description": "A value in a `Metadata` object. Greater numbers are written as strings.",
    },
}

# What comments say of limits: "1 to 1,000 identifiers", "up to 500 characters", "1 to 255 characters".
_MEMBERS = re.compile(r"\b([\d,]+) to ([\d,]+) (?:identifiers|devices|customers)\b")
_CHARACTERS = re.compile(r"\b(up|\d+) to ([\d,]+) characters\b")


class Schemas:
    """Collects the schemas that a description needs.

    Args:
        comments: what the protos say.

    Attributes:
        components: the schemas so far, by the name of their message or enum.
    """

    def __init__(self, comments: "Comments") -> None:
        self._comments = comments
        self.components: dict[str, Schema] = dict(_SHARED)

    def request(self, route: "Route") -> Schema:
        """Describes the JSON body of a route; gives the reference."""
        message = route.method.input_type
        described = self._message(message, asked=True)
        if route.map_field:
            described["properties"][camel_of(message, route.map_field)] = self._map(
                message.fields_by_name[route.map_field]
            )
        return _reference(message)

    def answer(self, message: Descriptor) -> Schema:
        """Describes an answer; gives the reference."""
        self._message(message, asked=False)
        return _reference(message)

    def field(self, field: FieldDescriptor, *, asked: bool, null: bool = True) -> Schema:
        """Describes one field of a message.

        Args:
            field: the field.
            asked: whether it is part of a request. Limits are told of requests alone: an answer may grow.
            null: whether a request may have null for a field that is not required: the same as absent.
        """
        name = path(field)
        comment = self._comments.of(name)
        single = self._single(field, asked=asked)
        if values := self._comments.values(name):
            single["enum"] = values
        if asked and field.type == FieldDescriptor.TYPE_STRING:
            single = self._text(field, comment)
        if field.is_repeated:
            single = {"type": "array", "items": single}
            if asked and (members := _MEMBERS.search(comment)):
                single |= {"minItems": _number(members[1]), "maxItems": _number(members[2])}
        if asked and not self.required(field):
            single = _absent(single, null=null)
        return {**single, "description": comment.removeprefix("Required. ")}

    def enum(self, enum: EnumDescriptor, *, asked: bool) -> Schema:
        """Describes an enum; gives the reference."""
        if enum.name not in self.components:
            said = {value.name: self._comments.of(f"{enum.name}.{value.name}") for value in enum.values}
            names = [name for name, comment in said.items() if asked or comment != _NEVER_SENT]
            listed = "\n".join(f"- `{name}`: {said[name]}" for name in names)
            comment = f"{self._comments.of(enum.name)}\n{listed}"
            self.components[enum.name] = {"type": "string", "enum": names, "description": comment}
        return {"$ref": f"#/components/schemas/{enum.name}"}

    def _message(self, message: Descriptor, *, asked: bool) -> Schema:
        if message.name not in self.components:
            described: Schema = {"type": "object", "description": self._comments.of(message.name)}
            self.components[message.name] = described
            described["properties"] = {field.json_name: self.field(field, asked=asked) for field in message.fields}
            # Answers always have every field but those that are marked optional.
            required = [f.json_name for f in message.fields if (self.required(f) if asked else not _optional(f))]
            if required:
                described["required"] = required
            if asked:
                described["additionalProperties"] = False
        return self.components[message.name]

    def required(self, field: FieldDescriptor) -> bool:
        """Tells whether a request must have a field: its comment opens with "Required", and nothing but the case."""
        comment = self._comments.of(path(field))
        return comment.startswith(("Required. ", "Required, "))

    def _single(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        if field.enum_type is not None:
            return self.enum(field.enum_type, asked=asked)
        if field.message_type is None:
            return dict(_SCALARS[field.type])
        if (known := _WELL_KNOWN.get(field.message_type.full_name)) is not None:
            return dict(known)
        self._message(field.message_type, asked=asked)
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
            # A text that has a least length is named like an identifier.
            pattern = _NO_NUL if characters[1] == "up" else _TRIMMED
            text |= {"maxLength": _number(characters[2]), "pattern": pattern}
        if field.is_repeated or self.required(field):
            text["minLength"] = 1
        return text

    def _map(self, listed: FieldDescriptor) -> Schema:
        """Describes a list as the object that JSON has in its place."""
        members = listed.message_type
        if members is None:
            raise TypeError(f"no list of messages: {listed.full_name}")
        key, value = members.fields
        comment = self._comments.of(path(listed))
        limits = _MEMBERS.search(comment)
        described: Schema = {
            "type": "object",
            "propertyNames": self._text(key, ""),
            "additionalProperties": self._single(value, asked=True),
        }
        if limits is not None:
            described |= {"minProperties": _number(limits[1]), "maxProperties": _number(limits[2])}
        described["description"] = (
            f"{comment.removeprefix('Required. ')} By {key.json_name}, white space at either end of it left out."
        )
        return described


def path(field: FieldDescriptor) -> str:
    """Names a field as the comments do."""
    return ".".join(field.full_name.split(".")[-2:])


def camel_of(message: Descriptor, name: str) -> str:
    """Gives a field's JSON name."""
    return str(message.fields_by_name[name].json_name)


def _reference(message: Descriptor) -> Schema:
    return {"$ref": f"#/components/schemas/{message.name}"}


def _absent(schema: Schema, *, null: bool) -> Schema:
    """Adds what is the same as absent: null, and the empty text, where the format has no room for it."""
    absent = [""] if schema.get("format") in {"email", "uuid"} else []
    if null and not absent and "$ref" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    values = [*absent, *([None] if null else [])]
    return {"anyOf": [schema, {"enum": values}]} if values else schema


def _optional(field: FieldDescriptor) -> bool:
    return bool(field.has_presence) and field.message_type is None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
