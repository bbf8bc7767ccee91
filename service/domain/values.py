"""Customers, devices, assignments and operations, as one transaction reads them."""

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
    """A customer.

    Attributes:
        revision: the number of operations that have changed the customer's assignments.
        device_count: how many devices the customer has.
    """

    id: str
    email: str
    revision: int
    device_count: int


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """A customer with all fields. `metadata` is JSON; `phone` and `address` are empty if they are not set."""

    customer: Customer
    name: str
    phone: str
    address: str
    metadata: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device with all fields. `properties` is JSON."""

    identifier: str
    id: str
    type: str
    properties: str
    created_at: datetime


class AssignedDevice(NamedTuple):
    """A device of a customer, and when its assignment began."""

    identifier: str
    device_id: str
    assigned_at: datetime


class Owner(NamedTuple):
    """An owner of a device, when the assignment began, and how many owners the device has in all."""

    customer_id: str
    email: str
    assigned_at: datetime
    owner_count: int


class Ownership(NamedTuple):
    """Owners by device, for every device that exists, and the time on the database's clock after they were read.

    `kept_since` is the time from which on the history is kept; None if all of it is, or if none was needed.
    """

    owners: dict[str, list[Owner]]
    now: datetime
    kept_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A locked customer, as it was before; the devices whose assignments ended; and the first of the remaining ones."""

    customer: Customer
    identifiers: list[str]
    remaining: list[str]


@dataclass(frozen=True, slots=True)
class RevisionState:
    """A customer's state after one operation: the revision it made, the number of devices it left, and its time.

    The time is None where it was not read, and where there was no operation yet.
    """

    revision: int
    device_count: int
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of assignments: who, why and what. The database sets the time, just before the commit.

    Attributes:
        key_id: the API key of the call; None for `import`.
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
    """The stored answer of a request id, and the fingerprint of the request."""

    fingerprint: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """A committed operation.

    Attributes:
        customer_ids: the first customers, in order.
        position: its position in the stream of operations; 0 until a stream has read it.
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
    """Selects the operations for which all conditions hold that are set. `until` is exclusive."""

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
    """How many devices of an operation can be reverted, how many cannot, and the first of the latter."""

    count: int
    not_reverted_count: int
    not_reverted: list[tuple[str, bool]]
