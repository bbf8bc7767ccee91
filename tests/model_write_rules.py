"""Arbitrary writes, with every option, to be compared with the model."""

# ruff: noqa: D102, FBT001, PLR0917  # a rule's name says what it does, and hypothesis passes what it draws

from typing import Any

from deviceassignment.v1 import customer_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model_machine import Machine
from tests.model_values import (
    LONG,
    batches,
    emails,
    expectations,
    identifiers,
    numbers,
    options,
    organizations,
    seldom,
    sometimes,
    types,
    views,
)


class Writes(Machine):
    """A rule for each rpc that changes assignments or addresses, and one for the command `import`."""

    @rule(who=organizations, email=emails, batch=batches, many=seldom)
    def import_some(self, who: int, email: str, batch: list[str], many: bool) -> None:
        self.import_devices(who, email, [*batch, *LONG] if many else batch)

    @rule(
        who=organizations,
        email=emails,
        batch=batches,
        expected=expectations,
        view=views,
        require_all=seldom,
        chosen=options,
    )
    def unassign_devices(
        self,
        who: int,
        email: str,
        batch: list[str],
        expected: str,
        view: Any,
        require_all: bool,
        chosen: dict[str, Any],
    ) -> None:
        request = pb.UnassignDevicesRequest(
            customer_email=email,
            device_identifiers=batch,
            expected_revision=self.revision(who, email, expected),
            remaining_view=view,
            require_all=require_all,
            **chosen,
        )
        self.write(who, request)

    @rule(who=organizations, email=emails, device=identifiers, expected=expectations, view=views, chosen=options)
    def unassign_device(
        self, who: int, email: str, device: str, expected: str, view: Any, chosen: dict[str, Any]
    ) -> None:
        request = pb.UnassignDeviceRequest(
            customer_email=email,
            device_identifier=device,
            expected_revision=self.revision(who, email, expected),
            remaining_view=view,
            **chosen,
        )
        self.write(who, request)

    @rule(
        who=organizations,
        email=emails,
        batch=batches,
        expected=expectations,
        create=sometimes,
        device_type=types,
        must_exist=seldom,
        chosen=options,
    )
    def assign_devices(
        self,
        who: int,
        email: str,
        batch: list[str],
        expected: str,
        create: bool,
        device_type: str,
        must_exist: bool,
        chosen: dict[str, Any],
    ) -> None:
        request = pb.AssignDevicesRequest(
            customer_email=email,
            device_identifiers=batch,
            expected_revision=self.revision(who, email, expected),
            auto_create_devices=create,
            device_type=device_type,
            require_existing_customer=must_exist,
            **chosen,
        )
        self.write(who, request)

    @rule(
        who=organizations,
        to=st.lists(emails, min_size=1, max_size=4),
        device=identifiers,
        create=sometimes,
        device_type=types,
        must_exist=seldom,
        chosen=options,
    )
    def assign_device(
        self,
        who: int,
        to: list[str],
        device: str,
        create: bool,
        device_type: str,
        must_exist: bool,
        chosen: dict[str, Any],
    ) -> None:
        request = pb.AssignDeviceRequest(
            device_identifier=device,
            customer_emails=to,
            auto_create_device=create,
            device_type=device_type,
            require_existing_customer=must_exist,
            **chosen,
        )
        self.write(who, request)

    @rule(
        who=organizations,
        giver=emails,
        taker=emails,
        batch=batches,
        expected=expectations,
        require_all=seldom,
        must_exist=seldom,
        chosen=options,
    )
    def transfer_devices(
        self,
        who: int,
        giver: str,
        taker: str,
        batch: list[str],
        expected: str,
        require_all: bool,
        must_exist: bool,
        chosen: dict[str, Any],
    ) -> None:
        request = pb.TransferDevicesRequest(
            from_customer_email=giver,
            to_customer_email=taker,
            device_identifiers=batch,
            from_expected_revision=self.revision(who, giver, expected),
            require_all=require_all,
            require_existing_customer=must_exist,
            **chosen,
        )
        self.write(who, request)

    @rule(
        who=organizations,
        email=emails,
        off=st.sampled_from((0, 0, 0, 0, 1, -1, None)),
        expected=expectations,
        chosen=options,
    )
    def unassign_all(self, who: int, email: str, off: int | None, expected: str, chosen: dict[str, Any]) -> None:
        customer = self.model[who].find(email)
        count = len(customer.now) if customer else 0
        request = pb.UnassignAllDevicesRequest(
            customer_email=email,
            expected_count=None if off is None else count + off,
            expected_revision=self.revision(who, email, expected),
            **chosen,
        )
        self.write(who, request)

    @rule(who=organizations, number=numbers, recent=sometimes, chosen=options)
    def revert(self, who: int, number: int, recent: bool, chosen: dict[str, Any]) -> None:
        self.write(who, pb.RevertOperationRequest(operation_id=self.operation_id(who, number, recent), **chosen))

    @rule(
        who=organizations,
        email=emails,
        number=numbers,
        whose=st.sampled_from(("theirs", "theirs", "another organisation's", "new")),
        chosen=options,
    )
    def save_customer(self, who: int, email: str, number: int, whose: str, chosen: dict[str, Any]) -> None:
        customers = list(self.model[1 - who if whose.startswith("another") else who].customers.values())
        customer_id = "" if whose == "new" else self.names.real(customers[number % len(customers)].name)
        request = customer_pb2.CreateOrUpdateCustomerRequest(
            email=email,
            telemetron_customer_id=customer_id,
            request_id=chosen["request_id"],
            validate_only=chosen["validate_only"],
        )
        self.write(who, request)

    def operation_id(self, who: int, number: int, recent: bool) -> str:
        """Returns the id of one of the organisation's last three operations, or of any, or now and then of none."""
        made = self.model[who].operations[-3:] if recent else self.operations()
        return self.names.real(made[number % len(made)].name) if number % 50 else "op_of_nobody"

    def revision(self, who: int, email: str, expected: str) -> str:
        """Returns a revision to expect of a customer."""
        customers = self.model[who].customers
        if expected in {"right", "stale"} and (customer := self.model[who].find(email)):
            return self.names.real(customer.revision(-1 if expected == "right" else 0))
        if expected.startswith("another"):
            others = customers if "customer" in expected else self.model[1 - who].customers
            return next(
                (self.names.real(c.revision()) for key, c in others.items() if key != email.lower()), "rev_of_nobody"
            )
        return "rev_1" if expected else ""
