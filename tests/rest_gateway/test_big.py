"""The largest calls and answers."""

import json
from pathlib import Path

from tests.conftest import Tenant
from tests.rest_gateway.conftest import Launch
from tests.rest_gateway.rest import Gateway, Rest

ADA = "ada@example.com"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"


def kilobytes(gateway: Gateway, name: str) -> int:
    """Reads a line of a gateway's /proc/PID/status."""
    for line in Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def test_a_hundred_thousand_identifiers_take_less_than_three_times_their_size_in_memory(
    launch: Launch, server: int, tenant: Tenant
) -> None:
    tenant.assign(ADA, ["A", "ü-1"])
    gateway = launch(server)
    rest = Rest(gateway, tenant.api_key)
    assert rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"]).status == 200
    identifiers = ["A", "ü-1", *(f"SN-{number:027d}" for number in range(99_998))]
    body = json.dumps({"customerEmail": ADA, "deviceIdentifiers": identifiers}).encode()
    assert len(body) > 3_000_000
    Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5")  # resets the high-water mark
    before = kilobytes(gateway, "VmRSS")
    answer = rest.post(UNASSIGN, body)
    taken = kilobytes(gateway, "VmHWM") - before
    assert answer.json["unassignedDevices"] == ["ü-1"]
    assert answer.json["skipped"] == ["A", *identifiers[2:]]
    assert len(answer.json["skipReasons"]) == 99_999
    assert taken * 1024 < 3 * (len(body) + len(answer.body))


def test_identifiers_of_three_mebibytes_with_every_character_escaped_pass(rest: Rest) -> None:
    identifiers = [f"{number:06d}" + "é" * 122 for number in range(12_000)]
    body = json.dumps({"customerEmail": ADA, "deviceIdentifiers": identifiers}).encode()
    assert sum(len(each.encode()) for each in identifiers) > 2_900_000
    assert len(body) > 8_000_000
    assert rest.post(UNASSIGN, body).error["reason"] == "ERROR_REASON_CUSTOMER_NOT_FOUND"


def test_more_than_the_server_accepts_is_the_servers_error(rest: Rest) -> None:
    answer = rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=[str(number) for number in range(100_001)])
    assert (answer.status, answer.fields) == (400, ["deviceIdentifiers"])
