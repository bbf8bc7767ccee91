"""Makes the message of a request: from its body, or from its path and query."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service.transport.gateway import document, exchange, failures, headers
from service.transport.gateway.exchange import Exchange, Receive, Scope
from service.transport.gateway.reader import Shape
from service.transport.gateway.routes import Route
from service.transport.gateway.violations import Violations, member


class CallerGone(Exception):
    """The caller closed the connection before the request was complete."""


class Requests:
    """Reads the requests of one route.

    Args:
        route: the route.
        max_body_bytes: the longest body that is read.
    """

    def __init__(self, route: Route, max_body_bytes: int) -> None:
        descriptor = route.method.input_type
        self._route = route
        self._max_body_bytes = max_body_bytes
        self._kind: type[Message] = GetMessageClass(descriptor)
        self._shape = Shape(descriptor, route.map_field)
        self._fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
        self._takes_request_id = "request_id" in descriptor.fields_by_name

    async def read(self, scope: Scope, receive: Receive, violations: Violations) -> Message:
        """Reads a request.

        Raises:
            Refused: it cannot be read at all. What is wrong with its fields is noted in `violations`.
            CallerGone: there is nobody to answer.
        """
        current = exchange.of(scope)
        message = self._kind()
        query = _query(scope["query_string"], violations)
        if self._route.http_method == "GET":
            for name, value in scope["path_params"].items():
                setattr(message, name, value)
            self._read_query(query, message, violations)
            return message
        for name, _ in query:
            violations.wrong(member("", name), "is no query parameter of this path; the fields are in the body")
        headers.check_body(current, self._max_body_bytes)
        pieces = await self._body(receive)
        try:
            self._shape.read(document.parse(pieces), message, "", violations)
        except document.NotJson as error:
            raise failures.malformed(f"The body {error}") from None
        if self._takes_request_id:
            _add_request_id(current, message, violations)
        return message

    def keys(self, message: Message) -> Sequence[str]:
        """Gives the names of the members of the route's map, if it has one."""
        if not self._route.map_field:
            return ()
        listed = getattr(message, self._route.map_field)
        return [getattr(each, each.DESCRIPTOR.fields[0].name) for each in listed]

    async def _body(self, receive: Receive) -> list[bytes]:
        pieces: list[bytes] = []
        size = 0
        while True:
            part = await receive()
            if part["type"] == "http.disconnect":
                raise CallerGone
            if piece := part.get("body", b""):
                size += len(piece)
                if size > self._max_body_bytes:
                    raise headers.too_long(self._max_body_bytes)
                pieces.append(piece)
            if not part.get("more_body", False):
                return pieces

    def _read_query(self, query: list[tuple[str, str]], message: Message, violations: Violations) -> None:
        given: set[str] = set()
        for name, value in query:
            field = self._fields.get(name)
            if field is None or f"{{{field.name}}}" in self._route.path:
                violations.wrong(member("", name), "is no query parameter of this path")
            elif field.json_name in given:
                violations.wrong(field.json_name, "must be given once")
            else:
                given.add(field.json_name)
                _set(field, value, message, violations)


def _set(field: FieldDescriptor, value: str, message: Message, violations: Violations) -> None:
    if field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, value)
    elif value in {"true", "false"}:
        setattr(message, field.name, value == "true")
    else:
        violations.wrong(field.json_name, "must be true or false")


def _query(text: bytes, violations: Violations) -> list[tuple[str, str]]:
    pairs = []
    for part in text.split(b"&") if text else ():
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            pairs.append((unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError:
            violations.wrong("query", "must be percent-encoded UTF-8")
    return pairs


def _add_request_id(current: Exchange, message: Any, violations: Violations) -> None:
    key = headers.idempotency_key(current)
    if key is None:
        return
    if not key:
        # Who sends it wants a retry to be safe, and without a key it would not be.
        violations.wrong("Idempotency-Key", "must not be empty")
    elif message.request_id and message.request_id.lower() != key.lower():
        violations.wrong("requestId", "must be the same as the header Idempotency-Key, or absent")
    message.request_id = key
