"""The address of the metrics: what it serves, and that no scraper keeps others or calls waiting."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client.openmetrics import parser
from prometheus_client.parser import text_string_to_metric_families as read_text

import service.app
import service.rest
from service.metrics import numbers
from service.metrics.listener import MetricsListener
from service.rest_gateway.sockets import listen
from tests.grpc_server.conftest import Log, eventually, logged
from tests.rest_gateway.rest import Http

__all__ = ["logged"]

assert service.app
assert service.rest

read_openmetrics: Any = parser.text_string_to_metric_families
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a listener in this process."""
    numbers.start()
    for metric in numbers.defined():
        labels = next(iter(metric._cells))
        if metric.kind is numbers.Kind.COUNTER:
            metric.add(1, *labels)
        elif metric.kind is numbers.Kind.HISTOGRAM:
            metric.observe(0.3, *labels)
        else:
            metric.set(1, *labels)
    numbers.write_each_second(lambda: None)
    listening = listen("127.0.0.1:0")
    listener = MetricsListener(listening)
    listener.start()
    yield listening[0].getsockname()[1]
    listener.stop()
    numbers.stop()
    for each in listening:
        each.close()


def scrape(port: int, accept: str = "") -> bytes:
    answer = Http(port).send("GET", "/metrics", headers={"accept": accept} if accept else {})
    assert answer.status == 200
    return answer.body


def test_it_serves_both_formats_of_prometheus(port: int) -> None:
    text = Http(port).send("GET", "/metrics")
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    openmetrics = Http(port).send("GET", "/metrics?x=y", headers={"Accept": OPENMETRICS})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    found = [{family.name for family in read_text(text.body.decode())}]
    found += [{family.name for family in read_openmetrics(openmetrics.body.decode())}]
    wanted = {f"device_assignment_{metric.name}" for metric in numbers.defined()} | {"device_assignment_build_info"}
    assert found == [wanted, wanted]


@pytest.mark.process
def test_promtool_finds_nothing_wrong(port: int) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    checked = subprocess.run([promtool, "check", "metrics"], input=scrape(port), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_names_follow_the_rules_of_prometheus() -> None:
    for metric in numbers.defined():
        assert metric.text.endswith(".")
        assert not metric.name.endswith("_total"), "the exposition adds it to counters"
        for wrong in ("_ms", "_milliseconds", "_kb", "_minutes", "_count", "_sum", "_bucket"):
            assert not metric.name.endswith(wrong)
        if metric.kind is numbers.Kind.HISTOGRAM:
            assert metric.name.endswith("_seconds")
        assert len(metric._cells) < 3_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 404 "),
        (b"\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /metrics HTTP/1.1\r\nAccept: \xff\xfe\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=9\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000, b""),
    ],
)
def test_whatever_is_sent_gets_a_short_answer_and_the_next_scrape_too(port: int, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        got = b""
        with suppress(OSError):  # what was not read resets the connection
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                got += piece
    assert got[: len(status)] == status
    if not status:
        assert got == b""
    assert b"# TYPE" in scrape(port)


def trickling(connection: socket.socket) -> None:
    connection.sendall(b"GET /metrics HTTP/1.1\r\n")


def not_reading(connection: socket.socket) -> None:
    connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")


def silent(_connection: socket.socket) -> None:
    """Sends nothing."""


@pytest.mark.parametrize("begin", [silent, trickling, not_reading])
def test_slow_scrapers_keep_no_other_waiting(port: int, begin: Callable[[socket.socket], None]) -> None:
    slow = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(30)]
    for connection in slow:
        with suppress(OSError):  # the oldest have been closed for newer ones
            begin(connection)
    began = time.monotonic()
    assert b"# TYPE" in scrape(port)
    assert time.monotonic() - began < 30
    assert sum(thread.name == "metrics-request" for thread in threading.enumerate()) <= 20
    for connection in slow:
        connection.close()


def test_a_flood_of_scrapes_is_served_at_a_bounded_rate(port: int) -> None:
    began, count, spent = time.monotonic(), 100, time.process_time()
    for _ in range(count):
        scrape(port)
    seconds = time.monotonic() - began
    assert count <= 16 + 50 * seconds + 1
    assert time.process_time() - spent < seconds


def test_a_listener_that_fails_is_one_line_in_the_log_and_no_traceback(logged: Log) -> None:
    numbers.start()
    listening = listen("127.0.0.1:0")
    listener = MetricsListener(listening)
    listening[0].close()
    listener.start()
    eventually(lambda: logged.events("metrics not served"))
    listener.stop()
    numbers.stop()
    assert "Traceback" not in logged.text
    assert len(logged.lines) == 1
