"""A small in-memory model of the service, with neither a database nor a wire: what it keeps, and how that changes.

`model_writes` and `model_reads` answer the rpcs from it. The model speaks the service's messages, with names of its own
where the service makes something up: `customer 0/1`, `operation 0/7`, `revision of 0/1: 3`. `Names` holds which of them
stands for which id or token.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb


@dataclass(frozen=True)
class Refused:
    """A call that ends with a status. `details`, if any, are violations or the error's metadata."""

    code: grpc.StatusCode
    reason: str
    details: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """Ends an answer of the model's. Raised before anything is changed."""

    def __init__(self, refused: Refused) -> None:
        self.refused = refused
        super().__init__(str(refused))


CUSTOMER_NOT_FOUND = Refused(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_CUSTOMER_NOT_FOUND")
DEVICE_NOT_FOUND = Refused(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_DEVICE_NOT_FOUND")
OPERATION_NOT_FOUND = Refused(grpc.StatusCode.NOT_FOUND, "ERROR_REASON_OPERATION_NOT_FOUND")
MOVED = Refused(grpc.StatusCode.ABORTED, "ERROR_REASON_REVISION_MOVED")
NOT_ASSIGNED = Refused(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_DEVICE_NOT_ASSIGNED")
EMAIL_TAKEN = Refused(grpc.StatusCode.ALREADY_EXISTS, "ERROR_REASON_EMAIL_TAKEN")
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
        """Returns what the service calls it; something strange if the service has not named it yet."""
        return self._real.get(model, f"unheard of: {model}")

    def model(self, real: str) -> str:
        """Returns what the model calls it."""
        return self._model.get(real, f"unheard of: {real}")


@dataclass(frozen=True)
class Step:
    """What an operation did to one assignment."""

    customer: "Customer"
    device: str
    change: pb.Change.ValueType


@dataclass(eq=False)
class Operation:
    """A change. `at` is when it happened, which only the service can tell."""

    name: str
    kind: str
    key: str
    note: str
    steps: list[Step]
    reverts: str = ""
    at: datetime | None = None

    def count(self, change: pb.Change.ValueType) -> int:
        """Counts the assignments that began, or that ended."""
        return sum(step.change == change for step in self.steps)

    @property
    def time(self) -> datetime:
        """When it happened, known by now."""
        assert self.at is not None, "the test has to tell when an operation happened"
        return self.at


@dataclass(eq=False)
class Customer:
    """A customer: what they had at each revision (each device with the revision it came with), and what made it."""

    number: str
    email: str
    history: list[dict[str, int]] = field(default_factory=lambda: [{}])
    made_by: list[Operation] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What stands for the customer's id."""
        return f"customer {self.number}"

    @property
    def now(self) -> dict[str, int]:
        """What the customer has."""
        return self.history[-1]

    def revision(self, number: int = -1) -> str:
        """Names a revision."""
        return f"revision of {self.number}: {range(len(self.history))[number]}"

    def revision_at(self, at: datetime) -> int:
        """Returns which revision was the current one at a moment."""
        return sum(operation.time <= at for operation in self.made_by)

    def since(self, device: str, revision: int = -1) -> datetime:
        """Returns when the assignment began that the customer had at a revision."""
        return self.made_by[self.history[revision][device] - 1].time

    def move(self, operation: Operation) -> None:
        """Begins the next revision."""
        devices = dict(self.now)
        for step in operation.steps:
            if step.customer is self and step.change == pb.CHANGE_ASSIGNED:
                assert step.device not in devices
                devices[step.device] = len(self.history)
            elif step.customer is self:
                del devices[step.device]
        self.history.append(devices)
        self.made_by.append(operation)


@dataclass
class Organization:
    """An organisation. `replies` are the request ids, each with what it stands for and the first answer."""

    name: str
    names: Names
    customers: dict[str, Customer] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    replies: dict[str, tuple[object, Any]] = field(default_factory=dict)

    def find(self, email: str) -> Customer | None:
        """Finds a customer by address."""
        return self.customers.get(email.lower())

    def customer(self, email: str) -> Customer:
        """Returns a customer who must exist."""
        found = self.find(email)
        if found is None:
            raise Refusal(CUSTOMER_NOT_FOUND)
        return found

    def customer_of_id(self, real_id: str) -> Customer:
        """Returns a customer who must exist, by the id that the service gave them."""
        name = self.names.model(real_id)
        for customer in self.customers.values():
            if customer.name == name:
                return customer
        raise Refusal(CUSTOMER_NOT_FOUND)

    def operation(self, real_id: str) -> Operation:
        """Returns an operation, by the id that the service gave it."""
        name = self.names.model(real_id)
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise Refusal(OPERATION_NOT_FOUND)

    def guard(self, customer: Customer | None, expected_revision: str) -> None:
        """Refuses a call that expects another revision."""
        if expected_revision and (customer is None or self.names.model(expected_revision) != customer.revision()):
            raise Refusal(MOVED)

    def add_customer(self, email: str) -> Customer:
        """Returns a customer, added if they are new; they keep the address as it was first given."""
        return self.customers.setdefault(email.lower(), Customer(f"{self.name}/{len(self.customers)}", email))

    def rename(self, customer: Customer, email: str) -> None:
        """Returns a customer another address; one that is the same is kept as it was first given."""
        if email.lower() != customer.email.lower():
            del self.customers[customer.email.lower()]
            customer.email = email
            self.customers[email.lower()] = customer

    def add_devices(self, identifiers: Iterable[str]) -> None:
        """Adds the devices that are new."""
        for identifier in identifiers:
            self.devices.setdefault(identifier, f"device {self.name}/{len(self.devices)}")

    def commit(
        self,
        kind: str,
        note: str,
        *,
        begins: Iterable[tuple[Customer, str]] = (),
        ends: Iterable[tuple[Customer, str]] = (),
        reverts: str = "",
    ) -> Operation | None:
        """Makes an operation of what begins and what ends. What changes nothing is none."""
        steps = [Step(customer, device, pb.CHANGE_ASSIGNED) for customer, device in begins]
        steps += [Step(customer, device, pb.CHANGE_UNASSIGNED) for customer, device in ends]
        if not steps:
            return None
        key = "" if kind == "import" else f"key {self.name}"
        operation = Operation(f"operation {self.name}/{len(self.operations)}", kind, key, note, steps, reverts)
        self.operations.append(operation)
        for customer in dict.fromkeys(step.customer for step in steps):
            customer.move(operation)
        return operation

    def imported(self, email: str, identifiers: Iterable[str]) -> Operation | None:
        """Returns devices, as the command `import` does. Gives the operation, if anything changed."""
        customer = self.add_customer(email)
        wanted = list(dict.fromkeys(identifiers))
        self.add_devices(wanted)
        new = [identifier for identifier in wanted if identifier not in customer.now]
        return self.commit("import", "", begins=[(customer, identifier) for identifier in new])
