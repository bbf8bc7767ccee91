"""Builds records by hand, for the tests of the checker: what a sound run would have written, call by call."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from tests.torture.checker import History, Violation, check
from tests.torture.recorder import digest

ADA, BOB, CY = "steady-0@example.com", "steady-1@example.com", "moving-0@example.com"
CY_TOO = "moved-0@example.com"
NOON = 1_767_268_800_000_000
_SECOND = 1_000_000


class Record:
    """A service that does as it should, and writes down what a run writes down.

    Every call takes one tick of the clock, from `now` to `now + 1`, and the next begins two ticks later. A test makes
    calls, changes an entry, and looks at what the checker says.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [{"kind": "organization", "id": "org_1", "name": "org0"}]
        self.calls: dict[int, dict[str, Any]] = {}
        self.customers: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, dict[str, Any]] = {}
        self.current: dict[str, dict[str, int]] = {}
        self.now = 0
        self._numbers = count(1)
        self._ids = count(1)
        for email in (ADA, BOB, CY):
            self.create(email)
        for number in range(1, 6):
            self.device(f"D{number}")

    def call(
        self, rpc: str, request: dict[str, Any], answer: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        """Writes a call with its answer, or with the status that `more` names."""
        number = next(self._numbers)
        entry = {
            "kind": "call",
            "number": number,
            "rpc": rpc,
            "request": request,
            "start": self.now,
            "end": self.now + 1,
        }
        self.now += 2
        entry |= {"status": "OK", "answer": answer, "digest": digest(repr(answer).encode())} if answer else {}
        entry |= more
        self.entries.append(entry)
        self.calls[number] = entry
        return entry

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Returns the rows of a table, to be changed."""
        return [entry["row"] for entry in self.entries if entry["kind"] == "row" and entry["table"] == table]

    def row(self, table: str, **values: Any) -> dict[str, Any]:
        """Writes a row."""
        self.entries.append({"kind": "row", "table": table, "row": values})
        return values

    def create(self, email: str) -> str:
        """Creates a customer."""
        customer_id = f"cust_{next(self._ids)}"
        name = email.partition("@")[0]
        row = self.row("customer", id=customer_id, email=email, name=name, revision=0, changed_at=NOON, device_count=0)
        self.customers[customer_id], self.current[customer_id] = row, {}
        self.call("CreateOrUpdateCustomer", {"email": email}, {"telemetron_customer_id": customer_id})
        return customer_id

    def rename(self, customer_id: str, email: str) -> dict[str, Any]:
        """Returns a customer another address."""
        self.customers[customer_id]["email"] = email
        request = {"email": email, "telemetron_customer_id": customer_id}
        return self.call("CreateOrUpdateCustomer", request, {"telemetron_customer_id": customer_id})

    def device(self, identifier: str) -> dict[str, Any]:
        """Creates a device."""
        self.devices[identifier] = self.row("device", identifier=identifier, id=f"dev_{identifier}")
        answer = {"identifier": identifier, "device_id": f"dev_{identifier}"}
        return self.call("CreateOrUpdateDevice", {"identifier": identifier, "type": "t"}, answer)

    def holder(self, email: str) -> str:
        """Finds who has an address."""
        return next(customer_id for customer_id, row in self.customers.items() if row["email"] == email)

    def token(self, customer_id: str) -> str:
        """Names a customer's present revision."""
        return f"rev_{customer_id.removeprefix('cust_')}_{self.customers[customer_id]['revision']}"

    def operation(self, kind: str, number: int, changes: list[tuple[str, str, int]], reverts: str | None = None) -> str:
        """Writes an operation with what it changes: customer, device, and 1 for a beginning or 2 for an end."""
        operation_id, position = f"op_{next(self._ids)}", len(self.rows("operation")) + 1
        at = NOON + position * _SECOND
        began = sum(change == 1 for _, _, change in changes)
        row = {"id": operation_id, "kind": kind, "occurred_at": at, "note": f"command {number}", "position": position}
        row |= {"assigned_count": began, "unassigned_count": len(changes) - began, "reverts_operation_id": reverts}
        self.row("operation", **row)
        for customer_id in sorted({customer_id for customer_id, _, _ in changes}):
            customer, state = self.customers[customer_id], self.current[customer_id]
            customer["revision"] += 1
            for _, device, change in (each for each in changes if each[0] == customer_id):
                values = {"customer_id": customer_id, "revision": customer["revision"], "device_identifier": device}
                began_with = state.pop(device) if change == 2 else state.setdefault(device, customer["revision"])
                self.row("assignment_change", **values, change=change, assigned_revision=began_with)
            customer |= {"device_count": len(state), "changed_at": at}
            values = {"customer_id": customer_id, "revision": customer["revision"], "operation_id": operation_id}
            self.row("customer_revision", **values, occurred_at=at, device_count=len(state))
        told = {"operation_id": operation_id, "kind": f"OPERATION_KIND_{kind.upper()}", "note": row["note"]}
        told |= {"occurred_at": _text(at), "assigned_count": began, "unassigned_count": row["unassigned_count"]}
        told |= {"customer_ids": sorted({c for c, _, _ in changes}), "reverts_operation_id": reverts or ""}
        self.entries.append({"kind": "watched", "operation": told})
        return operation_id

    def assign(self, email: str, *devices: str, answered: bool = True) -> dict[str, Any]:
        """Assigns devices to a customer who does not have them."""
        customer_id = self.holder(email)
        entry = self.call("AssignDevices", {"customer_email": email, "device_identifiers": list(devices)})
        operation_id = self.operation("assign", entry["number"], [(customer_id, device, 1) for device in devices])
        answer = {
            "customer_id": customer_id,
            "assigned_devices": [{"identifier": device, "device_id": f"dev_{device}"} for device in devices],
            "device_count": len(self.current[customer_id]),
            "operation_id": operation_id,
            "revision": self.token(customer_id),
        }
        return _finish(entry, answer, answered=answered)

    def unassign(self, email: str, *devices: str, answered: bool = True) -> dict[str, Any]:
        """Ends assignments, all of which must be there."""
        customer_id = self.holder(email)
        entry = self.call("UnassignDevices", {"customer_email": email, "device_identifiers": list(devices)})
        operation_id = self.operation("unassign", entry["number"], [(customer_id, device, 2) for device in devices])
        answer = {
            "customer_id": customer_id,
            "unassigned_devices": list(devices),
            "devices_remaining": sorted(self.current[customer_id]),
            "remaining_count": len(self.current[customer_id]),
            "operation_id": operation_id,
            "revision": self.token(customer_id),
        }
        return _finish(entry, answer, answered=answered)

    def transfer(self, source: str, target: str, device: str) -> dict[str, Any]:
        """Moves a device."""
        one, other = self.holder(source), self.holder(target)
        request = {"from_customer_email": source, "to_customer_email": target, "device_identifiers": [device]}
        entry = self.call("TransferDevices", request)
        operation_id = self.operation("transfer", entry["number"], [(one, device, 2), (other, device, 1)])
        answer = {
            "transferred_devices": [device],
            "from_device_count": len(self.current[one]),
            "to_device_count": len(self.current[other]),
            "operation_id": operation_id,
            "from_revision": self.token(one),
            "to_revision": self.token(other),
        }
        return _finish(entry, answer, answered=True)

    def listed(self, email: str, **request: Any) -> dict[str, Any]:
        """Lists a customer's devices."""
        customer_id = self.holder(email)
        devices = sorted(self.current[customer_id])
        answer = {
            "devices": [{"device_identifier": device} for device in devices],
            "total_count": len(devices),
            "revision": self.token(customer_id),
        }
        return self.call("ListAssignedDevices", {"customer_email": email, **request}, answer)

    def lookup(self, device: str, **request: Any) -> dict[str, Any]:
        """Looks up the owners of a device."""
        owners = []
        for customer_id, state in self.current.items():
            for row in self.rows("customer_revision"):
                if (row["customer_id"], row["revision"]) == (customer_id, state.get(device)):
                    email, since = self.customers[customer_id]["email"], _text(row["occurred_at"])
                    owners.append({"customer_id": customer_id, "email": email, "assigned_at": since})
        owners.sort(key=lambda owner: owner["assigned_at"])
        result = {"device_identifier": device, "found": device in self.devices, "owners": owners}
        return self.call("LookupOwners", {"device_identifiers": [device], **request}, {"results": [result]})

    def repeat(self, entry: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Writes one more attempt at a call."""
        again = {**entry, "start": self.now, "end": self.now + 1, **more}
        self.now += 2
        self.entries.append(again)
        return again

    def check(self, *faults: dict[str, Any]) -> list[Violation]:
        """Runs the checker, on what is written and the current assignments."""
        current = [
            {"kind": "row", "table": "assignment", "row": {**_pair(customer_id, device), "assigned_revision": began}}
            for customer_id, state in self.current.items()
            for device, began in state.items()
        ]
        return check(History.of([*self.entries, *current], faults))

    def kinds(self, *faults: dict[str, Any]) -> set[str]:
        """Names the checks that found something."""
        return {violation.kind for violation in self.check(*faults)}


def _pair(customer_id: str, device: str) -> dict[str, Any]:
    return {"customer_id": customer_id, "device_identifier": device}


def _text(at: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")


def at(operation: int, seconds: float = 0.0) -> str:
    """Names the moment of an operation, counted from 1, or one so many seconds later."""
    return _text(NOON + operation * _SECOND + int(seconds * _SECOND))


def _finish(entry: dict[str, Any], answer: dict[str, Any], *, answered: bool) -> dict[str, Any]:
    if answered:
        entry |= {"status": "OK", "answer": answer, "digest": digest(repr(answer).encode())}
    else:
        entry |= {"status": "UNAVAILABLE"}
    return entry
