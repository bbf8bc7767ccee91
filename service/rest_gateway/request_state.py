"""What the gateway knows of an HTTP request while it serves it. The ASGI scope holds it."""

import time
from dataclasses import dataclass, field

from service.rest_gateway.asgi import Scope
from service.rest_gateway.http_error import HTTPError


@dataclass(slots=True, eq=False)
class RequestState:
    """The state of one request.

    Attributes:
        request_id: the header `X-Request-Id`, or an id made here.
        headers: the request's headers with names in lower case; of a repeated header the first.
        route: the path in the table of routes, which the log shows; empty until the router finds one. The log does not
            show the requested path, because it may contain secrets.
        status: the status of the response; 0 until the response starts.
        error: the error that was sent.
        authenticated: whether the request has a valid key.
        repeated: the names of headers that occur more than once.
        started: when the first byte of the request arrived, on the monotonic clock.
    """

    request_id: str
    headers: dict[bytes, bytes]
    route: str = ""
    status: int = 0
    error: HTTPError | None = None
    authenticated: bool = False
    repeated: frozenset[bytes] = frozenset()
    started: float = field(default_factory=time.monotonic)


def of(scope: Scope) -> RequestState:
    """Returns the state of the request that an application is called for."""
    state: RequestState = scope["request_state"]
    return state


def set_authenticated(scope: Scope, owner: bytes) -> None:
    """Records that the request, and so its connection, has a valid key of an owner."""
    of(scope).authenticated = True
    scope["set_authenticated"](owner)
