"""Makes the message of a request: from its body, or from its path and query."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service.rest_gateway import document, exchange, failures, headers
from service.rest_gateway.exchange import CallerGone, Exchange, Receive, Scope
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.headers import Context
from service.rest_gateway.reader import Shape
from service.rest_gateway.routes import Route
from service.rest_gateway.shares import Holding
from service.rest_gateway.violations import Violations, member

SMALL_BYTES = 4 * 1024
"""Up to this size a message is read and written in the event loop, which takes a few milliseconds at most."""


class Requests:
    """Reads the requests of one route.

    Args:
        route: the route.
        max_body_bytes: the longest body that is read, if the route does not have a lower limit.
        thread: the thread that reads the messages that take longer.
    """

    def __init__(self, route: Route, max_body_bytes: int, thread: FairThread) -> None:
        descriptor = route.method.input_type
        self._route = route
        self._max_body_bytes = min(max_body_bytes, route.size.bytes)
        self._thread = thread
        self._kind: type[Message] = GetMessageClass(descriptor)
        self._shape = Shape(descriptor, route.map_field)
        self._fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
        self._takes_request_id = "request_id" in descriptor.fields_by_name

    def read_query(self, scope: Scope, violations: Violations) -> Message:
        """Reads a request without a body, from its path and query. What is wrong is noted in `violations`."""
        message = self._kind()
        for name, value in scope["path_params"].items():
            setattr(message, name, value)
        self._read_query(_query(scope["query_string"], violations), message, violations)
        return message

    async def read_body(
        self,
        scope: Scope,
        receive: Receive,
        context: Context,
        holding: Holding,
        violations: Violations,
        *,
        owner: bytes,
    ) -> Message:
        """Reads a request from its body. What is wrong with its fields is noted in `violations`.

        A long body waits for the thread in the queue of its owner.

        Raises:
            Refused: it cannot be read at all, or there is no room for it.
            Enough: more is wrong than an answer names.
            CallerGone: there is nobody to answer.
        """
        current = exchange.of(scope)
        for name, _ in _query(scope["query_string"], violations):
            violations.wrong(member("", name), "is no query parameter of this path; the fields are in the body")
        # A length that is told is held at once: of many large bodies some are refused, and the others are read whole.
        holding.hold(headers.check_body(current, self._max_body_bytes))
        try:
            async with asyncio.timeout(context.seconds):
                pieces = await self._body(receive, holding)
        except TimeoutError:
            raise failures.body_too_slow() from None
        if sum(map(len, pieces)) <= SMALL_BYTES:
            message = self._parse(pieces, violations)
        else:
            message = await self._thread.read(owner, receive, context.seconds, lambda: self._parse(pieces, violations))
        if self._takes_request_id:
            _add_request_id(current, message, violations)
        return message

    def _parse(self, pieces: list[bytes], violations: Violations) -> Message:
        message = self._kind()
        try:
            self._shape.read(document.parse(pieces, self._route.size.values), message, "", violations)
        except document.NotJson as error:
            raise failures.malformed(f"The body {error}") from None
        except document.TooManyValues:
            raise failures.malformed(f"The body must have at most {self._route.size.values} JSON values", 413) from None
        return message

    def keys(self, message: Message) -> Sequence[str]:
        """Gives the names of the members of the route's map, if it has one."""
        if not self._route.map_field:
            return ()
        listed = getattr(message, self._route.map_field)
        return [getattr(each, each.DESCRIPTOR.fields[0].name) for each in listed]

    async def _body(self, receive: Receive, holding: Holding) -> list[bytes]:
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
                holding.hold_at_least(size)
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
