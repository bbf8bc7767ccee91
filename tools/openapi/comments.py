"""The comments of the protos, with the names and statuses of the REST API."""

import importlib.resources
import re
from http import HTTPStatus

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from service.rest_gateway.http_error import CLIENT_CLOSED_REQUEST, STATUSES

_PACKAGE = "deviceassignment.v1"

# Field numbers of the descriptors: the parts of a file, and those of a message, an enum and a service.
_FILE = {4: "message_type", 5: "enum_type", 6: "service"}
_BELOW = {"message_type": {2: "field"}, "enum_type": {2: "value"}, "service": {2: "method"}}

_CODE = re.compile(r"`([^`]+)`")
_METADATA = re.compile(r"\b(?:[Tt]he )?metadata `")
_SNAKE = re.compile(r"[a-z]+(_[a-z]+)+")
# Strings with a fixed set of values. The code in their comments is values, not names of fields.
_VALUES = frozenset({"DeviceMetadataResult.status"})
_AS_IN = re.compile(r"(Required\. |)As in `(\w+)`\.")

_WORDS = {
    name: f"{status} {HTTPStatus(status).phrase}"
    for name, status in STATUSES.items()
    if status != CLIENT_CLOSED_REQUEST
} | {
    "google.rpc.BadRequest": "violations",
    "google.rpc.PreconditionFailure": "violations",
    "RetryInfo": "Retry-After",
    "CANCELLED": f"{CLIENT_CLOSED_REQUEST} Client Closed Request",
}

# Comments of the REST API that replace those of the protos.
REPLACED = {
    "DeviceAssignmentService": "Changes and looks up which device belongs to which customer, with the history.",
    "CustomerService": "The customers of an organisation. Assigning devices creates customers too.",
    "DeviceService": "The devices of an organisation. Assigning devices can create them too.",
    "DeviceAssignmentService.WatchOperations": (
        "Streams operations as they are committed: each once, those of a customer in their order.\n"
        "The stream continues after the event that `Last-Event-ID` names, across reconnects and restarts, and misses "
        "none. It ends at its maximum age, and with an event `error` when the server stops or the key is revoked. "
        "Then reconnect with the last id; clients of server-sent events do so by themselves.\n"
        "Needs the scope `assignments:read`."
    ),
    "ErrorReason": "Names why a call failed.",
    "ErrorReason.ERROR_REASON_MALFORMED_REQUEST": (
        "`400 Bad Request`, `408 Request Timeout`, `413 Content Too Large` or `415 Unsupported Media Type`: the "
        "request cannot be read."
    ),
    "ErrorReason.ERROR_REASON_UNKNOWN_METHOD": (
        "`404 Not Found` or `405 Method Not Allowed`: there is nothing at this path, or not for this method."
    ),
}


class Comments:
    """The comments of services, rpcs, messages, fields and enums, by name without the package.

    Statuses, names of fields and the details of errors are those of HTTP and JSON.
    """

    def __init__(self) -> None:
        self._found = read() | REPLACED

    def of(self, name: str) -> str:
        """Returns a comment, with one line for each paragraph.

        Args:
            name: such as `Customer`, `Customer.email` or `Change.CHANGE_ASSIGNED`.
        """
        comment = self._complete(name)
        return comment if name in _VALUES else _CODE.sub(self._in_rest, _METADATA.sub("`", comment))

    def values(self, name: str) -> list[str]:
        """Returns the values of a string field that has a fixed set of them."""
        return _CODE.findall(self._found[name]) if name in _VALUES else []

    def _complete(self, name: str) -> str:
        comment = self._found[name]
        if (elsewhere := _AS_IN.fullmatch(comment)) is None:
            return comment
        # The text of another field is copied, so that readers need not look for it.
        required, message = elsewhere.groups()
        there = self._complete(f"{message}.{name.rpartition('.')[2]}")
        return required + there.removeprefix("Required. ")

    @staticmethod
    def _in_rest(code: re.Match[str]) -> str:
        word = code[1]
        if word in _WORDS:
            return f"`{_WORDS[word]}`"
        return f"`{_camel(word)}`" if _SNAKE.fullmatch(word) else code[0]


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def read() -> dict[str, str]:
    """Reads the comments of the protos as they are."""
    content = importlib.resources.files(_PACKAGE).joinpath("descriptors.binpb").read_bytes()
    found: dict[str, str] = {}
    own = (file for file in FileDescriptorSet.FromString(content).file if file.package == _PACKAGE)
    for file in own:
        for location in file.source_code_info.location:
            if location.leading_comments and (name := _name(file, list(location.path))):
                found[name] = _paragraphs(location.leading_comments)
    return found


def _name(file: FileDescriptorProto, path: list[int]) -> str:
    """Returns the name at a path of descriptors; an empty one for what the document does not describe."""
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
