"""The description of each call: its request, its answer, and its errors."""

import json
import re
from collections.abc import Iterator
from typing import Any

from service.rest_gateway.routes import Route
from tools.openapi.comments import Comments
from tools.openapi.schemas import Schemas
from tools.openapi.shared_schemas import Schema

_PATH_FIELD = re.compile(r"\{(\w+)\}")
_EVENTS = (
    "Server-sent events. The `data` of an event `operation` is a `WatchOperationsResponse`, its `id` the resume token. "
    "The first `id` comes at once, before any event. The last event may be an `error`, whose `data` is an `Error`."
)
_NOT_FOUND = "`404 Not Found`"


class Operations:
    """Describes the calls of the table.

    Args:
        comments: the comments of the protos.
        schemas: collects the schemas of requests and answers.
        examples: a call of each rpc, by its name.
    """

    def __init__(self, comments: Comments, schemas: Schemas, examples: dict[str, dict[str, Any]]) -> None:
        self._comments = comments
        self._schemas = schemas
        self._examples = examples

    def describe(self, route: Route) -> tuple[str, Schema]:
        """Returns a route's path, with JSON names, and its operation."""
        rpc = route.method
        example = self._examples[rpc.name]
        comment = self._comments.of(f"{rpc.containing_service.name}.{rpc.name}")
        summary, _, rest = comment.partition(".")
        operation: Schema = {
            "operationId": rpc.name,
            "tags": [tag(rpc.containing_service.name)],
            "summary": summary,
            "description": rest.strip(),
            "parameters": [*self._fields(route, example["request"]), *self._headers(route)],
        }
        if route.http_method == "POST":
            content = {"schema": self._schemas.request(route), "example": example["request"]}
            operation["requestBody"] = {"required": True, "content": {"application/json": content}}
        failures = {str(status): {"$ref": f"#/components/responses/{status}"} for status in self._failures(route)}
        operation["responses"] = {"200": self._answer(route, example["answer"]), **failures}
        return _PATH_FIELD.sub(lambda found: f"{{{_json_name(route, found[1])}}}", route.full_path), operation

    def _fields(self, route: Route, example: dict[str, Any]) -> Iterator[Schema]:
        """Describes the fields in the path and in the query."""
        if route.http_method != "GET":
            return
        in_path = _PATH_FIELD.findall(route.path)
        for field in route.method.input_type.fields:
            schema = self._schemas.field(field, is_request=True, null=False)
            placed: Schema = {"name": field.json_name, "description": schema.pop("description"), "schema": schema}
            if field.name in in_path:
                yield {**placed, "in": "path", "required": True, "example": example[field.json_name]}
            else:
                yield {**placed, "in": "query"}

    def _headers(self, route: Route) -> Iterator[Schema]:
        own = ["Last-Event-ID"] if route.method.server_streaming else []
        own += ["Idempotency-Key"] if self._is_write(route) else []
        for name in (*own, "X-Request-Timeout", "X-Request-Id", "traceparent", "tracestate"):
            yield {"$ref": f"#/components/parameters/{name}"}

    def _answer(self, route: Route, example: dict[str, Any]) -> Schema:
        message = route.method.output_type
        schema = self._schemas.answer(message)
        headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
        description = self._comments.of(message.name)
        if not route.method.server_streaming:
            content = {"schema": schema, "example": example}
            return {"description": description, "headers": headers, "content": {"application/json": content}}
        event = {"event": "operation", "id": example["resumeToken"], "data": _compact(example)}
        stream = {"schema": _event(schema), "example": event}
        return {"description": _EVENTS, "headers": headers, "content": {"text/event-stream": stream}}

    def _failures(self, route: Route) -> Iterator[int]:
        """Returns the statuses of errors: those of all calls, and those that this call can cause."""
        yield from (400, 401, 403)
        rpc = route.method
        names = [f"{rpc.containing_service.name}.{rpc.name}"]
        names += [f"{rpc.input_type.name}.{field.name}" for field in rpc.input_type.fields]
        if any(_NOT_FOUND in self._comments.of(name) for name in names):
            yield 404
        if route.http_method == "POST":
            yield 408
        if self._is_write(route):
            yield 409
        if route.http_method == "POST":
            yield from (413, 415)
        yield from (429, 500, 503, 504)

    def _is_write(self, route: Route) -> bool:
        return "request_id" in route.method.input_type.fields_by_name


def tag(service: str) -> str:
    """Returns the tag of a service's calls."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", service.removesuffix("Service")).capitalize()


def _event(message: Schema) -> Schema:
    """Describes one event of a stream as OpenAPI 3.2 does, because 3.1 cannot describe the members of a stream."""
    text = {"type": "string"}
    data = {"anyOf": [message, {"$ref": "#/components/schemas/Error"}]}
    return {
        "type": "object",
        "properties": {
            "event": {"enum": ["operation", "error"], "description": "The type of the event.", **text},
            "id": {**text, "description": "The resume token."},
            "data": {**text, "contentMediaType": "application/json", "contentSchema": data, "description": "The JSON."},
        },
        "required": ["event", "data"],
    }


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json_name(route: Route, name: str) -> str:
    return str(route.method.input_type.fields_by_name[name].json_name)
