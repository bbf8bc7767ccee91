"""Arbitrary sequences of calls: the service and a small in-memory model agree in every field of every answer."""

# ruff: noqa: D102, FBT001, PLR0917  # a rule's name says what it does, and hypothesis passes what it draws

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import operation
from tests.conftest import Client, Serve, failure, new_tenant
from tests.model import Names, Organization, Refused, Token
from tests.storage.history import replayed

M = TypeVar("M", pb.UnassignDevicesResponse, pb.ListAssignedDevicesResponse)

SETTINGS = settings(
    max_examples=12,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # add Phase.shrink to have a failure made small, which can take minutes
    suppress_health_check=list(HealthCheck),
)
MAX_ANSWER_BYTES = 64 * 1024
# What an answer may stay below its limit by, for the fields beside its lists and one member of the largest size.
SLACK_BYTES = 4096 + 2048

EMAILS = ("ada@example.com", "bob@example.com", "eve@example.com")
SHORT = ("a", "B", "b 1", "b%", "é", "e\u0301", "\uffee", "\U0001f600", "NULL", "0", "00", '"q",\\')
# So large that 70 of them do not fit an answer.
LONG = tuple(f"{number:02}" + "\U0001f680" * 253 for number in range(70))

organizations = st.sampled_from((0, 1))
emails = st.sampled_from(EMAILS)
batches = st.lists(st.sampled_from((*SHORT, *LONG[:3])), min_size=1, max_size=5)
request_ids = st.one_of(st.uuids(version=4).map(str), st.uuids(version=4).map(str), st.just(""))
expectations = st.sampled_from(
    ("",) * 8 + ("right", "right", "stale", "another customer's", "another organisation's", "none")
)
options = st.fixed_dictionaries(
    {
        "validate_only": st.sampled_from((False, False, True)),
        "require_all": st.sampled_from((False, False, False, True)),
        "note": st.sampled_from(("", "returned", "zurück \U0001f4e6")),
        "remaining_view": st.sampled_from((0, 1, 2, 3)),
    }
)


class Calls(RuleBasedStateMachine):
    """Two organisations with the same e-mails and identifiers, and calls of both in any order."""

    def __init__(self, client: Client, database: Database) -> None:
        super().__init__()
        self.client = client
        self.database = database
        self.names = Names()
        self.model = [Organization(str(number), self.names) for number in (0, 1)]
        self.asked: list[tuple[int, pb.UnassignDevicesRequest, pb.UnassignDevicesResponse]] = []
        self.tokens: list[tuple[int, str, Token]] = []

    @initialize()
    def two_organizations(self) -> None:
        first = new_tenant(self.database, f"first {id(self)} {datetime.now(UTC)}")
        self.tenants = [first, new_tenant(self.database, f"second of {first.id}")]
        for who in (0, 1):
            for email in EMAILS[:2]:
                self.assign(who, email, list(SHORT), many=who == 0)

    @rule(who=organizations, email=st.sampled_from(EMAILS[:2]), batch=batches, request_id=request_ids)
    def unassign_simply(self, who: int, email: str, batch: list[str], request_id: str) -> None:
        self._unassign(
            who, pb.UnassignDevicesRequest(customer_email=email, device_identifiers=batch, request_id=request_id)
        )

    @rule(who=organizations, email=emails, batch=batches, many=st.sampled_from((False, False, False, True)))
    def assign(self, who: int, email: str, batch: list[str], many: bool) -> None:
        devices = [*batch, *LONG] if many else batch
        operation_id = self.tenants[who].assign(email, devices)
        made = self.model[who].assign(email, devices)
        self.names.agree(made.name if made else "", operation_id)
        self._learn_time(who, operation_id)

    @rule(who=organizations, email=emails, batch=batches, request_id=request_ids, expected=expectations, chosen=options)
    def unassign(
        self, who: int, email: str, batch: list[str], request_id: str, expected: str, chosen: dict[str, Any]
    ) -> None:
        request = pb.UnassignDevicesRequest(
            customer_email=email,
            device_identifiers=batch,
            request_id=request_id,
            expected_revision=self._revision(who, email, expected),
            **chosen,
        )
        self._unassign(who, request)

    @precondition(lambda self: self.asked)
    @rule(
        number=st.integers(0, 99), who=st.sampled_from((None, None, None, 0, 1)), preview=st.sampled_from((0, 0, 0, 1))
    )
    def repeat_in_other_words(self, number: int, who: int | None, preview: int) -> None:
        asked_by, request, answer = self.asked[number % len(self.asked)]
        again = pb.UnassignDevicesRequest()
        again.CopyFrom(request)
        again.customer_email = request.customer_email.title()
        again.request_id = request.request_id.upper()
        again.device_identifiers.append(request.device_identifiers[0])
        again.remaining_view = request.remaining_view or pb.REMAINING_VIEW_FULL
        again.validate_only = bool(preview)
        got = self._unassign(asked_by if who is None else who, again)
        if who in {None, asked_by} and not preview:
            assert got == answer

    @precondition(lambda self: self.asked)
    @rule(
        number=st.integers(0, 99), difference=st.sampled_from(("email", "devices", "note", "view", "all", "revision"))
    )
    def reuse_the_request_id(self, number: int, difference: str) -> None:
        who, request, _ = self.asked[number % len(self.asked)]
        other = pb.UnassignDevicesRequest()
        other.CopyFrom(request)
        match difference:
            case "email":
                other.customer_email = EMAILS[EMAILS.index(request.customer_email.lower()) - 1]
            case "devices":
                other.device_identifiers.append("one more")
            case "note":
                other.note += "!"
            case "view":
                other.remaining_view = 2 if request.remaining_view != 2 else 3  # type: ignore[assignment]  # the enum's numbers
            case "all":
                other.require_all = not request.require_all
            case "revision":
                other.expected_revision += "?"
        assert self._unassign(who, other) is None

    @rule(
        who=organizations,
        email=emails,
        by_id=st.booleans(),
        number=st.integers(0, 99),
        offset=st.sampled_from((None, None, -1, 0, 1, -(10**12), 10**12)),
        size=st.sampled_from((0, 1, 2, 5)),
    )
    def list_devices(self, who: int, email: str, by_id: bool, number: int, offset: int | None, size: int) -> None:
        request = pb.ListAssignedDevicesRequest(customer_email=email, page_size=size)
        # By the id of either organisation's customer: the other's must look like none at all.
        known = [customer for model in self.model for customer in model.customers.values()]
        if by_id and known:
            request.customer_email = ""
            request.customer_id = self.names.real(f"customer {known[number % len(known)].name}")
        times = [made.at for model in self.model for made in model.operations if made.at]
        if offset is not None and times:
            moment = Timestamp()
            moment.FromDatetime(times[number % len(times)] + timedelta(microseconds=offset))
            request.at.CopyFrom(moment)
        self._list(who, request, None)

    @precondition(lambda self: self.tokens)
    @rule(
        number=st.integers(0, 99),
        who=st.sampled_from((None, None, None, 0, 1)),
        email=st.sampled_from(("", "", *EMAILS)),
        size=st.sampled_from((0, 1, 3)),
    )
    def go_on_listing(self, number: int, who: int | None, email: str, size: int) -> None:
        given_to, text, token = self.tokens[number % len(self.tokens)]
        request = pb.ListAssignedDevicesRequest(customer_email=email, page_size=size, page_token=text)
        self._list(given_to if who is None else who, request, token)

    def teardown(self) -> None:
        for tenant, model in zip(self.tenants, self.model, strict=True):
            history = replayed(self.database, tenant.id)
            assert len(history.operations) == len(model.operations)
            for made in model.operations:
                row = history.operations[self.names.real(made.name)]
                assert (row.kind, row.note, row.occurred_at) == (made.kind, made.note, made.at)
                assert (row.assigned_count, row.unassigned_count) == (made.assigned_count, made.unassigned_count)
                assert row.key_id == (None if made.kind == "import" else tenant.key_id)
            assert history.replies == len(model.replies)
            assert len(history.customers) == len(model.customers)
            for customer in model.customers.values():
                for number, devices in enumerate(customer.history):
                    assert history.revisions.get(self.names.real(customer.revision(number)), devices) == devices

    def _revision(self, who: int, email: str, expected: str) -> str:
        customers = self.model[who].customers
        if expected in {"right", "stale"} and email in customers:
            return self.names.real(customers[email].revision(-1 if expected == "right" else 0))
        if expected.startswith("another"):
            others = customers if "customer" in expected else self.model[1 - who].customers
            return next((self.names.real(c.revision()) for key, c in others.items() if key != email), "rev_of_nobody")
        return "rev_1" if expected else ""

    def _unassign(self, who: int, request: pb.UnassignDevicesRequest) -> pb.UnassignDevicesResponse | None:
        expected = self.model[who].unassign(request)
        got = self._call(self.client.assignments.UnassignDevices, who, request, expected)
        if isinstance(expected, Refused) or got is None:
            return None
        expected = _copied(expected)
        customer = self.model[who].customers[request.customer_email.lower()]
        listed = len(got.devices_remaining)
        if listed < len(expected.devices_remaining):
            _assert_full(got, expected.devices_remaining[listed])
            del expected.devices_remaining[listed:]
            if not request.validate_only:
                number = [customer.revision(n) for n in range(len(customer.history))].index(expected.revision)
                last = got.devices_remaining[-1] if listed else ""
                token = Token(f"customer {customer.name}", number, last)
                expected.next_page_token = str(token)
                self.tokens.append((who, got.next_page_token, token))
        raw = _copied(got)
        for field in ("customer_id", "operation_id", "revision", "next_page_token"):
            self._same_name(expected, got, field)
        assert got == expected
        self._learn_time(who, raw.operation_id)
        if request.request_id and not request.validate_only:
            self.asked.append((who, request, raw))
        return raw

    def _list(self, who: int, request: pb.ListAssignedDevicesRequest, token: Token | None) -> None:
        outcome = self.model[who].page(request, token)
        refused = outcome if isinstance(outcome, Refused) else None
        got = self._call(self.client.assignments.ListAssignedDevices, who, request, refused)
        if isinstance(outcome, Refused) or got is None:
            return
        expected, following = outcome
        listed = len(got.devices)
        if 0 < listed < len(expected.devices):
            _assert_full(got, expected.devices[listed].device_identifier)
            del expected.devices[listed:]
            customer, _, number = expected.revision.removeprefix("revision of ").rpartition(": ")
            following = Token(f"customer {customer}", int(number), got.devices[-1].device_identifier)
        if following:
            expected.next_page_token = str(following)
            self.tokens.append((who, got.next_page_token, following))
        for field in ("revision", "next_page_token"):
            self._same_name(expected, got, field)
        for mine, theirs in zip(expected.devices, got.devices, strict=True):
            self._same_name(mine, theirs, "device_id")
        assert got == expected

    def _call(self, method: Callable[..., M], who: int, request: object, expected: object) -> M | None:
        metadata = self.tenants[who].metadata
        if isinstance(expected, Refused):
            failed = failure(lambda: method(request, metadata=metadata))
            assert Refused(failed.code, failed.reason) == expected
            return None
        try:
            return method(request, metadata=metadata)
        except grpc.RpcError as error:
            raise AssertionError(f"{request} ended with {error}, not with {expected}") from error

    def _same_name(self, expected: Any, got: Any, field: str) -> None:
        self.names.agree(getattr(expected, field), getattr(got, field))
        setattr(got, field, getattr(expected, field))

    def _learn_time(self, who: int, operation_id: str) -> None:
        made = {made.name: made for made in self.model[who].operations}.get(self.names.model(operation_id))
        if made is not None and made.at is None:
            with self.database.session(write=False) as connection:
                made.at = connection.execute(
                    select(operation.c.occurred_at).where(operation.c.id == operation_id)
                ).scalar_one()


def _copied(message: M) -> M:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _assert_full(got: pb.UnassignDevicesResponse | pb.ListAssignedDevicesResponse, following: str) -> None:
    assert got.ByteSize() <= MAX_ANSWER_BYTES
    assert got.ByteSize() + len(following.encode()) + SLACK_BYTES > MAX_ANSWER_BYTES


def test_any_sequence_of_calls_agrees_with_the_model_in_every_field(serve: Serve, database: Database) -> None:
    client = serve(max_answer_bytes=MAX_ANSWER_BYTES, threads=2)
    run_state_machine_as_test(partial(Calls, client, database), settings=SETTINGS)  # type: ignore[arg-type]  # any factory does
