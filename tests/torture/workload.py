"""Makes up requests for one organisation: few customers and devices, so that calls contend."""

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tests.torture.rpcs import Command, request

STEADY = tuple(f"steady-{number}@example.com" for number in range(5))
"""Addresses whose customers keep them."""

PAIRS = tuple((f"moving-{number}@example.com", f"moved-{number}@example.com") for number in range(2))
"""Addresses between which customers are renamed to and fro."""

ADDRESSES = (*STEADY, *(address for pair in PAIRS for address in pair))

# How often each rpc is called, in relation to the others.
MIX = {
    "UnassignDevices": 14,
    "UnassignDevice": 8,
    "AssignDevices": 16,
    "AssignDevice": 8,
    "TransferDevices": 12,
    "UnassignAllDevices": 3,
    "RevertOperation": 5,
    "CreateOrUpdateCustomer": 8,
    "CreateOrUpdateDevice": 4,
    "ListAssignedDevices": 10,
    "LookupOwners": 12,
}
# The devices that are called for are so many, and the window moves on, so that unknown devices keep turning up.
_WINDOW = 20
_CALLS_FOR_EACH_NEW_DEVICE = 200


@dataclass
class Organization:
    """A tenant, and what its callers know from earlier answers. What they know may be out of date.

    Attributes:
        holders: the last known customer id of each address.
        counts: the last known number of devices of each address.
        revisions: the last known revision of each address.
        operations: recent operation ids.
    """

    name: str
    id: str
    key_id: str
    api_key: str
    mix: dict[str, int] = field(default_factory=lambda: dict(MIX))
    holders: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    operations: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def command(self, chance: random.Random, number: int) -> Command:
        """Makes up a request."""
        self.made += 1
        rpc = chance.choices(list(self.mix), list(self.mix.values()))[0]
        fields = _REQUESTS[rpc](self, chance)
        message: Any = request(rpc, **fields)
        if hasattr(message, "note"):
            message.note = f"command {number}"
        renames = rpc == "CreateOrUpdateCustomer"
        # A rename is always repeatable: its outcome would otherwise stay open to the end of the run.
        preview = getattr(message, "validate_only", False)  # it remembers no request id
        if hasattr(message, "request_id") and not preview and (renames or chance.random() < 0.6):
            message.request_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        # Some callers give up early, in the middle of the work.
        return Command(number, rpc, message, chance.uniform(0.003, 0.1) if chance.random() < 0.04 else 5.0)

    def devices(self, chance: random.Random, most: int = 6) -> list[str]:
        """Chooses devices, now and then one twice."""
        first = self.made // _CALLS_FOR_EACH_NEW_DEVICE
        return [f"SN-{first + chance.randrange(_WINDOW)}" for _ in range(chance.randint(1, most))]

    def _expected(self, chance: random.Random, email: str) -> str:
        return self.revisions.get(email, "") if chance.random() < 0.1 else ""

    def _unassign_devices(self, chance: random.Random) -> dict[str, Any]:
        email = chance.choice(ADDRESSES)
        return {
            "customer_email": email,
            "device_identifiers": self.devices(chance),
            "expected_revision": self._expected(chance, email),
            "require_all": chance.random() < 0.1,
            "validate_only": chance.random() < 0.1,
        }

    def _unassign_device(self, chance: random.Random) -> dict[str, Any]:
        return {"customer_email": chance.choice(ADDRESSES), "device_identifier": self.devices(chance, 1)[0]}

    def _assign_devices(self, chance: random.Random) -> dict[str, Any]:
        email = chance.choice(ADDRESSES)
        new = {"auto_create_devices": True, "device_type": "sensor"} if chance.random() < 0.5 else {}
        return {
            "customer_email": email,
            "device_identifiers": self.devices(chance),
            "expected_revision": self._expected(chance, email),
            "require_existing_customer": chance.random() < 0.6,
            **new,
        }

    def _assign_device(self, chance: random.Random) -> dict[str, Any]:
        new = {"auto_create_device": True, "device_type": "sensor"} if chance.random() < 0.5 else {}
        return {
            "device_identifier": self.devices(chance, 1)[0],
            "customer_emails": chance.choices(ADDRESSES, k=chance.randint(1, 3)),
            "require_existing_customer": chance.random() < 0.6,
            **new,
        }

    def _transfer_devices(self, chance: random.Random) -> dict[str, Any]:
        source, target = chance.sample(ADDRESSES, 2)
        return {
            "from_customer_email": source,
            "to_customer_email": target,
            "device_identifiers": self.devices(chance),
            "from_expected_revision": self._expected(chance, source),
            "require_existing_customer": chance.random() < 0.6,
            "require_all": chance.random() < 0.1,
        }

    def _unassign_all_devices(self, chance: random.Random) -> dict[str, Any]:
        email = chance.choice(ADDRESSES)
        return {"customer_email": email, "expected_count": self.counts.get(email, 0)}

    def _revert_operation(self, chance: random.Random) -> dict[str, Any]:
        with self.lock:
            known = list(self.operations)
        return {"operation_id": chance.choice(known) if known else "op_unknown"}

    def _create_or_update_customer(self, chance: random.Random) -> dict[str, Any]:
        pair = chance.choice(PAIRS)
        here, there = chance.sample(pair, 2)
        if here not in self.holders or chance.random() < 0.05:
            return {"email": here}
        if there in self.holders and chance.random() < 0.3:
            # Both addresses may be held: one of the two customers leaves the pair, or no rename would work any more.
            there = f"retired-{self.name}-{chance.getrandbits(40)}@example.com"
        return {"email": there, "telemetron_customer_id": self.holders[here]}

    def _create_or_update_device(self, chance: random.Random) -> dict[str, Any]:
        return {"identifier": self.devices(chance, 1)[0], "type": "sensor"}

    def _list_assigned_devices(self, chance: random.Random) -> dict[str, Any]:
        return {"customer_email": chance.choice(ADDRESSES), **_at(chance)}

    def _lookup_owners(self, chance: random.Random) -> dict[str, Any]:
        return {"device_identifiers": self.devices(chance), **_at(chance)}

    def learn(self, command: Command, answer: Any) -> None:
        """Notes what an answer says."""
        request_, rpc = command.request, command.rpc
        with self.lock:
            if operation_id := getattr(answer, "operation_id", ""):
                self.operations.append(operation_id)
            match rpc:
                case "UnassignDevices" | "UnassignDevice" if not request_.validate_only:
                    self._note(request_.customer_email, answer.revision, answer.remaining_count)
                case "AssignDevices":
                    self._note(request_.customer_email, answer.revision, answer.device_count, answer.customer_id)
                case "TransferDevices":
                    self._note(request_.from_customer_email, answer.from_revision, answer.from_device_count)
                    self._note(request_.to_customer_email, answer.to_revision, answer.to_device_count)
                case "ListAssignedDevices" if not request_.HasField("at"):
                    self._note(request_.customer_email, answer.revision, answer.total_count)
                case "CreateOrUpdateCustomer":
                    self._moved(answer.telemetron_customer_id, request_.email)

    def _note(self, email: str, revision: str, count: int, customer_id: str = "") -> None:
        self.revisions[email], self.counts[email] = revision, count
        if customer_id:
            self.holders[email] = customer_id

    def _moved(self, customer_id: str, email: str) -> None:
        for held in [address for address, holder in self.holders.items() if holder == customer_id]:
            del self.holders[held]
        if email in ADDRESSES:
            self.holders[email] = customer_id


def _at(chance: random.Random) -> dict[str, Any]:
    """Asks for a past moment, more than a second ago, now and then."""
    if chance.random() < 0.7:
        return {}
    at = Timestamp()
    at.FromNanoseconds(time.time_ns() - int(chance.uniform(1.5, 12.0) * 1e9) // 1000 * 1000)
    return {"at": at}


_REQUESTS: dict[str, Callable[[Organization, random.Random], dict[str, Any]]] = {
    "UnassignDevices": Organization._unassign_devices,
    "UnassignDevice": Organization._unassign_device,
    "AssignDevices": Organization._assign_devices,
    "AssignDevice": Organization._assign_device,
    "TransferDevices": Organization._transfer_devices,
    "UnassignAllDevices": Organization._unassign_all_devices,
    "RevertOperation": Organization._revert_operation,
    "CreateOrUpdateCustomer": Organization._create_or_update_customer,
    "CreateOrUpdateDevice": Organization._create_or_update_device,
    "ListAssignedDevices": Organization._list_assigned_devices,
    "LookupOwners": Organization._lookup_owners,
}
