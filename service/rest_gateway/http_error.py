"""The exception that a request is answered with, and the table from gRPC statuses to HTTP statuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from service.rest_gateway.writer import to_text

CLIENT_CLOSED_REQUEST = 499
"""The status in the log of a request whose client disconnected; it is never sent."""

STATUSES: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


@dataclass(eq=False)
class HTTPError(Exception):
    """A request is answered with an error.

    Attributes:
        status: the HTTP status.
        text: a sentence for people.
        reason: the `ErrorReason`; empty where none fits.
        violations: pairs of a JSON path and a description; the first ones.
        metadata: further members of the JSON object, by name.
        headers: headers of the response.
        cause: what the log shows and the client does not see.
    """

    status: int
    text: str
    reason: str = ""
    violations: Sequence[tuple[str, str]] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cause: str = ""

    def body(self, request_id: str = "") -> bytes:
        """Returns the JSON of the response, with a line break at the end.

        Args:
            request_id: the id of the request, for an error that has no call id of the server.
        """
        members: dict[str, Any] = {"error": self.text}
        if self.reason:
            members["reason"] = self.reason
        if self.violations:
            members["violations"] = [{"field": path, "description": text} for path, text in self.violations]
        if request_id:
            members["callId"] = request_id
        return to_text({**members, **self.metadata}).encode("utf-8", "replace") + b"\n"
