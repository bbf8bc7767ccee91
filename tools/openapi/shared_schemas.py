"""The schemas that do not depend on the protos."""

from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Schema: TypeAlias = dict[str, Any]

# No control characters, and no white space at either end. Fields that are not required may be empty.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_SPACE = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
TRIMMED = rf"^(?:[^{_CONTROL}{_SPACE}](?:[^{_CONTROL}]*[^{_CONTROL}{_SPACE}])?)?$"
NO_NUL = r"^[^\u0000]*$"

SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31 - 1},
}
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"$ref": "#/components/schemas/Metadata"},
}

# The rules of the comments about objects, except the limits of depth and bytes, which a schema cannot express.
_METADATA_VALUE = {"$ref": "#/components/schemas/MetadataValue"}
_METADATA_OBJECT = {"propertyNames": {"pattern": NO_NUL}, "additionalProperties": _METADATA_VALUE}
SHARED: dict[str, Schema] = {
    "DeviceIdentifier": {
        "type": "string",
        "maxLength": 255,
        "pattern": TRIMMED,
        "description": "No control characters, and no white space at either end. Case-sensitive, never normalised.",
    },
    "Metadata": {"type": "object", **_METADATA_OBJECT, "description": "Any JSON object."},
    "MetadataValue": {
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "pattern": NO_NUL,
        "exclusiveMinimum": -(2**53),
        "exclusiveMaximum": 2**53,
        "items": _METADATA_VALUE,
        **_METADATA_OBJECT,
        "description": "A value in a `Metadata` object. Greater numbers are written as strings.",
    },
}
