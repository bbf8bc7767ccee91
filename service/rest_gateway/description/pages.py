"""The description that the gateway serves of itself: for programs at `/openapi.json`, for people at `/docs`."""

import hashlib
import json

from starlette.routing import BaseRoute, Route

from service.rest_gateway import exchange
from service.rest_gateway.description import openapi, page
from service.rest_gateway.exchange import Plain, Receive, Scope, Send

DESCRIPTION = "/openapi.json"
DOCS = "/docs"


def routes() -> list[BaseRoute]:
    """Builds both, which do not change while the process runs, and gives their routes."""
    document = openapi.build()
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    policy = {"content-security-policy": page.content_security_policy()}
    return [
        _route(DESCRIPTION, f"{text}\n", "application/json", {}),
        _route(DOCS, page.render(document), "text/html; charset=utf-8", policy),
    ]


def _route(path: str, text: str, media_type: str, headers: dict[str, str]) -> Route:
    body = text.encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    own = {"etag": tag.decode(), "cache-control": "no-cache", **headers}
    same = tuple((name.encode(), value.encode()) for name, value in own.items())
    whole = (*same, (b"content-type", media_type.encode()))

    async def serve(scope: Scope, _receive: Receive, send: Send) -> None:
        current = exchange.of(scope)
        current.route = path
        asked = current.headers.get(b"if-none-match", b"")
        if tag in asked or asked.strip() == b"*":
            await exchange.respond(send, 304, b"", same)
        else:
            await exchange.respond(send, 200, body, whole)

    return Route(path, Plain(serve), methods=["GET"])
