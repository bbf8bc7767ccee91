"""`make check` fails for a known vulnerability, and goes on where the data cannot be had."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.audit import audit

pytestmark = pytest.mark.process

Answer = Callable[[str], tuple[int, dict[str, Any]]]
Service = Callable[[Answer], str]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Starts a service that speaks OSV's API, and gives its URL."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, found = answer(asked["package"]["name"])
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in started:
        with closing(server.socket):
            server.shutdown()


def vulnerable(name: str, fixed: str) -> dict[str, Any]:
    """What OSV says of a package with a vulnerability."""
    package = {"name": name, "ecosystem": "PyPI"}
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    return {"vulns": [{"id": "PYSEC-1", "summary": "bad", "affected": [{"package": package, "ranges": ranges}]}]}


def test_a_vulnerability_of_a_package_that_ships_fails_the_check(service: Service) -> None:
    asked = set()

    def answer(name: str) -> tuple[int, dict[str, Any]]:
        asked.add(name)
        return 200, vulnerable(name, "99.1") if name == "grpcio" else {}

    status, text = audit(service(answer))
    assert status == 1
    assert "grpcio" in text
    assert "PYSEC-1, fixed in 99.1" in text
    assert {"grpcio", "pytest", "hatchling"} <= asked


def test_without_a_vulnerability_the_check_says_how_many_packages_it_looked_at(service: Service) -> None:
    asked = set()

    def answer(name: str) -> tuple[int, dict[str, Any]]:
        asked.add(name)
        return 200, {}

    assert audit(service(answer)) == (0, f"audit: {len(asked)} packages looked at, 0 not known, 0 vulnerabilities")
    assert len(asked) > 50


def test_where_the_data_cannot_be_had_the_check_says_that_it_looked_at_nothing(service: Service) -> None:
    for url in (service(lambda _name: (503, {})), "http://127.0.0.1:1/"):
        status, text = audit(url)
        assert status == 0
        assert text.startswith("audit: looked at nothing: the OSV database could not be asked"), text
        assert "\n" not in text
