"""The JSON of every route is that in `golden/`.

After an intended change, run this with `RENEW_GOLDEN=1` in the environment to renew the files, and read the difference.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from service.rest_gateway.routes import ROUTES
from tests.rest_gateway.rest import EventStream, Rest

FOLDER = Path(__file__).parent / "golden"
ADA, BOB = "ada@example.com", "bob@example.com"
REQUEST_ID = "123e4567-e89b-12d3-a456-426614174000"

_TOKEN = re.compile(r"\b(cust|dev|op|org|key|rev)_[0-9a-z_]+")
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


class Recording:
    """Calls routes, and records the answers with stable names for ids and times."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._names: dict[str, str] = {}
        self.answers: dict[str, Any] = {}

    def post(self, name: str, path: str, /, **fields: Any) -> Any:
        """Posts, and keeps the answer under a name."""
        return self._keep(name, "POST", path, fields, self._rest(path, **fields))

    def get(self, name: str, path: str) -> Any:
        """Gets, likewise."""
        return self._keep(name, "GET", path, None, self._rest.get(path))

    def watch(self, name: str, count: int) -> None:
        """Reads events, likewise."""
        stream = EventStream(self._rest)
        events = [stream.next() for _ in range(count + 1)][1:]
        stream.close()
        found = [{"event": event.kind, "id": event.id, "data": event.data} for event in events if event]
        self._note(name, {"request": "GET /deviceAssignment/watchOperations", "events": found})

    def _keep(self, name: str, method: str, path: str, fields: Any, answer: Any) -> Any:
        request: dict[str, Any] = {"request": f"{method} {path}"}
        if fields is not None:
            request["body"] = fields
        self._note(name, {**request, "status": answer.status, "answer": answer.json})
        return answer.json

    def _note(self, name: str, answer: Any) -> None:
        self.answers[name] = self._stable(answer)

    def _stable(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {key: self._stable(item, key) for key, item in value.items()}
            case list():
                return [self._stable(item, name) for item in value]
            case str() if value and name in {"id", "resumeToken", "nextPageToken", "pageToken", "callId"}:
                found = _TOKEN.match(value)
                return self._name(value, found[1] if found else "callId" if name == "callId" else "token")
            case str() if _TIME.match(value):
                return "<time>"
            case str():
                return _TOKEN.sub(lambda found: self._name(found[0], found[1]), value)
        return value

    def _name(self, value: str, kind: str) -> str:
        if value not in self._names:
            count = sum(known.startswith(f"<{kind} ") for known in self._names.values())
            self._names[value] = f"<{kind} {count + 1}>"
        return self._names[value]


@pytest.fixture
def recorded(rest: Rest) -> Recording:
    """What happens to two customers and their devices."""
    recording = Recording(rest)
    assignments = "/deviceAssignment"
    recording.post("create_customer", "/customer/createOrUpdateCustomer", email=ADA, name="Ada", phone="+44 20")
    recording.post("query_customer", "/customer/queryCustomer", email=ADA)
    recording.post(
        "create_device", "/device", identifier="SN-0", type="lamp", properties={"colour": "red", "w": [1, 2.5]}
    )
    recording.post("get_device", "/device/getDevice", identifier="SN-0")
    made = recording.post(
        "assign_devices",
        f"{assignments}/assignDevicesToOwner",
        customerEmail=ADA,
        deviceIdentifiers=["SN-1", "SN-2", "SN-0"],
        autoCreateDevices=True,
        deviceType="lamp",
        note="order 1",
    )
    recording.post(
        "assign_device", f"{assignments}/assignDeviceToOwners", deviceIdentifier="SN-1", customerEmails=[ADA, BOB]
    )
    recording.get("get_customer", f"/customer/getCustomer/{made['customerId']}")
    recording.post("list_customers", "/customer/listCustomers")
    recording.post("list_devices", "/device/listDevices", pageSize=2)
    recording.post(
        "bulk_metadata", "/device/bulk-metadata", devices={" SN-2 ": {"a": None, "b": {"c": True}}, "SN-9": {}}
    )
    recording.post("lookup_owners", f"{assignments}/lookupOwners", deviceIdentifiers=["SN-1", "SN-9"])
    recording.post("list_assigned_devices", f"{assignments}/listAssignedDevices", customerEmail=ADA, pageSize=2)
    recording.post(
        "transfer_devices",
        f"{assignments}/transferDevices",
        fromCustomerEmail=ADA,
        toCustomerEmail=BOB,
        deviceIdentifiers=["SN-2", "SN-9"],
    )
    recording.post(
        "unassign_device", f"{assignments}/unassignDeviceFromOwner", customerEmail=BOB, deviceIdentifier="SN-1"
    )
    taken = recording.post(
        "unassign_devices",
        f"{assignments}/unassignDevicesFromOwner",
        customerEmail=ADA,
        deviceIdentifiers=["SN-1", "SN-2", "SN-9"],
        requestId=REQUEST_ID,
    )
    recording.post("unassign_all_devices", f"{assignments}/unassignAllDevices", customerEmail=BOB, expectedCount=1)
    recording.post("revert_operation", f"{assignments}/revertOperation", operationId=taken["operationId"])
    recording.post("get_operation", f"{assignments}/getOperation", operationId=taken["operationId"])
    recording.post("list_operations", f"{assignments}/listOperations", pageSize=2)
    recording.post("list_operation_changes", f"{assignments}/listOperationChanges", operationId=taken["operationId"])
    recording.watch("watch_operations", 3)
    recording.post("unknown_field", "/customer/queryCustomer", email=BOB.upper(), nmae="x")
    recording.post("unknown_customer", "/customer/queryCustomer", email="cat@example.com")
    recording.post(
        "violations", f"{assignments}/unassignDevicesFromOwner", customerEmail="ada", deviceIdentifiers=["A", " ", ""]
    )
    recording.post(
        "devices_skipped",
        f"{assignments}/unassignDevicesFromOwner",
        customerEmail=ADA,
        deviceIdentifiers=["SN-1", "SN-9"],
        requireAll=True,
    )
    recording.post("count_differs", f"{assignments}/unassignAllDevices", customerEmail=ADA, expectedCount=0)
    return recording


def test_the_json_of_every_route_is_the_golden_one(recorded: Recording) -> None:
    called = {answer["request"] for answer in recorded.answers.values()}
    for route in ROUTES:
        assert any(call.startswith(f"{route.http_method} {route.path.partition('{')[0]}") for call in called), route
    written = {
        name: json.dumps(answer, indent=2, ensure_ascii=False) + "\n" for name, answer in recorded.answers.items()
    }
    if os.environ.get("RENEW_GOLDEN"):
        for old in FOLDER.glob("*.json"):
            old.unlink()
        for name, text in written.items():
            (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
    known = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert written == known
