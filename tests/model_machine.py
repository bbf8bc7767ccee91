"""Makes calls of the service and of the model, and compares every field of what the two answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import operation
from tests.conftest import Client, failure, new_tenant
from tests.model import Names, Operation, Organization, Refused
from tests.model_reads import DevicesToken, Token, moment, read
from tests.model_writes import has, write
from tests.storage.history import replayed

MAX_ANSWER_BYTES = 64 * 1024
# What an answer may stay below its limit by, for the fields beside its lists and one member of the largest size.
SLACK_BYTES = 4096 + 2048

# The fields whose values the service makes up.
NAMED = {
    "customer_id",
    "customer_ids",
    "device_id",
    "from_customer_id",
    "from_revision",
    "key_id",
    "next_page_token",
    "operation_id",
    "reverts_operation_id",
    "revision",
    "telemetron_customer_id",
    "to_customer_id",
    "to_revision",
}
# The list that a page is a part of.
LISTS = {
    pb.ListAssignedDevicesResponse: "devices",
    pb.ListOperationsResponse: "operations",
    pb.ListOperationChangesResponse: "changes",
}


class Machine(RuleBasedStateMachine):
    """Two organisations, each with its model.

    `asked` holds the writes with a request id and their answers, `tokens` the page tokens given out, each with the
    request that it goes on with, `moments` the moments that answers about now have shown.
    """

    def __init__(self, client: Client, database: Database) -> None:
        super().__init__()
        self.client = client
        self.database = database
        self.names = Names()
        self.model = [Organization(str(number), self.names) for number in (0, 1)]
        self.asked: list[tuple[int, Any, Any]] = []
        self.tokens: list[tuple[int, Any, Token]] = []
        self.moments: list[datetime] = []

    def begin(self) -> None:
        """Makes the organisations."""
        first = new_tenant(self.database, f"first {id(self)} {datetime.now(UTC)}")
        self.tenants = [first, new_tenant(self.database, f"second of {first.id}")]
        for tenant, model in zip(self.tenants, self.model, strict=True):
            self.names.agree(f"key {model.name}", tenant.key_id)

    def import_devices(self, who: int, email: str, devices: list[str]) -> None:
        """Runs the command `import`."""
        operation_id = self.tenants[who].assign(email, devices)
        made = self.model[who].imported(email, devices)
        self.names.agree(made.name if made else "", operation_id)
        self._learn_time(who, operation_id)

    def write(self, who: int, request: Any) -> Any:
        """Calls a write. Gives its answer, None if it was refused."""
        expected = write(self.model[who], request)
        got = self._call(who, request, expected)
        if got is None:
            return None
        expected = copied(expected)
        if has(expected, "devices_remaining"):
            self._cut_remaining(who, request, expected, got)
        raw = copied(got)
        self._same(expected, got)
        if has(raw, "operation_id"):
            self._learn_time(who, raw.operation_id)
        if request.request_id and not request.validate_only:
            self.asked.append((who, request, raw))
        return raw

    def read(self, who: int, request: Any, token: Token | None = None) -> None:
        """Calls a read."""
        outcome = read(self.model[who], request, token)
        got = self._call(who, request, outcome)
        if got is None:
            return
        expected, following = outcome
        if list_field := LISTS.get(type(expected)):
            listed, whole = len(getattr(got, list_field)), getattr(expected, list_field)
            if 0 < listed < len(whole):
                _assert_full(got, whole[listed].device_identifier)
                expected, following = read(self.model[who], request, token, listed)
        if has(got, "as_of"):
            following = self._check_moment(who, request, expected, got, following)
        if following:
            expected.next_page_token = str(following)
            self.tokens.append((who, _going_on(request, got.next_page_token), following))
        self._same(expected, got)

    def _check_moment(self, who: int, request: Any, expected: Any, got: Any, following: Token | None) -> Token | None:
        """Checks the moment that an answer says it shows, which the model cannot know. Completes the next token."""
        if expected.HasField("as_of"):
            return following
        shown = moment(got.as_of)
        at = moment(request.at) if request.HasField("at") else None
        if at is None or shown != at:
            # Now: all operations are shown, so all have happened by then, and those to come are later.
            assert at is None or shown < at
            assert all(made.time <= shown for made in self.model[who].operations)
            self.moments.append(shown)
        expected.as_of.CopyFrom(got.as_of)
        return replace(following, as_of=shown) if isinstance(following, DevicesToken) else following

    def operations(self) -> list[Operation]:
        """Lists the operations of both organisations."""
        return [made for model in self.model for made in model.operations]

    def moment(self, number: int, offset: int | None) -> Timestamp | None:
        """Returns a moment so many microseconds after some operation, which may be another organisation's."""
        made = self.operations()
        if offset is None or not made:
            return None
        written = Timestamp()
        written.FromDatetime(made[number % len(made)].time + timedelta(microseconds=offset))
        return written

    def shown_before(self, number: int) -> Timestamp | None:
        """Returns a moment that an answer about now has shown."""
        if not self.moments:
            return None
        written = Timestamp()
        written.FromDatetime(self.moments[number % len(self.moments)])
        return written

    def check_records(self) -> None:
        """Compares what the database has written down with the model."""
        for tenant, model in zip(self.tenants, self.model, strict=True):
            history = replayed(self.database, tenant.id)
            assert len(history.operations) == len(model.operations)
            for made in model.operations:
                row = history.operations[self.names.real(made.name)]
                assert (row.kind, row.note, row.occurred_at) == (made.kind, made.note, made.at)
                assert row.assigned_count == made.count(pb.CHANGE_ASSIGNED)
                assert row.unassigned_count == made.count(pb.CHANGE_UNASSIGNED)
                assert (row.key_id or "", row.reverts_operation_id or "") == (
                    self.names.real(made.key),
                    self.names.real(made.reverts),
                )
            assert history.replies == len(model.replies)
            ids = {row.email: row.id for row in history.customers.values()}
            assert ids.keys() == {customer.email for customer in model.customers.values()}
            for customer in model.customers.values():
                self.names.agree(customer.name, ids[customer.email])
                for number, made in enumerate(customer.made_by, 1):
                    token = history.made[self.names.real(made.name), ids[customer.email]]
                    self.names.agree(customer.revision(number), token)
                    assert history.revisions[token] == customer.history[number]

    def _call(self, who: int, request: Any, expected: Any) -> Any:
        name = type(request).__name__.removesuffix("Request")
        service = self.client.customers if name.endswith("Customer") else self.client.assignments
        method = getattr(service, name)
        metadata = self.tenants[who].metadata
        if isinstance(expected, Refused):
            failed = failure(lambda: method(request, metadata=metadata))
            assert (failed.code, failed.reason) == (expected.code, expected.reason), request
            told = {*failed.preconditions, *failed.metadata.items()} - {("call_id", failed.metadata["call_id"])}
            assert told == set(expected.details)
            return None
        try:
            return method(request, metadata=metadata)
        except grpc.RpcError as error:
            raise AssertionError(f"{request} ended with {error}, not with {expected}") from error

    def _cut_remaining(self, who: int, request: Any, expected: Any, got: Any) -> None:
        """Shortens the remaining list that is expected to what fits, if the answer is full."""
        listed = len(got.devices_remaining)
        if listed >= len(expected.devices_remaining):
            return
        _assert_full(got, expected.devices_remaining[listed])
        del expected.devices_remaining[listed:]
        if request.validate_only:
            return
        customer = self.model[who].customer(request.customer_email)
        number = [customer.revision(n) for n in range(len(customer.history))].index(expected.revision)
        token = DevicesToken(customer.name, number, got.devices_remaining[-1] if listed else "")
        expected.next_page_token = str(token)
        self.tokens.append((who, pb.ListAssignedDevicesRequest(page_token=got.next_page_token), token))

    def _same(self, expected: Any, got: Any) -> None:
        """Asserts that two messages agree in every field, and learns the names of what the service made up."""
        self._agree(expected, got)
        assert got == expected

    def _agree(self, expected: Any, got: Any) -> None:
        """Puts the model's names into the service's answer."""
        for field in got.DESCRIPTOR.fields:
            mine, theirs = getattr(expected, field.name), getattr(got, field.name)
            if field.name == "customer_ids":
                for name, real in zip(mine, theirs, strict=True):
                    self.names.agree(name, real)
                theirs[:] = mine
            elif field.name in NAMED:
                self.names.agree(mine, theirs)
                setattr(got, field.name, mine)
            elif isinstance(mine, Message):
                self._agree(mine, theirs)
            elif field.message_type is not None:
                for one, other in zip(mine, theirs, strict=True):
                    self._agree(one, other)

    def _learn_time(self, who: int, operation_id: str) -> None:
        made = {made.name: made for made in self.model[who].operations}.get(self.names.model(operation_id))
        if made is not None and made.at is None:
            with self.database.session(write=False) as connection:
                made.at = connection.execute(
                    select(operation.c.occurred_at).where(operation.c.id == operation_id)
                ).scalar_one()
            assert all(shown < made.time for shown in self.moments)


def copied(message: Any) -> Any:
    """Copies a message."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _going_on(request: Any, page_token: str) -> Any:
    """Returns the request for the next page. That of a customer's devices needs nothing but the token."""
    following = type(request)() if isinstance(request, pb.ListAssignedDevicesRequest) else copied(request)
    following.page_token = page_token
    return following


def _assert_full(got: Any, following: str) -> None:
    assert got.ByteSize() <= MAX_ANSWER_BYTES
    assert got.ByteSize() + len(following.encode()) + SLACK_BYTES > MAX_ANSWER_BYTES
