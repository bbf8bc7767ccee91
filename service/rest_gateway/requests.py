"""Reads the message of a request from its body, or from its path and query."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service.rest_gateway import document, errors, headers, request_state
from service.rest_gateway.asgi import ClientDisconnected, Receive, Scope
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.headers import CallContext
from service.rest_gateway.key_limits import MemoryReservation
from service.rest_gateway.message_reader import MessageReader
from service.rest_gateway.request_state import RequestState
from service.rest_gateway.routes import Route
from service.rest_gateway.violations import Violations, member

SMALL_BYTES = 4 * 1024
"""Messages up to this size are parsed and written in the event loop, which takes a few milliseconds at most."""


class RequestReader:
    """Reads the requests of one route.

    Args:
        route: the route.
        max_body_bytes: the longest body of any path; the route may have a lower limit.
        thread: parses larger messages.
    """

    def __init__(self, route: Route, max_body_bytes: int, thread: FairThread) -> None:
        descriptor = route.method.input_type
        self._route = route
        self._max_body_bytes = min(max_body_bytes, route.limits.json_bytes)
        self._thread = thread
        self._message_class: type[Message] = GetMessageClass(descriptor)
        self._reader = MessageReader(descriptor, route.map_field)
        self._fields = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
        self._has_request_id = "request_id" in descriptor.fields_by_name

    def read_query(self, scope: Scope, violations: Violations) -> Message:
        """Reads a request without a body from its path and query, and records in `violations` what is wrong."""
        message = self._message_class()
        for name, value in scope["path_params"].items():
            setattr(message, name, value)
        self._read_query(_query(scope["query_string"], violations), message, violations)
        return message

    async def read_body(
        self,
        scope: Scope,
        receive: Receive,
        context: CallContext,
        memory: MemoryReservation,
        violations: Violations,
        *,
        owner: bytes,
    ) -> Message:
        """Reads a request from its body, and records in `violations` which fields are wrong.

        A large body waits for the thread in the queue of its owner.

        Raises:
            HTTPError: the body cannot be read, or a limit is reached.
            TooManyViolations: more is wrong than an answer lists.
            ClientDisconnected: the client closed the connection.
        """
        state = request_state.of(scope)
        for name, _ in _query(scope["query_string"], violations):
            violations.add(member("", name), "is no query parameter of this path; the fields are in the body")
        # A declared length is reserved at once: of many large bodies some are refused, and the others are read whole.
        memory.set(headers.check_body(state, self._max_body_bytes))
        try:
            async with asyncio.timeout(context.seconds):
                chunks = await self._receive_body(receive, memory)
        except TimeoutError:
            raise errors.body_too_slow() from None
        if sum(map(len, chunks)) <= SMALL_BYTES:
            message = self._parse(chunks, violations)
        else:
            message = await self._thread.read(owner, receive, context.seconds, lambda: self._parse(chunks, violations))
        if self._has_request_id:
            _add_request_id(state, message, violations)
        return message

    def _parse(self, chunks: list[bytes], violations: Violations) -> Message:
        message = self._message_class()
        try:
            self._reader.read(document.parse(chunks, self._route.limits.json_values), message, "", violations)
        except document.NotJson as error:
            raise errors.malformed(f"The body {error}") from None
        except document.TooManyValues:
            raise errors.malformed(
                f"The body must have at most {self._route.limits.json_values} JSON values", 413
            ) from None
        return message

    def keys(self, message: Message) -> Sequence[str]:
        """Returns the names of the members of the route's map, if it has one."""
        if not self._route.map_field:
            return ()
        listed = getattr(message, self._route.map_field)
        return [getattr(each, each.DESCRIPTOR.fields[0].name) for each in listed]

    async def _receive_body(self, receive: Receive, memory: MemoryReservation) -> list[bytes]:
        chunks: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise ClientDisconnected
            if chunk := event.get("body", b""):
                size += len(chunk)
                if size > self._max_body_bytes:
                    raise headers.too_long(self._max_body_bytes)
                memory.raise_to(size)
                chunks.append(chunk)
            if not event.get("more_body", False):
                return chunks

    def _read_query(self, query: list[tuple[str, str]], message: Message, violations: Violations) -> None:
        given: set[str] = set()
        for name, value in query:
            field = self._fields.get(name)
            if field is None or f"{{{field.name}}}" in self._route.path:
                violations.add(member("", name), "is no query parameter of this path")
            elif field.json_name in given:
                violations.add(field.json_name, "must be given once")
            else:
                given.add(field.json_name)
                _set(field, value, message, violations)


def _set(field: FieldDescriptor, value: str, message: Message, violations: Violations) -> None:
    if field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, value)
    elif value in {"true", "false"}:
        setattr(message, field.name, value == "true")
    else:
        violations.add(field.json_name, "must be true or false")


def _query(text: bytes, violations: Violations) -> list[tuple[str, str]]:
    pairs = []
    for part in text.split(b"&") if text else ():
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            pairs.append((unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError:
            violations.add("query", "must be percent-encoded UTF-8")
    return pairs


def _add_request_id(state: RequestState, message: Any, violations: Violations) -> None:
    key = headers.idempotency_key(state)
    if key is None:
        return
    if not key:
        # The caller expects that a retry is safe, and without a key it would not be.
        violations.add("Idempotency-Key", "must not be empty")
    elif message.request_id and message.request_id.lower() != key.lower():
        violations.add("requestId", "must be the same as the header Idempotency-Key, or absent")
    message.request_id = key
