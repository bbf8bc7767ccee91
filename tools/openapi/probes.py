"""The description of the probes, which are no calls of the service."""

from service.rest_gateway.health import LIVE, READY
from tools.openapi.schemas import Schema


def _probe(name: str, status: str, summary: str, description: str) -> Schema:
    schema = {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": [status], "description": "How it is."}},
        "required": ["status"],
    }
    answer = {
        "description": "It is.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": {"application/json": {"schema": schema, "example": {"status": status}}},
    }
    return {
        "get": {
            "operationId": name,
            "tags": ["Health"],
            "summary": summary,
            "description": description,
            "security": [],
            "responses": {"200": answer},
        }
    }


PROBES: dict[str, Schema] = {
    LIVE: _probe("Live", "live", "Tells that the gateway runs", "Says nothing of the service behind it."),
    READY: _probe(
        "Ready", "ready", "Tells whether calls can be made", "Asks the service, which answers for its database."
    ),
}
PROBES[READY]["get"]["responses"]["503"] = {"$ref": "#/components/responses/503"}
