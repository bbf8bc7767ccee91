"""A grown database: a million assignments, of small customers, a big one and shared devices."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.storage.database import Database
from service.storage.numbers import number_in_session
from tests.conftest import Tenant, new_tenant


@dataclass(frozen=True)
class Size:
    """How much of everything there is.

    Attributes:
        whale: devices of the one customer who has a great many.
        ended: devices that this customer had and gave back, in so many operations.
        small: customers with ten devices each.
        shared: devices that belong to a hundred customers each.
        others: customers with ten devices each in each of ten other organisations.
        replies: request ids that are remembered.
        waiting: operations that have no place in the stream yet; the last of those that ended something.
    """

    whale: int
    ended: int
    small: int
    shared: int
    others: int
    replies: int
    waiting: int

    @property
    def assignments(self) -> int:
        """The number of all of them."""
        return self.whale + 10 * self.small + 100 * self.shared + 100 * self.others


MILLION = Size(whale=200_000, ended=20_000, small=60_000, shared=1_000, others=1_000, replies=200_000, waiting=2_500)
THOUSANDS = Size(whale=2_000, ended=200, small=100, shared=20, others=5, replies=100, waiting=20)

WHALE, WHALE_ID = "whale@example.com", "cust_w"


def small(number: int) -> str:
    """The address of a customer with ten devices, from 1."""
    return f"s{1_000_000 + number}@example.com"


def small_device(number: int) -> str:
    """The identifier of a small customer's device: the first has those from 0 to 9."""
    return f"S-{1_000_000 + number}"


def whale_device(number: int) -> str:
    """The identifier of one of the devices that the one customer has, from 1."""
    return f"W-{1_000_000 + number}"


def shared_device(number: int) -> str:
    """The identifier of a shared device, from 1."""
    return f"H-{1_000_000 + number}"


_CUSTOMER = (
    "INSERT INTO customer"
    " (organization_number, number, id, email, email_key, name, created_at, revision, changed_at, device_count) "
)
_DEVICE = "INSERT INTO device (organization_number, identifier, id, type, created_at) "
_ASSIGNMENT = "INSERT INTO assignment (organization_number, customer_number, device_identifier, assigned_revision) "
_PAST = (
    "INSERT INTO past_assignment"
    " (organization_number, customer_number, device_identifier, assigned_revision, unassigned_revision) "
)
_OPERATION = (
    "INSERT INTO operation"
    " (organization_number, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count, position) "
)
_REVISION = (
    "INSERT INTO customer_revision"
    " (organization_number, customer_number, revision, operation_id, occurred_at, device_count) "
)
# Numbers of customers, far from those that the database chooses.
_WHALE = 10_000_000
_SHARING = 10_001_000
_SMALL = 11_000_000


class _Fill:
    """Writes one organisation's rows in the words of the one database or the other."""

    def __init__(self, connection: Connection, organization_number: int) -> None:
        self._connection = connection
        self._postgresql = connection.dialect.name == "postgresql"
        self._who = organization_number

    def numbers(self, count: int, first: int = 1) -> str:
        if self._postgresql:
            return f"generate_series({first}, {count}) AS s (i)"
        counted = f"SELECT {first} UNION ALL SELECT i + 1 FROM s WHERE i < {count}"
        return f"(WITH RECURSIVE s (i) AS ({counted}) SELECT i FROM s)"

    def at(self, milliseconds: str) -> str:
        if self._postgresql:
            return f"(timestamptz '2026-01-01 00:00Z' + ({milliseconds}) * interval '1 millisecond')"
        return f"(1767225600000000 + ({milliseconds}) * 1000)"

    def rows(self, into: str, columns: str, source: str) -> None:
        self._connection.execute(text(f"{into} SELECT {self._who}, {columns} FROM {source}"))

    def small(self, count: int) -> None:
        """Customers with ten devices each, who came one by one."""
        each, ten, at = self.numbers(count), self.numbers(10 * count - 1, 0), self.at("10 + i")
        name = "'s' || (1000000 + i) || '@example.com'"
        self.rows(_CUSTOMER, f"{_SMALL} + i, 'cust_s' || (1000000 + i), {name}, {name}, 's', {at}, 1, {at}, 10", each)
        self.rows(_DEVICE, f"'S-' || (1000000 + i), 'dev_s' || i, 'lamp', {self.at('0')}", ten)
        self.rows(_ASSIGNMENT, f"{_SMALL} + 1 + i / 10, 'S-' || (1000000 + i), 1", ten)
        self.rows(_REVISION, f"{_SMALL} + i, 1, 'op_s' || (1000000 + i), {at}, 10", each)
        self.rows(_OPERATION, f"'op_s' || (1000000 + i), 'assign', {at}, 'key_usual', '', 10, 0, 10 + i", each)

    def whale(self, size: Size) -> None:
        """One customer with many devices, who came at once, and many ends since."""
        every, ended = self.numbers(size.whale), self.numbers(size.ended)
        first, last = self.at("1"), self.at(f"10 + {size.small} + {size.ended}")
        email = f"'{WHALE}', '{WHALE}'"
        revision = size.ended + 1
        self.rows(
            _CUSTOMER,
            f"{_WHALE}, '{WHALE_ID}', {email}, 'w', {first}, {revision}, {last}, {size.whale}",
            self.numbers(1),
        )
        self.rows(_DEVICE, f"'E-' || (1000000 + i), 'dev_e' || i, 'lamp', {first}", ended)
        self.rows(_DEVICE, f"'W-' || (1000000 + i), 'dev_w' || i, 'lamp', {first}", every)
        self.rows(_ASSIGNMENT, f"{_WHALE}, 'W-' || (1000000 + i), 1", every)
        self.rows(_PAST, f"{_WHALE}, 'E-' || (1000000 + i), 1, 1 + i", ended)
        total = size.whale + size.ended
        self.rows(_REVISION, f"{_WHALE}, 1, 'op_w', {first}, {total}", self.numbers(1))
        at = self.at(f"10 + {size.small} + i")
        self.rows(_REVISION, f"{_WHALE}, 1 + i, 'op_e' || (1000000 + i), {at}, {total} - i", ended)
        self.rows(_OPERATION, f"'op_w', 'import', {first}, NULL, '', {total}, 0, 1", self.numbers(1))
        placed = size.ended - size.waiting
        position = f"CASE WHEN i <= {placed} THEN 10 + {size.small} + i END"
        self.rows(_OPERATION, f"'op_e' || (1000000 + i), 'unassign', {at}, 'key_usual', '', 0, 1, {position}", ended)
        into = "INSERT INTO stream (organization_number, last_position)"
        self._connection.execute(text(f"{into} VALUES ({self._who}, {10 + size.small + placed})"))

    def shared(self, count: int) -> None:
        """Devices that a hundred customers have each, all since one import."""
        hundred, every, at = self.numbers(100), self.numbers(count), self.at("2")
        name = "'h' || (1000 + i) || '@example.com'"
        pairs = f"{hundred}, {every.replace('s (i)', 'd (j)').replace(' i ', ' j ')}"
        if not self._postgresql:
            pairs = f"{hundred} AS s, (SELECT i AS j FROM {every}) AS d"
        self.rows(
            _CUSTOMER, f"{_SHARING} + i, 'cust_h' || (1000 + i), {name}, {name}, 'h', {at}, 1, {at}, {count}", hundred
        )
        self.rows(_DEVICE, f"'H-' || (1000000 + i), 'dev_h' || i, 'lamp', {at}", every)
        self.rows(_ASSIGNMENT, f"{_SHARING} + i, 'H-' || (1000000 + j), 1", pairs)
        self.rows(_REVISION, f"{_SHARING} + i, 1, 'op_h', {at}, {count}", hundred)
        self.rows(_OPERATION, f"'op_h', 'import', {at}, NULL, '', {100 * count}, 0, 2", self.numbers(1))

    def replies(self, count: int) -> None:
        """Request ids, one a second and the oldest first, of which a tenth is old."""
        moment = (
            "clock_timestamp() - {seconds} * interval '1 second'"
            if self._postgresql
            else ("clock_timestamp() - {seconds} * 1000000")
        )
        blob = "'\\x00'" if self._postgresql else "x'00'"
        for name, seconds, many in (("old", "(400000 - i)", count // 10), ("new", "i", count - count // 10)):
            self.rows(
                "INSERT INTO reply (organization_number, request_id, fingerprint, answer, kept_at) ",
                f"'{name}' || i, {blob}, {blob}, {moment.format(seconds=seconds)}",
                self.numbers(many),
            )


def fill(database: Database, size: Size) -> Tenant:
    """Fills an empty database. Gives the big organisation."""
    tenant = new_tenant(database, "big")
    with database.session() as connection:
        if connection.dialect.name == "postgresql":
            # Foreign keys are not checked row by row: the rows are right, and it would take a minute.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text("SET LOCAL synchronous_commit = off"))
        big = _Fill(connection, number_in_session(connection, tenant.id))
        big.small(size.small)
        big.whale(size)
        big.shared(size.shared)
        big.replies(size.replies)
        for number in range(10):
            _Fill(connection, 1_000 + number).small(size.others)
    return tenant
