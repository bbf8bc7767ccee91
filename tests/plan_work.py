"""The calls whose plans are looked at, and how many rows each may look at: in a grown database, about what it needs."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from service.app import Service
from tests.conftest import Tenant
from tests.fleet import WHALE, WHALE_ID, Size, shared_device, small, small_device, whale_device
from tests.grpc_server.api.client import Api, stamp

LONG_AGO = stamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=30))
LATELY = stamp(datetime(2026, 2, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Grown:
    """A server on a grown database, and a client of its big organisation."""

    size: Size
    service: Service
    api: Api
    tenant: Tenant

    def __call__(self, method: str, **fields: Any) -> Any:
        """Makes a call."""
        return self.api(self.tenant, method, **fields)


Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """Something that the service does.

    Attributes:
        name: what it is.
        rows: how many rows of tables that grow it may look at on PostgreSQL.
        prepare: does what has to be done before, and gives the work itself.
        gap: why it looks at more on PostgreSQL today; empty if it does not.
        walks: whether it reads an organisation's rows in their order, from one end, until the page is full.
    """

    name: str
    rows: int
    prepare: Callable[[Grown], Call] = field(repr=False)
    gap: str = ""
    walks: bool = False


def _call(method: str, **fields: Any) -> Callable[[Grown], Call]:
    return lambda grown: lambda: grown(method, **fields)


def _next_page(method: str, **fields: Any) -> Callable[[Grown], Call]:
    def prepare(grown: Grown) -> Call:
        token = grown(method, **fields).next_page_token
        assert token
        return lambda: grown(method, **fields, page_token=token)

    return prepare


def _page_after_ends(ends: int) -> Callable[[Grown], Call]:
    """The next page of a listing, behind which so many devices have left since it began."""

    def prepare(grown: Grown) -> Call:
        token = grown("ListAssignedDevices", customer_email=WHALE, page_size=10).next_page_token
        first = grown.size.whale // 4
        gone = [whale_device(first + number) for number in range(ends)]
        grown("UnassignDevices", customer_email=WHALE, device_identifiers=gone, remaining_view="REMAINING_VIEW_NONE")
        return lambda: grown("ListAssignedDevices", page_token=token, page_size=10)

    return prepare


def _replay(grown: Grown) -> Call:
    def unassign() -> object:
        return grown("UnassignDevices", customer_email=small(1), device_identifiers=_ten(1)[:5], request_id=request_id)

    request_id = str(uuid.uuid4())
    unassign()
    return unassign


def _revert(count: int, *, again: bool = False) -> Callable[[Grown], Call]:
    """Undoes the end of so many assignments of the big customer; `again` after it has been undone."""

    def prepare(grown: Grown) -> Call:
        first = grown.size.whale // 2
        gone = [whale_device(first + number) for number in range(count)]
        ended = grown(
            "UnassignDevices", customer_email=WHALE, device_identifiers=gone, remaining_view="REMAINING_VIEW_NONE"
        )
        if again:
            grown("RevertOperation", operation_id=ended.operation_id)
        return lambda: grown("RevertOperation", operation_id=ended.operation_id)

    return prepare


def _revert_assign(grown: Grown) -> Call:
    """Undoes that the big customer got a hundred devices more."""
    made = grown("AssignDevices", customer_email=WHALE, device_identifiers=[small_device(200 + n) for n in range(100)])
    return lambda: grown("RevertOperation", operation_id=made.operation_id)


def _revert_many(grown: Grown) -> Call:
    """Undoes that a small customer got ten thousand devices more."""
    many = [small_device(10 * grown.size.small // 2 + n) for n in range(10_000)]
    made = grown("AssignDevices", customer_email=small(90), device_identifiers=many)
    return lambda: grown("RevertOperation", operation_id=made.operation_id)


def _watch(**fields: Any) -> Callable[[Grown], Call]:
    def prepare(grown: Grown) -> Call:
        def read() -> None:
            stream = grown("WatchOperations", **fields)
            next(stream)
            stream.cancel()

        return read

    return prepare


def _wait(grown: Grown) -> Call:
    """Has waiting operations placed, and the stream asked for more a few times."""

    def wait() -> None:
        stream = grown("WatchOperations", from_now=True)
        stream.initial_metadata()
        time.sleep(1)
        stream.cancel()

    return wait


def _ten(number: int) -> list[str]:
    """The ten devices of a small customer, from 1."""
    return [small_device(10 * (number - 1) + each) for each in range(10)]


def _whale(first: int, count: int) -> list[str]:
    return [whale_device(first + each) for each in range(count)]


_NONE = {"remaining_view": "REMAINING_VIEW_NONE"}
_TEN = {"page_size": 10}
_NEW = [f"N-{number}" for number in range(10)]
_SHARED = [shared_device(1 + number) for number in range(1_000)]
_MANY = [small_device(1_000 + number) for number in range(1_000)]
_AGO = {**_TEN, "customer_email": WHALE, "at": LONG_AGO}

_ALL_SINCE = "assignments.py reads all that ended since the moment for a page"

WRITES = [
    Work("unassign ten", 40, _call("UnassignDevices", customer_email=small(2), device_identifiers=_ten(2))),
    Work(
        "unassign ten with a request id",
        45,
        _call("UnassignDevices", customer_email=small(3), device_identifiers=_ten(3), request_id=str(uuid.uuid4())),
    ),
    Work("repeat a request id", 5, _replay),
    Work(
        "unassign ten of a big customer",
        40,
        _call("UnassignDevices", customer_email=WHALE, device_identifiers=_whale(11, 10), **_NONE),
    ),
    Work(
        "unassign 10,000 of a big customer",
        20_000,
        _call("UnassignDevices", customer_email=WHALE, device_identifiers=_whale(10_001, 10_000), **_NONE),
    ),
    Work("unassign one", 20, _call("UnassignDevice", customer_email=small(4), device_identifier=_ten(4)[0])),
    Work("assign ten", 60, _call("AssignDevices", customer_email=small(5), device_identifiers=_ten(6))),
    Work(
        "assign ten new devices",
        80,
        _call(
            "AssignDevices",
            customer_email=small(5),
            device_identifiers=_NEW,
            auto_create_devices=True,
            device_type="lamp",
        ),
    ),
    Work(
        "assign one device to a hundred customers",
        800,
        _call("AssignDevice", device_identifier=_ten(7)[0], customer_emails=[small(n) for n in range(300, 400)]),
    ),
    Work(
        "transfer ten of a big customer",
        80,
        _call(
            "TransferDevices", from_customer_email=WHALE, to_customer_email=small(8), device_identifiers=_whale(31, 10)
        ),
    ),
    Work("unassign all", 40, _call("UnassignAllDevices", customer_email=small(9), expected_count=10)),
    Work(
        "save a customer", 10, _call("CreateOrUpdateCustomer", email=small(4), telemetron_customer_id="cust_s1000004")
    ),
    Work("save a device", 10, _call("CreateOrUpdateDevice", identifier=_ten(7)[0], type="lamp")),
    Work("save metadata", 10, _call("BulkUpdateDeviceMetadata", devices=[{"identifier": _ten(7)[0]}])),
    Work("revert ten", 250, _revert(10)),
    Work("revert a thousand", 20_000, _revert(1_000)),
    Work("revert ten thousand", 300_000, _revert(10_000)),
    Work("revert an assignment of ten thousand", 300_000, _revert_many),
    Work("revert what has been reverted", 40_000, _revert(1_000, again=True)),
    Work("revert an assignment to a big customer", 2_500, _revert_assign),
]

READS = [
    Work("look up one device", 10, _call("LookupOwners", device_identifiers=_whale(61, 1))),
    Work(
        "look up one device at a moment",
        15,
        _call("LookupOwners", device_identifiers=_whale(61, 1), at=LONG_AGO),
    ),
    Work("look up 1,000 devices", 5_000, _call("LookupOwners", device_identifiers=_MANY)),
    Work(
        "look up 1,000 devices at a moment",
        6_000,
        _call("LookupOwners", device_identifiers=_MANY, at=LONG_AGO),
    ),
    Work("look up 1,000 devices of 100 owners", 500_000, _call("LookupOwners", device_identifiers=_SHARED)),
    Work(
        "look up 1,000 devices of 100 owners at a moment",
        600_000,
        _call("LookupOwners", device_identifiers=_SHARED, at=LATELY),
    ),
    Work("list ten devices", 50, _call("ListAssignedDevices", customer_email=WHALE, **_TEN)),
    Work("list the next ten devices", 50, _next_page("ListAssignedDevices", customer_email=WHALE, **_TEN)),
    Work("list ten devices after a thousand left", 100, _page_after_ends(1_000), gap=_ALL_SINCE),
    Work("list ten devices at a moment", 100, _call("ListAssignedDevices", **_AGO), gap=_ALL_SINCE),
    Work("list operations", 250, _call("ListOperations", **_TEN), walks=True),
    Work("list the next operations", 250, _next_page("ListOperations", **_TEN)),
    Work("list operations until a moment", 250, _call("ListOperations", until=LONG_AGO, **_TEN)),
    Work("list operations since a moment", 250, _call("ListOperations", since=LONG_AGO, **_TEN)),
    Work(
        "list a small customer's operations",
        20,
        _call("ListOperations", customer_email=small(70), **_TEN),
    ),
    Work(
        "list a big customer's operations",
        250,
        _call("ListOperations", customer_email=WHALE, **_TEN),
    ),
    Work(
        "list a big customer's next operations",
        250,
        _next_page("ListOperations", customer_email=WHALE, **_TEN),
    ),
    Work(
        "list a device's operations",
        20,
        _call("ListOperations", device_identifier=_whale(70, 1)[0], **_TEN),
    ),
    Work(
        "list a big customer's operations of a device",
        50,
        _call("ListOperations", customer_email=WHALE, device_identifier=_whale(70, 1)[0], **_TEN),
    ),
    Work(
        "list a shared device's operations",
        600,
        _call("ListOperations", device_identifier=_SHARED[0], **_TEN),
    ),
    Work("list a busy key's operations", 250, _call("ListOperations", key_id="key_usual", **_TEN), walks=True),
    Work(
        "list an unknown key's operations",
        250,
        _call("ListOperations", key_id="key_none", **_TEN),
        gap="no index leads to a key's operations",
        walks=True,
    ),
    Work("get an operation", 250, _call("GetOperation", operation_id="op_h")),
    Work("list a small operation's changes", 30, _call("ListOperationChanges", operation_id="op_s1000060", **_TEN)),
    Work(
        "list a big operation's changes",
        250,
        _call("ListOperationChanges", operation_id="op_w", **_TEN),
    ),
    Work(
        "list a big operation's next changes",
        250,
        _next_page("ListOperationChanges", operation_id="op_w", **_TEN),
    ),
    Work("query a customer", 20, _call("QueryCustomer", email=small(60))),
    Work("get a big customer", 300_000, _call("GetCustomer", telemetron_customer_id=WHALE_ID)),
    # The first ten are those who share a thousand devices, and these are in the answer.
    Work("list ten customers", 15_000, _call("ListCustomers", **_TEN)),
    Work("list the next ten customers", 15_000, _next_page("ListCustomers", **_TEN)),
    Work("get a device", 5, _call("GetDevice", identifier=_ten(60)[0])),
    Work("list ten devices of all", 20, _call("ListDevices", **_TEN)),
    Work("list the next ten devices of all", 20, _next_page("ListDevices", **_TEN)),
]

STREAM_AND_UPKEEP = [
    Work("give places and ask for more", 10_000, _wait),
    Work("read the stream from its beginning", 2_000, _watch()),
    Work("read a customer's stream", 50, _watch(customer_email=small(71))),
    Work("note the use of keys", 0, lambda grown: grown.service._maintenance._write_used_keys),
    Work("forget request ids", 150_000, lambda grown: grown.service._maintenance._delete_replies),
]

ALL = [*WRITES, *READS, *STREAM_AND_UPKEEP]
