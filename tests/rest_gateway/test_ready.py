"""`/readyz`: whether a call through the gateway would be served, and what is missing."""

import threading
from pathlib import Path

from tests.conftest import Tenant
from tests.grpc_server.certificates import bundle, issued, read_tls
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch, Scripted, waiting
from tests.rest_gateway.rest import Gateway, Rest

QUERY = "/customer/queryCustomer"


def away(gateway: Gateway) -> str:
    """Requests `/readyz`. Returns what is missing; an empty text if the gateway is ready."""
    answer = gateway.send("GET", "/readyz")
    assert (answer.status, answer.json.get("status")) == (200, "ready") or answer.status == 503
    return str(answer.json.get("away", ""))


def test_an_expired_certificate_is_named_until_there_is_a_new_one(
    begin: Begin, launch: Launch, tenant: Tenant, tmp_path: Path
) -> None:
    made = {}
    for name, days in (("good", 2), ("expired", -1)):
        (tmp_path / name).mkdir()
        made[name] = issued(tmp_path / name, "DNS:localhost", days=days)
    authorities = bundle(tmp_path, made["good"][0], made["expired"][0])
    service, port = begin(tls=read_tls(*made["good"][1:]))
    gateway = launch(f"localhost:{port}", "--grpc-ca", str(authorities))
    rest = Rest(gateway, tenant.api_key)
    eventually(lambda: away(gateway) == "")
    assert rest(QUERY, email="a@example.com").status == 404
    service.stop()
    service, _ = begin(f"127.0.0.1:{port}", read_tls(*made["expired"][1:]))
    eventually(lambda: away(gateway) == "server_certificate")
    answer = gateway.send("GET", "/readyz")
    assert (
        answer.json["error"] == "The service is not ready: the server's certificate is refused: certificate has expired"
    )
    assert answer.headers["retry-after"] == "1"
    assert rest(QUERY, email="a@example.com").status == 503
    assert gateway.send("GET", "/healthz").status == 200
    assert any("CERTIFICATE_VERIFY_FAILED" in line.get("cause", "") for line in gateway.events)
    service.stop()
    begin(f"127.0.0.1:{port}", read_tls(*made["good"][1:]))
    eventually(lambda: away(gateway) == "")
    assert rest(QUERY, email="a@example.com").status == 404


def test_an_untrusted_certificate_is_named(begin: Begin, launch: Launch, tmp_path: Path) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    _, chain, key = issued(tmp_path / "own", "DNS:localhost")
    other, _, _ = issued(tmp_path / "other", "DNS:localhost")
    _, port = begin(tls=read_tls(chain, key))
    gateway = launch(f"localhost:{port}", "--grpc-ca", str(other))
    assert away(gateway) == "server_certificate"


def test_a_missing_database_and_a_missing_server_are_distinguished(begin: Begin, launch: Launch) -> None:
    service, port = begin()
    gateway = launch(port)
    eventually(lambda: away(gateway) == "")

    def without_a_database() -> str:
        # The server checks its database each second, and sets the status again.
        service._server.serving(reads=False, writes=False)
        return away(gateway)

    eventually(lambda: without_a_database() == "database")
    eventually(lambda: away(gateway) == "")
    service.stop()
    eventually(lambda: away(gateway) == "server")


def test_a_server_that_has_its_database_and_does_not_serve_is_not_taken_for_a_missing_database(
    begin: Begin, launch: Launch
) -> None:
    service, port = begin()
    gateway = launch(port)
    eventually(lambda: away(gateway) == "")

    def while_another_process_starts() -> str:
        service._server.serving(reads=False, writes=False, database=True)
        return away(gateway)

    eventually(lambda: while_another_process_starts() == "server")
    eventually(lambda: away(gateway) == "")


def test_probes_are_not_logged_but_what_is_away_is_once_and_that_it_is_back(begin: Begin, launch: Launch) -> None:
    service, port = begin()
    gateway = launch(port)
    eventually(lambda: away(gateway) == "")
    assert gateway.send("GET", "/healthz").status == 200
    service.stop()
    eventually(lambda: away(gateway) == "server")
    for _ in range(3):
        assert away(gateway) == "server"
    begin(f"127.0.0.1:{port}")
    eventually(lambda: away(gateway) == "")
    gateway.stop()
    assert gateway.requests() == []
    assert [(event["event"], event.get("away")) for event in gateway.events] == [
        ("serving REST", None),
        ("not ready", "server"),
        ("ready again", None),
        ("stopped REST", None),
    ]


def test_a_database_that_only_reads_is_ready(begin: Begin, launch: Launch) -> None:
    service, port = begin()
    service._server.serving(reads=True, writes=False)
    assert away(launch(port)) == ""


def test_a_server_that_does_not_answer_in_time_is_named(scripted: Scripted, launch: Launch) -> None:
    free = threading.Event()
    scripted.answer = waiting(free)
    missing = away(launch(scripted.port))
    free.set()
    assert missing == "server"
