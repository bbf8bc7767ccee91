"""The description that the gateway serves of itself: for programs at `/openapi.json`, for people at `/docs`."""

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.transport.gateway import exchange
from service.transport.gateway.description import openapi, page

DESCRIPTION = "/openapi.json"
DOCS = "/docs"


def routes() -> list[BaseRoute]:
    """Builds both, which do not change while the process runs, and gives their routes."""
    document = openapi.build()
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    policy = {"content-security-policy": page.content_security_policy()}
    return [
        _route(DESCRIPTION, text, "application/json", {}),
        _route(DOCS, page.render(document), "text/html; charset=utf-8", policy),
    ]


def _route(path: str, text: str, media_type: str, headers: dict[str, str]) -> Route:
    body = text.encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    own = {"etag": tag, "cache-control": "no-cache", **headers}

    async def serve(request: Request) -> Response:
        exchange.of(request.scope).route = path
        asked = request.headers.get("if-none-match", "")
        if tag in asked or asked.strip() == "*":
            return Response(status_code=304, headers=own)
        return Response(body, headers={**own, "content-type": media_type})

    return Route(path, serve, methods=["GET"])
