"""The description of the health checks, which are not in the protos."""

from service.rest_gateway.health import LIVE, READY
from tools.openapi.shared_schemas import Schema


def _probe(name: str, status: str, summary: str, description: str) -> Schema:
    schema = {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": [status], "description": "The state."}},
        "required": ["status"],
    }
    answer = {
        "description": f"The state is `{status}`.",
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
    LIVE: _probe("Live", "live", "Shows that the gateway runs", "Does not call the server."),
    READY: _probe("Ready", "ready", "Shows whether calls are served", "Checks the server, which checks its database."),
}
PROBES[READY]["get"]["responses"]["503"] = {"$ref": "#/components/responses/503"}
