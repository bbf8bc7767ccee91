"""Arbitrary sequences of calls: the service and a small in-memory model agree in every field of every answer."""

# ruff: noqa: D102, FBT001, PLR0917  # a rule's name says what it does, and hypothesis passes what it draws

from functools import partial

from deviceassignment.v1 import device_assignment_pb2 as pb
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from service.storage.database import Database
from tests.conftest import Client, Serve
from tests.model_machine import MAX_ANSWER_BYTES, copied
from tests.model_reads import ChangesToken, DevicesToken, OperationsToken
from tests.model_values import (
    EMAILS,
    LONG,
    SHORT,
    batches,
    emails,
    identifiers,
    numbers,
    offsets,
    organizations,
    seldom,
    sizes,
    sometimes,
)
from tests.model_write_rules import Writes
from tests.model_writes import EMAIL_FIELDS, LIST_FIELDS, has

SETTINGS = settings(
    max_examples=12,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # add Phase.shrink to have a failure made small, which can take minutes
    suppress_health_check=list(HealthCheck),
)


class Calls(Writes):
    """Two organisations with the same e-mails and identifiers, and calls of both in any order."""

    @initialize()
    def two_organizations(self) -> None:
        self.begin()
        for who in (0, 1):
            for email in EMAILS[:2]:
                self.import_devices(who, email, [*SHORT, *LONG] if who == 0 else list(SHORT))

    @precondition(lambda self: self.asked)
    @rule(number=numbers, who=st.sampled_from((None, None, None, 0, 1)), preview=seldom)
    def repeat_in_other_words(self, number: int, who: int | None, preview: bool) -> None:
        asked_by, request, answer = self.asked[number % len(self.asked)]
        again = copied(request)
        for field in filter(partial(has, again), EMAIL_FIELDS):
            setattr(again, field, getattr(again, field).title())
        for field in filter(partial(has, again), LIST_FIELDS):
            getattr(again, field).append(getattr(again, field)[0])
        if has(again, "remaining_view"):
            again.remaining_view = request.remaining_view or pb.REMAINING_VIEW_FULL
        again.request_id = request.request_id.upper()
        again.validate_only = preview
        got = self.write(asked_by if who is None else who, again)
        if who in {None, asked_by} and not preview:
            assert got == answer

    @precondition(lambda self: self.asked)
    @rule(number=numbers, which=numbers, method=seldom)
    def reuse_the_request_id(self, number: int, which: int, method: bool) -> None:
        who, request, _ = self.asked[number % len(self.asked)]
        kept = {"request_id", "validate_only"}
        fields = [f.name for f in request.DESCRIPTOR.fields if f.name not in kept and f.message_type is None]
        field = fields[which % len(fields)]
        other = copied(request)
        if method:
            other = pb.UnassignDevicesRequest(
                customer_email=EMAILS[0], device_identifiers=["a"], request_id=request.request_id, note="another"
            )
        elif field in LIST_FIELDS:
            getattr(other, field).append("one.more@example.com")
        elif field in EMAIL_FIELDS:
            setattr(other, field, "one.more@example.com")
        elif field == "remaining_view":
            other.remaining_view = 2 if request.remaining_view != 2 else 3
        elif field == "device_identifier":
            other.device_identifier = "another"
        elif isinstance(getattr(other, field), str):
            setattr(other, field, getattr(other, field) + "?")
        else:
            setattr(other, field, 1 + getattr(other, field) if field == "expected_count" else not getattr(other, field))
        assert self.write(who, other) is None

    @rule(who=organizations, batch=batches, number=numbers, offset=offsets)
    def lookup_owners(self, who: int, batch: list[str], number: int, offset: int | None) -> None:
        self.read(who, pb.LookupOwnersRequest(device_identifiers=batch, at=self.moment(number, offset)))

    @rule(who=organizations, email=emails, by_id=seldom, number=numbers, offset=offsets, size=sizes)
    def list_devices(self, who: int, email: str, by_id: bool, number: int, offset: int | None, size: int) -> None:
        request = pb.ListAssignedDevicesRequest(customer_email=email, page_size=size, at=self.moment(number, offset))
        # By the id of either organisation's customer: the other's must look like none at all.
        known = [customer for model in self.model for customer in model.customers.values()]
        if by_id:
            request.customer_email = ""
            request.customer_id = self.names.real(known[number % len(known)].name)
        self.read(who, request)

    @rule(
        who=organizations,
        email=st.one_of(st.just(""), st.just(""), emails),
        device=st.one_of(st.just(""), st.just(""), identifiers),
        key=st.sampled_from((None, None, None, 0, 1)),
        number=numbers,
        since=offsets,
        until=offsets,
        size=sizes,
    )
    def list_operations(
        self,
        who: int,
        email: str,
        device: str,
        key: int | None,
        number: int,
        since: int | None,
        until: int | None,
        size: int,
    ) -> None:
        request = pb.ListOperationsRequest(
            customer_email=email,
            device_identifier=device,
            key_id="" if key is None else self.tenants[key].key_id,
            since=self.moment(number, since),
            until=self.moment(number // 7, until),
            page_size=size,
        )
        self.read(who, request)

    @rule(who=organizations, number=numbers, recent=sometimes, size=sizes)
    def list_changes(self, who: int, number: int, recent: bool, size: int) -> None:
        operation_id = self.operation_id(who, number, recent)
        self.read(who, pb.GetOperationRequest(operation_id=operation_id))
        self.read(who, pb.ListOperationChangesRequest(operation_id=operation_id, page_size=size))

    @precondition(lambda self: self.tokens)
    @rule(
        number=numbers,
        kind=st.sampled_from((DevicesToken, DevicesToken, OperationsToken, ChangesToken)),
        who=st.sampled_from((None, None, None, 0, 1)),
        email=st.sampled_from(("", "", *EMAILS)),
        size=st.sampled_from((0, 1, 3)),
    )
    def go_on_listing(self, number: int, kind: type, who: int | None, email: str, size: int) -> None:
        known = [each for each in self.tokens if isinstance(each[2], kind)] or self.tokens
        given_to, following, token = known[number % len(known)]
        same, others = copied(following), []
        match same, token:
            case pb.ListAssignedDevicesRequest(), DevicesToken():
                same.customer_email = email
                others += [copied(following), copied(following), copied(same)]
                others[0].at.FromDatetime(token.time)
                others[1].at.CopyFrom(self.moment(number, -1) or others[0].at)
                others[2].at.FromDatetime(token.time)
            case pb.ListOperationsRequest(), _:
                others.append(copied(same))
                others[0].key_id += "another"
            case pb.ListOperationChangesRequest(), _:
                others.append(copied(same))
                others[0].operation_id = self.operation_id(given_to, number, recent=False)
        for request in (same, *others):
            request.page_size = size
            self.read(given_to if who is None else who, request, token)

    @precondition(lambda self: self.moments)
    @rule(who=organizations, email=emails, batch=batches, number=numbers)
    def look_again_at_a_moment_that_was_shown(self, who: int, email: str, batch: list[str], number: int) -> None:
        at = self.shown_before(number)
        self.read(who, pb.LookupOwnersRequest(device_identifiers=batch, at=at))
        self.read(who, pb.ListAssignedDevicesRequest(customer_email=email, at=at))

    def teardown(self) -> None:
        self.check_records()


def test_any_sequence_of_calls_agrees_with_the_model_in_every_field(serve: Serve, database: Database) -> None:
    client: Client = serve(max_answer_bytes=MAX_ANSWER_BYTES, threads=2)
    run_state_machine_as_test(partial(Calls, client, database), settings=SETTINGS)  # type: ignore[arg-type]  # any factory does
