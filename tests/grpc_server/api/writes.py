"""Every write of the API, as a request that changes something, and requests that differ from it in one field."""

from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Tenant
from tests.grpc_server.api.client import ADA, BOB, CAT, Api

OPERATION = object()
"""Stands for the id of an operation that the world has: the one that gave Ada the devices A and B."""
SECOND_OPERATION = object()


@dataclass(frozen=True)
class Write:
    """A write, and what else could have been asked in each of its fields.

    Attributes:
        fields: change something in the world that `world` makes.
        others: for each field another value, with which the request is another one.
        created: the fields of the answer that a preview cannot know, by their path.
        guard: the field of the expected revision, of Ada's assignments.
    """

    method: str
    fields: dict[str, Any]
    others: dict[str, Any]
    created: tuple[str, ...] = ()
    guard: str = ""
    records: bool = True
    name: str = field(default="")

    def __str__(self) -> str:
        """Names the case in the tests' ids."""
        return self.name or self.method


_CREATED_DEVICES = ("assigned_devices.device_id", "operation_id", "revision")
_NEW = "new@example.com"

WRITES = [
    Write(
        "UnassignDevices",
        {"customer_email": ADA, "device_identifiers": ["B", "X"]},
        {"customer_email": BOB, "device_identifiers": ["X", "B"], "require_all": True, "remaining_view": 2},
        ("operation_id", "revision"),
        "expected_revision",
    ),
    Write(
        "UnassignDevice",
        {"customer_email": ADA, "device_identifier": "B"},
        {"customer_email": BOB, "device_identifier": "A", "remaining_view": 2},
        ("operation_id", "revision"),
        "expected_revision",
    ),
    Write(
        "AssignDevices",
        {
            "customer_email": ADA,
            "device_identifiers": ["N", "C", "A"],
            "auto_create_devices": True,
            "device_type": "lamp",
        },
        {
            "customer_email": BOB,
            "device_identifiers": ["C", "N", "A"],
            "auto_create_devices": False,
            "device_type": "boiler",
            "require_existing_customer": True,
        },
        _CREATED_DEVICES,
        "expected_revision",
    ),
    Write(
        "AssignDevices",
        {"customer_email": _NEW, "device_identifiers": ["N", "C"], "auto_create_devices": True, "device_type": "lamp"},
        {},
        ("customer_id", *_CREATED_DEVICES),
        name="AssignDevices to a new customer",
    ),
    Write(
        "AssignDevice",
        {
            "device_identifier": "N",
            "customer_emails": [_NEW, ADA],
            "auto_create_device": True,
            "device_type": "lamp",
        },
        {
            "device_identifier": "M",
            "customer_emails": [ADA, _NEW],
            "auto_create_device": False,
            "device_type": "boiler",
            "require_existing_customer": True,
        },
        ("device_id", "assigned_customers.customer_id", "operation_id"),
    ),
    Write(
        "TransferDevices",
        {"from_customer_email": ADA, "to_customer_email": BOB, "device_identifiers": ["A", "C", "B"]},
        {
            "from_customer_email": CAT,
            "to_customer_email": CAT,
            "device_identifiers": ["B", "C", "A"],
            "require_existing_customer": True,
            "require_all": True,
        },
        ("operation_id", "from_revision", "to_revision"),
        "from_expected_revision",
    ),
    Write(
        "TransferDevices",
        {"from_customer_email": ADA, "to_customer_email": _NEW, "device_identifiers": ["A"]},
        {},
        ("to_customer_id", "operation_id", "from_revision", "to_revision"),
        name="TransferDevices to a new customer",
    ),
    Write(
        "UnassignAllDevices",
        {"customer_email": ADA, "expected_count": 3},
        {"customer_email": BOB, "expected_count": 2},
        ("operation_id", "revision"),
        "expected_revision",
    ),
    Write("RevertOperation", {"operation_id": OPERATION}, {"operation_id": SECOND_OPERATION}, ("operation_id",)),
    Write(
        "CreateOrUpdateCustomer",
        {"email": _NEW, "name": "New", "phone": "1", "address": "here", "metadata": {"a": 1}},
        {"email": CAT, "name": "", "phone": "2", "address": "there", "metadata": {"a": 2}},
        ("telemetron_customer_id",),
        records=False,
    ),
    Write(
        "CreateOrUpdateDevice",
        {"identifier": "N", "type": "lamp", "properties": {"a": 1}},
        {"identifier": "M", "type": "boiler", "properties": {"a": 2}},
        ("device_id",),
        records=False,
    ),
    Write(
        "BulkUpdateDeviceMetadata",
        {"devices": [{"identifier": "A", "metadata": {"a": 1}}, {"identifier": "X", "metadata": {}}]},
        {"devices": [{"identifier": "A", "metadata": {"a": 2}}, {"identifier": "X", "metadata": {}}]},
        records=False,
    ),
]


class World:
    """Ada has A, B and S, Bob C and S; two operations can be undone."""

    def __init__(self, api: Api, tenant: Tenant) -> None:
        self.revision = api.assign(tenant, ADA, ["S"]).revision
        api.assign(tenant, BOB, ["C", "S"])
        gave = api.assign(tenant, ADA, ["A", "B"])
        self.revision = gave.revision
        self.old_revision = api.assign(tenant, CAT, ["Z"]).revision
        second = api.unassign(tenant, CAT, ["Z"])
        self._ids = {OPERATION: gave.operation_id, SECOND_OPERATION: second.operation_id}

    def fields(self, write: Write, **others: Any) -> dict[str, Any]:
        """Gives the fields of a write, with ids for what stands for them."""
        fields = {**write.fields, **others}
        return {
            name: self._ids[value] if value in (OPERATION, SECOND_OPERATION) else value
            for name, value in fields.items()
        }
