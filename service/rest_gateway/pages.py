"""Serves the two generated files: the OpenAPI document at `/openapi.json` and the page for people at `/docs`.

`tools/openapi` makes both; `make proto` writes them into `generated/`.
"""

import base64
import hashlib
import importlib.resources

from starlette.routing import BaseRoute, Route

from service.rest_gateway import request_state
from service.rest_gateway.asgi import FunctionApp, Receive, Scope, Send
from service.rest_gateway.responses import send_response

OPENAPI = "/openapi.json"
DOCS = "/docs"

_PACKAGE = "deviceassignment.v1"


def routes() -> list[BaseRoute]:
    """Reads both files, which do not change while the process runs, and returns their routes."""
    page = _read("docs.html")
    policy = {"content-security-policy": _policy(page)}
    return [
        _route(OPENAPI, _read("openapi.json"), "application/json", {}),
        _route(DOCS, page, "text/html; charset=utf-8", policy),
    ]


def _read(name: str) -> bytes:
    return importlib.resources.files(_PACKAGE).joinpath(name).read_bytes()


def _policy(page: bytes) -> str:
    """Returns the header that allows the page its own style, and nothing else to load or to run."""
    style = page.partition(b"<style>")[2].partition(b"</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _route(path: str, body: bytes, media_type: str, headers: dict[str, str]) -> Route:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    own = {"etag": tag.decode(), "cache-control": "no-cache", **headers}
    same = tuple((name.encode(), value.encode()) for name, value in own.items())
    whole = (*same, (b"content-type", media_type.encode()))

    async def serve(scope: Scope, _receive: Receive, send: Send) -> None:
        state = request_state.of(scope)
        state.route = path
        asked = state.headers.get(b"if-none-match", b"")
        if tag in asked or asked.strip() == b"*":
            await send_response(send, 304, b"", same)
        else:
            await send_response(send, 200, body, whole)

    return Route(path, FunctionApp(serve), methods=["GET"])
