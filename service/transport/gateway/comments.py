"""What the protos' comments say, in the words of the REST API."""

import importlib.resources
import re

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

_PACKAGE = "deviceassignment.v1"

# Where the children of a file, a message, an enum and a service stand in their descriptors, by the fields' numbers.
_FILE = {4: "message_type", 5: "enum_type", 6: "service"}
_BELOW = {"message_type": {2: "field"}, "enum_type": {2: "value"}, "service": {2: "method"}}

_CODE = re.compile(r"`([^`]+)`")


def read() -> dict[str, str]:
    """Reads the comment of everything in the protos.

    Returns:
        By name without the package (`Customer`, `Customer.email`, `Change.CHANGE_ASSIGNED`): the comment, a line for
        each paragraph.
    """
    content = importlib.resources.files(_PACKAGE).joinpath("descriptors.binpb").read_bytes()
    found: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(content).file:
        for location in file.source_code_info.location:
            if location.leading_comments and (name := _name(file, list(location.path))):
                found[name] = _paragraphs(location.leading_comments)
    return found


def _name(file: FileDescriptorProto, path: list[int]) -> str:
    """Names what a path leads to; the empty name is for what is not described."""
    if len(path) not in {2, 4} or path[0] not in _FILE:
        return ""
    kind = _FILE[path[0]]
    outer = getattr(file, kind)[path[1]]
    if len(path) == 2:  # noqa: PLR2004  # a kind and an index
        return str(outer.name)
    inner = getattr(outer, _BELOW[kind][path[2]])[path[3]]
    return f"{outer.name}.{inner.name}"


def _paragraphs(comment: str) -> str:
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
