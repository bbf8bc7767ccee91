"""The description of the headers that calls take and answers have."""

from tools.openapi.shared_schemas import Schema

_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _header(name: str, description: str, schema: Schema, example: object) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


PARAMETERS: dict[str, Schema] = {
    parameter["name"]: parameter
    for parameter in (
        _header(
            "Idempotency-Key",
            "The same as `requestId`. Where both are given, they must be equal.",
            {"type": "string", "format": "uuid"},
            "6f1c1b1e-3c53-4b5e-9f0c-0a4a6f3e8d11",
        ),
        _header(
            "Last-Event-ID",
            "The `id` of the last event that was received: the stream continues after it. Overrides `after` and "
            "`fromNow`.",
            {"type": "string"},
            "WyJ3YXRjaCIsMV0",
        ),
        _header(
            "X-Request-Timeout",
            "How many seconds the call may take, 3600 at most.",
            {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
            2.5,
        ),
        _header(
            "X-Request-Id",
            "An id for the request, which the answer and the log repeat. Generated if it is absent, or not 1 to 128 "
            "printable ASCII characters without spaces.",
            {"type": "string"},
            "b7d1c2a94e0f",
        ),
        _header(
            "traceparent", "The caller's trace (W3C Trace Context), which is passed on.", {"type": "string"}, _TRACE
        ),
        _header("tracestate", "Belongs to `traceparent`.", {"type": "string"}, "vendor=value"),
    )
}

HEADERS: dict[str, Schema] = {
    "X-Request-Id": {"description": "The request's id.", "schema": {"type": "string"}, "required": True},
    "Retry-After": {"description": "When to try again, in seconds.", "schema": {"type": "integer", "minimum": 1}},
    "Allow": {"description": "The methods that the path has.", "schema": {"type": "string"}},
}
