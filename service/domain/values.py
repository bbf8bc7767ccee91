"""What the use cases work with: customers, devices, assignments and operations, as one transaction sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple


class Change(IntEnum):
    """What happened to one assignment in an operation."""

    ASSIGNED = 1
    UNASSIGNED = 2


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the transaction sees it.

    Attributes:
        revision: counts the operations that changed the customer's assignments, from 0.
        device_count: how many devices the customer has.
    """

    id: str
    email: str
    revision: int
    device_count: int


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """All that is kept of a customer. `metadata` is JSON; `phone` and `address` are empty where there is none."""

    customer: Customer
    name: str
    phone: str
    address: str
    metadata: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """All that is kept of a device. `properties` is JSON."""

    identifier: str
    id: str
    type: str
    properties: str
    created_at: datetime


class AssignedDevice(NamedTuple):
    """A device of a customer, and since when."""

    identifier: str
    device_id: str
    assigned_at: datetime


class Owner(NamedTuple):
    """A device's owner since a moment, and how many owners the device has in all."""

    customer_id: str
    email: str
    assigned_at: datetime
    owner_count: int


class Ownership(NamedTuple):
    """Owners by device, for every device that exists, and the database's clock right after it took its look."""

    owners: dict[str, list[Owner]]
    now: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """A locked customer, as they were before; which of their assignments were ended; and the first of those left."""

    customer: Customer
    identifiers: list[str]
    left: list[str]


@dataclass(frozen=True, slots=True)
class RevisionState:
    """A customer's state after one operation: the revision it made, the number of devices it left, and its time.

    The time is None where it was not asked for, and where there was no operation yet.
    """

    revision: int
    device_count: int
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One committed change of assignments: who, why and what. When is told by the database, at the commit.

    Attributes:
        key_id: the API key that asked for it; None for `import`.
        deltas: by how much the number of devices of each customer changed. Names every customer whose assignments
            changed, and no other.
    """

    id: str
    kind: str
    key_id: str | None
    note: str
    deltas: Mapping[str, int]
    assigned_count: int = 0
    unassigned_count: int = 0
    reverts_operation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer that a request id got, and a fingerprint of what was asked."""

    fingerprint: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """An operation as it stands in the record.

    Attributes:
        customer_ids: the first of them, in order.
        position: its place in the stream of operations; 0 as long as no stream has read it.
    """

    id: str
    kind: str
    occurred_at: datetime
    key_id: str
    note: str
    customer_ids: list[str]
    assigned_count: int
    unassigned_count: int
    reverts_operation_id: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class OperationFilter:
    """Which operations: all conditions that are given hold together. `until` is exclusive."""

    customer_id: str | None = None
    device_identifier: str | None = None
    key_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssignmentChange:
    """What an operation did to one assignment."""

    customer_id: str
    device_identifier: str
    change: Change


@dataclass(frozen=True, slots=True)
class Revertible:
    """How many devices of an operation can go back to what they were, and how many cannot; the first of these."""

    count: int
    left_count: int
    left: list[tuple[str, bool]]
