"""The inner parts of h11 and uvicorn that the gateway uses exist, and do what it needs."""

import inspect
from typing import Any

import h11
import pytest
from uvicorn import Server
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from service.rest_gateway.h11_connection import MAX_HEAD_BYTES, BoundedConnection


def events(*pieces: bytes) -> list[Any]:
    """Parses data as a server does. Returns the events."""
    connection = BoundedConnection(h11.SERVER, MAX_HEAD_BYTES)
    found: list[Any] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
            found.append(event)
    return found


def test_h11_returns_unread_data_and_removes_a_blank_line() -> None:
    plain = h11.Connection(h11.SERVER)
    plain.receive_data(b"\r\nGET")
    assert plain.trailing_data == (b"\r\nGET", False)
    assert plain._receive_buffer.maybe_extract_lines() == []
    assert plain.trailing_data == (b"GET", False)


@pytest.mark.parametrize("blank", [b"", b"\r\n", b"\n"])
def test_a_request_after_a_blank_line_is_read(blank: bytes) -> None:
    found = events(*[bytes([byte]) for byte in blank + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"])
    assert [type(event) for event in found] == [h11.Request, h11.EndOfMessage]


def test_a_complete_head_is_limited() -> None:
    start = b"GET / HTTP/1.1\r\nhost: x\r\n"
    assert events(start + b"a:b\r\n" * 98 + b"\r\n")
    for rest in (b"a:b\r\n" * 100, b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\n"):
        with pytest.raises(h11.RemoteProtocolError):
            events(start + rest + b"\r\n")


def test_the_limit_counts_chunks_and_not_received_data() -> None:
    start = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert len(events(start, b"2000\r\n", *[b"x"] * 0x2000)) == 0x2000 + 1
    assert events(start, *[b"400\r\n" + b"x" * 0x400 + b"\r\n"] * 3_000)
    with pytest.raises(h11.RemoteProtocolError, match="chunks"):
        events(start, *[b"1\r\nx\r\n"] * 1_002)


def test_uvicorn_has_what_is_overridden_and_read() -> None:
    methods = ("connection_made", "data_received", "on_response_complete", "connection_lost", "pause_writing")
    for name in (*methods, "resume_writing", "send_400_response", "handle_events", "shutdown"):
        assert callable(getattr(H11Protocol, name)), name
    assert {"config", "server_state", "app_state"} <= set(inspect.signature(H11Protocol.__init__).parameters)
    for name in ("conn", "app", "cycle", "transport", "loop", "flow"):
        assert f"self.{name}" in inspect.getsource(H11Protocol), name
    for name in ("response_started", "response_complete", "disconnected"):
        assert f"self.{name} = " in inspect.getsource(RequestResponseCycle.__init__), name
    assert "on_response=self.on_response_complete" in inspect.getsource(H11Protocol.handle_events)
    assert callable(FlowControl.pause_reading)
    assert "run_asgi(app)" in inspect.getsource(H11Protocol.handle_events)
    for name in ("startup", "shutdown", "capture_signals", "serve"):
        assert callable(getattr(Server, name)), name
    for name in ("self.lifespan", "self.servers", "self.started"):
        assert name in inspect.getsource(Server), name
