"""A small in-memory model of the service: what each rpc answers, with neither a database nor a wire.

The model speaks the service's messages, with names of its own where the service makes something up: `customer 0/1`,
`operation 7`, `revision 0/1/3`. `Names` holds which of them stands for which id or token.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb


@dataclass(frozen=True)
class Refused:
    """A call that ends with a status."""

    code: grpc.StatusCode
    reason: str


NOT_FOUND = Refused(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_CUSTOMER_NOT_FOUND")
MOVED = Refused(grpc.StatusCode.ABORTED, "ERROR_REASON_REVISION_MOVED")
SKIPPED = Refused(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_DEVICES_SKIPPED")
REUSED = Refused(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_REQUEST_ID_REUSED")
INVALID = Refused(grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELDS")


class Names:
    """Which of the model's names stands for which of the service's: one for one, and never another."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {"": ""}
        self._model: dict[str, str] = {"": ""}

    def agree(self, model: str, real: str) -> None:
        """Learns a pair, or checks it against what was learnt."""
        assert self._real.setdefault(model, real) == real
        assert self._model.setdefault(real, model) == model

    def real(self, model: str) -> str:
        """Gives what the service calls it; something strange if the service has not named it yet."""
        return self._real.get(model, f"unheard of: {model}")

    def model(self, real: str) -> str:
        """Gives what the model calls it."""
        return self._model.get(real, f"unheard of: {real}")


@dataclass
class Operation:
    """A change. `at` is when it happened, which only the service can tell."""

    name: str
    kind: str
    note: str
    assigned_count: int
    unassigned_count: int
    at: datetime | None = None


@dataclass
class Customer:
    """A customer: what they had at each revision (each device with the revision it came with), and what made it."""

    name: str
    history: list[dict[str, int]] = field(default_factory=lambda: [{}])
    made_by: list[Operation] = field(default_factory=list)

    @property
    def now(self) -> dict[str, int]:
        """What the customer has."""
        return self.history[-1]

    def revision(self, number: int = -1) -> str:
        """Names a revision."""
        return f"revision of {self.name}: {range(len(self.history))[number]}"

    def move(self, devices: dict[str, int], operation: Operation) -> None:
        """Begins the next revision."""
        self.history.append(devices)
        self.made_by.append(operation)

    def revision_at(self, at: datetime) -> int:
        """Tells which revision was the current one at a moment."""
        return sum(operation.at is not None and operation.at <= at for operation in self.made_by)


@dataclass(frozen=True)
class Token:
    """What a page token stands for."""

    customer: str
    revision: int
    after: str

    def __str__(self) -> str:
        return f"token {self.customer}: {self.revision} after {self.after}"


@dataclass
class Organization:
    """An organisation, and every rpc on its behalf."""

    name: str
    names: Names
    customers: dict[str, Customer] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    replies: dict[str, tuple[object, pb.UnassignDevicesResponse]] = field(default_factory=dict)

    def assign(self, email: str, identifiers: Iterable[str]) -> Operation | None:
        """Gives devices, as an import does. Gives the operation, if anything changed."""
        customer = self.customers.setdefault(email.lower(), Customer(f"{self.name}/{len(self.customers)}"))
        wanted = list(dict.fromkeys(identifiers))
        for identifier in wanted:
            self.devices.setdefault(identifier, f"device {self.name}/{len(self.devices)}")
        new = [identifier for identifier in wanted if identifier not in customer.now]
        if not new:
            return None
        operation = self._operation("import", "", assigned_count=len(new))
        customer.move({**customer.now, **dict.fromkeys(new, len(customer.history))}, operation)
        return operation

    def unassign(self, request: pb.UnassignDevicesRequest) -> pb.UnassignDevicesResponse | Refused:
        """Answers UnassignDevices with the full remaining list, however long."""
        wanted = list(dict.fromkeys(request.device_identifiers))
        view = request.remaining_view or pb.REMAINING_VIEW_FULL
        content = (
            request.customer_email.lower(),
            wanted,
            request.note,
            request.expected_revision,
            request.require_all,
            view,
        )
        request_id = "" if request.validate_only else request.request_id.lower()
        if request_id in self.replies:
            first, answer = self.replies[request_id]
            return answer if first == content else REUSED
        customer = self.customers.get(request.customer_email.lower())
        if customer is None:
            return NOT_FOUND
        if request.expected_revision and self.names.model(request.expected_revision) != customer.revision():
            return MOVED
        unassigned = [identifier for identifier in wanted if identifier in customer.now]
        skipped = [identifier for identifier in wanted if identifier not in customer.now]
        if skipped and request.require_all:
            return SKIPPED
        left = {identifier: since for identifier, since in customer.now.items() if identifier not in unassigned}
        operation = None
        if unassigned and not request.validate_only:
            operation = self._operation("unassign", request.note, unassigned_count=len(unassigned))
            customer.move(left, operation)
        answer = pb.UnassignDevicesResponse(
            success=True,
            message=f"Successfully unassigned {len(unassigned)} device(s) from customer",
            customer_id=f"customer {customer.name}",
            unassigned_devices=unassigned,
            skipped=skipped,
            devices_remaining=sorted(left) if view == pb.REMAINING_VIEW_FULL else [],
            skip_reasons=[
                pb.SKIP_REASON_NOT_ASSIGNED if identifier in self.devices else pb.SKIP_REASON_UNKNOWN_DEVICE
                for identifier in skipped
            ],
            devices_remaining_count=0 if view == pb.REMAINING_VIEW_NONE else len(left),
            operation_id=operation.name if operation else "",
            revision=customer.revision(),
        )
        if request_id:
            self.replies[request_id] = (content, answer)
        return answer

    def page(
        self, request: pb.ListAssignedDevicesRequest, token: Token | None = None
    ) -> tuple[pb.ListAssignedDevicesResponse, Token | None] | Refused:
        """Answers ListAssignedDevices, and tells what the next page's token stands for."""
        by_id = {f"customer {customer.name}": customer for customer in self.customers.values()}
        if request.customer_email:
            customer = self.customers.get(request.customer_email.lower())
        elif request.customer_id:
            customer = by_id.get(self.names.model(request.customer_id))
        else:
            customer = by_id.get(token.customer) if token else None
        if customer is None:
            return NOT_FOUND
        if token is not None and token.customer != f"customer {customer.name}":
            return INVALID
        revision = len(customer.history) - 1
        if token is not None:
            revision = token.revision
        elif request.HasField("at"):
            revision = customer.revision_at(request.at.ToDatetime(tzinfo=UTC))
        devices = customer.history[revision]
        rest = sorted(identifier for identifier in devices if token is None or identifier > token.after)
        listed = rest[: request.page_size or 1_000]
        answer = pb.ListAssignedDevicesResponse(total_count=len(devices), revision=customer.revision(revision))
        for identifier in listed:
            device = answer.devices.add(device_identifier=identifier, device_id=self.devices[identifier])
            at_assigned = customer.made_by[devices[identifier] - 1].at
            assert at_assigned is not None, "the test has to tell when an operation happened"
            device.assigned_at.FromDatetime(at_assigned)
        more = len(listed) < len(rest)
        return answer, Token(f"customer {customer.name}", revision, listed[-1]) if more else None

    def _operation(self, kind: str, note: str, *, assigned_count: int = 0, unassigned_count: int = 0) -> Operation:
        name = f"operation {self.name}/{len(self.operations)}"
        self.operations.append(Operation(name, kind, note, assigned_count, unassigned_count))
        return self.operations[-1]
