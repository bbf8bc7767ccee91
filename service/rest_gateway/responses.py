"""Sends HTTP responses."""

from http import HTTPStatus

from service.rest_gateway import request_state
from service.rest_gateway.asgi import Scope, Send
from service.rest_gateway.http_error import HTTPError

JSON = ((b"content-type", b"application/json"),)

# A body up to this size is sent in one piece.
_SMALL_BYTES = 64 * 1024


async def send_response(
    send: Send, status: int, body: bytes | list[bytes], headers: tuple[tuple[bytes, bytes], ...] = JSON
) -> None:
    """Sends a complete response. A body given in chunks is sent chunk by chunk, as fast as the client reads it."""
    chunks = [body] if isinstance(body, bytes) else body
    size = sum(map(len, chunks))
    length = (
        () if status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED} else ((b"content-length", str(size).encode()),)
    )
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    if size <= _SMALL_BYTES:
        chunks = [b"".join(chunks)]
    # Each chunk is freed as soon as it is sent.
    chunks.reverse()
    while len(chunks) > 1:
        await send({"type": "http.response.body", "body": chunks.pop(), "more_body": True})
    await send({"type": "http.response.body", "body": chunks.pop()})


async def send_error(scope: Scope, send: Send, error: HTTPError) -> None:
    """Sends an error."""
    state = request_state.of(scope)
    state.error = error
    headers = tuple((name.lower().encode(), value.encode()) for name, value in error.headers.items())
    await send_response(send, error.status, error.body(state.request_id), JSON + headers)


def raw_error_response(error: HTTPError, request_id: str) -> bytes:
    """Returns a whole HTTP/1.1 response as bytes, for a connection that is closed after it."""
    body = error.body(request_id)
    head = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        "content-type: application/json",
        "connection: close",
        f"x-request-id: {request_id}",
        *(f"{name.lower()}: {value}" for name, value in error.headers.items()),
        f"content-length: {len(body)}",
        "\r\n",
    ]
    return "\r\n".join(head).encode() + body
