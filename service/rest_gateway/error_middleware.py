"""The ASGI middleware that turns exceptions into responses, and the CORS middleware, whose errors are JSON too."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Router

from service.rest_gateway import errors, request_state
from service.rest_gateway.asgi import ClientDisconnected, Receive, Scope, Send
from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.responses import send_error, send_response
from service.runtime import log


class ErrorMiddleware:
    """Calls the router, and answers what it raises."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        state = request_state.of(scope)
        scope["app"] = self  # with an application in its scope, the router raises errors instead of answering them
        try:
            _check_framing(scope["method"], state.headers)
            await self._router(scope, receive, send)
        except HTTPException as error:
            await _send_wrong_method(scope, send, error)
        except HTTPError as error:
            await send_error(scope, send, error)
        except ClientDisconnected:
            pass
        except Exception:  # any other exception is a defect: the client gets an answer, and the log the cause
            log.exception("defect", x_request_id=state.request_id)
            if state.status:
                raise
            await send_error(scope, send, errors.internal())


def _check_framing(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Refuses requests that a proxy in between may have understood differently. Raises `HTTPError`."""
    if method == "CONNECT" or (b"content-length" in headers and b"transfer-encoding" in headers):
        error = errors.malformed("The request must not be a CONNECT, nor have both a length and a transfer-encoding")
        error.headers["Connection"] = "close"
        raise error


class JsonCORSMiddleware(CORSMiddleware):
    """Starlette's middleware; the body of a refused preflight request is the gateway's JSON."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers a preflight request of a browser."""
        response = super().preflight_response(request_headers)
        if response.status_code != HTTPStatus.BAD_REQUEST:
            return response
        body = errors.malformed("This origin, or its method or headers, may not call").body()
        kept = {name: value for name, value in response.headers.items() if name.startswith(("access-", "vary"))}
        return Response(body, HTTPStatus.BAD_REQUEST, kept, "application/json")


async def _send_wrong_method(scope: Scope, send: Send, error: HTTPException) -> None:
    """Answers a method that the path does not have; the router raises no other HTTPException."""
    allowed = ", ".join(sorted({*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"} - {""}))
    if scope["method"] == "OPTIONS":
        await send_response(send, HTTPStatus.NO_CONTENT, b"", ((b"allow", allowed.encode()),))
    else:
        await send_error(scope, send, errors.wrong_method(allowed))
