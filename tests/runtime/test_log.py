"""The log: whole lines, soon enough, in order, and never in the way of a call."""

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from service.runtime import access_log, log, redaction
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import eventually

PIPE_BYTES = 4096  # Linux: what several processes may write to a pipe without mixing it up


class Pieces(io.StringIO):
    """A stream that knows in which pieces it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, piece: str) -> int:
        """Takes a piece."""
        self.pieces.append(piece)
        return super().write(piece)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was written."""
        return [json.loads(line) for line in self.getvalue().splitlines()]


Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Sets the log up, and undoes it afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield log.configure
    log.disable()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_what_is_to_be_written_soon_is_written_with_no_other_event(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=True)
    for number in range(3):
        log.access("call", number=number)
        eventually(lambda number=number: len(stream.events) == number + 1)  # type: ignore[misc]  # a lambda's default
    assert [event["number"] for event in stream.events] == [0, 1, 2]
    assert {event["level"] for event in stream.events} == {"info"}


def test_an_event_that_is_written_at_once_stands_behind_those_that_waited(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=True)
    log.access("call", number=1)
    log.access("call", number=2)
    log.info("stopped")
    assert [event["event"] for event in stream.events] == ["call", "call", "stopped"]
    times = [event["timestamp"] for event in stream.events]
    assert times == sorted(times)


def test_many_lines_are_written_in_pieces_of_whole_lines_that_a_shared_pipe_keeps_whole(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=True)
    for number in range(200):
        log.access("call", number=number, padding="x" * 100)
    log.info("stopped")
    assert len(stream.events) == 201
    assert all(piece.endswith("\n") and len(piece) <= PIPE_BYTES for piece in stream.pieces)
    assert len(stream.pieces) < 201 / 5


def test_a_finalizer_that_logs_while_lines_are_written_locks_up_no_thread(configure: Configure) -> None:
    inside, logging_too = threading.Event(), threading.Event()

    class Collected:
        def __repr__(self) -> str:
            inside.set()
            logging_too.wait(0.5)  # so that the other thread waits for the lock
            log.warning("collected")
            return "x"

    stream = Pieces()
    configure(stream, json=True)
    log.access("call", thing=Collected())

    def event() -> None:
        inside.wait(120)
        log.info("event")

    thread = threading.Thread(target=event, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    eventually(lambda: len(stream.events) == 3)


def test_a_library_that_has_fields_of_its_own_is_redacted_all_the_same(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=True)
    logging.getLogger("library").warning(
        "no mail to %s", "ada@example.com", extra={"fields": {"to": "ada@example.com"}}
    )
    assert "ada@" not in stream.getvalue()


def test_a_slow_stream_does_not_fill_the_memory(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Pieces()
    configure(stream, json=True)
    monkeypatch.setattr(access_log, "_MAX_WAITING", 10)
    monkeypatch.setattr(access_log, "_DELAY_SECONDS", 60)
    log.access("call")
    for _ in range(50):
        log.access("call")
    assert len(stream.events) >= 40


def test_a_call_does_not_wait_while_others_lines_are_written(configure: Configure) -> None:
    go, stuck = threading.Event(), threading.Event()

    class Slow(Pieces):
        def write(self, piece: str) -> int:
            stuck.set()
            go.wait(120)
            return super().write(piece)

    stream = Slow()
    configure(stream, json=True)
    log.access("call", number=1)
    assert stuck.wait(120)

    def call() -> None:
        for number in range(2, 50):
            log.access("call", number=number)

    done = threading.Thread(target=call, daemon=True)
    done.start()
    done.join(10)
    assert not done.is_alive()
    assert stream.getvalue() == ""
    go.set()
    eventually(lambda: len(stream.events) == 49)


def test_an_event_that_cannot_be_written_costs_no_other(configure: Configure) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text for ada@example.com")

    stream = Pieces()
    configure(stream, json=True)
    log.access("call", number=1)
    log.access("call", number=Broken())
    log.access("call", number=3)
    eventually(lambda: len(stream.events) == 3)
    assert [event["event"] for event in stream.events] == ["call", "event not written", "call"]
    log.access("call", number=4)
    eventually(lambda: len(stream.events) == 4)
    log.info("serving", port=Broken())
    assert stream.events[-1]["event"] == "event not written"
    assert stream.events[-1]["reason"] == "RuntimeError"


def test_people_read_what_when_and_the_fields_and_an_exception_below(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=False)
    try:
        int("broken for ada@example.com")
    except ValueError:
        log.exception("defect", method="x")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("Z [error] defect method=x")
    assert rest[0] == "  Traceback (most recent call last):"
    assert rest[-1].startswith("  ValueError: invalid literal")
    assert "ada@" not in stream.getvalue()


def test_what_a_caller_chose_neither_breaks_a_line_for_people_nor_steers_their_terminal(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=False)
    log.warning("call", method="a/b\n[error] forged", shown="grün", path=r"a\n", odd='status="OK"', turned="\u202ea")
    logging.getLogger("library").warning("odd: %s", "\x1b[2J")
    red = ValueError("red: \x1b[31m\n2026-01-01T00:00:00Z [info] call method=forged")
    try:
        raise red
    except ValueError:
        log.exception("defect", status="a b")
    [call, odd, defect, *below] = stream.getvalue().split("\n")[:-1]
    assert call.endswith(
        r'[warning] call method="a/b\n[error] forged" shown=grün path="a\\n" odd="status=\"OK\"" turned=\u202ea'
    )
    assert odd.endswith(r"[warning] odd: \x1b[2J")
    assert defect.endswith('[error] defect status="a b"')
    assert r"  ValueError: red: \x1b[31m" in below
    assert "  2026-01-01T00:00:00Z [info] call method=forged" in below
    assert all(line.startswith("  ") for line in below)


def test_a_library_s_warning_is_an_event_too_and_has_nothing_personal(configure: Configure) -> None:
    stream = Pieces()
    configure(stream, json=True)
    logging.getLogger("library").info("not of interest")
    logging.getLogger("library").warning("no mail to %s", "ada@example.com")
    [event] = stream.events
    assert (event["event"], event["level"]) == ("no mail to [e-mail]", "warning")


def test_a_library_that_warns_in_a_wrong_way_goes_on(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    stream = Pieces()
    configure(stream, json=True)
    logging.getLogger("library").warning("%d devices", "x")
    assert stream.events == []
    assert "%d devices" in capsys.readouterr().err


def test_a_long_word_is_redacted_in_no_time() -> None:
    started = time.process_time()
    assert redaction.redact("x" * 200_000) == "x" * 200_000
    assert redaction.redact("x" * 100_000 + "@example.com y") == "[e-mail] y"
    assert time.process_time() - started < 5


_KEY = "da_00000000_" + "0" * 40


@pytest.mark.parametrize(
    "method",
    [
        f"{_KEY}/x",
        f"x.y/{_KEY}",
        f"x/y%3D{_KEY}",
        f"x_{_KEY}",
        "x/ada@example.com",
        "x/ada%40example.com",
        "x" * 3000 + f"/{_KEY}/" + "y" * 3000,
        "x" * 190 + f"/{_KEY}",
        "x" * 7000,
    ],
)
def test_a_method_that_a_caller_made_up_is_redacted_and_cut(configure: Configure, client: Client, method: str) -> None:
    stream = Pieces()
    configure(stream, json=True)
    with pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary(f"/{method}")(b"")  # type: ignore[arg-type]  # without codecs it takes bytes
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    eventually(lambda: stream.events)
    line = stream.getvalue()
    assert len(line) < 700
    assert not [secret for secret in ("da_0", "0000000000", "ada@", "ada%40", "example.com") if secret in line]
    assert stream.events[0]["method"][:3] in {"[ke", "x.y", "x/y", "x_[", "[e-", "xxx"}


def test_the_words_of_a_callers_line_are_redacted_in_no_time() -> None:
    for word in ("%4", "%40", "@", "da_", "a%4"):
        started = time.process_time()
        redaction.redact(word * 50_000)
        assert time.process_time() - started < 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
def test_a_full_disk_under_the_log_changes_no_answer(configure: Configure, client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    full = Path("/dev/full").open("w")  # noqa: SIM115  # closing it fails, too
    configure(full, json=True)
    assert list(client.unassign(tenant, "ada@example.com", ["A"]).unassigned_devices) == ["A"]
    with tenant.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE customer_revision RENAME TO customer_revision_gone"))
    assert failure(lambda: client.unassign(tenant, "ada@example.com", ["B"])).reason == "ERROR_REASON_INTERNAL"
    log.disable()
    with suppress(OSError):
        full.close()
