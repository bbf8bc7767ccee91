"""What is measured: kinds of calls, each with a number that says which customer and devices it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb

FIRST = 1_000_000
"""The first number. All have seven digits, so that all requests of a kind are equally long."""

OWNED = 20
"""Devices that each customer has."""

FREE = 10
"""Devices that are there for each number and that nobody has."""


def email(number: int) -> str:
    """Names the customer of a number."""
    return f"customer{number}@example.com"


def identifiers(number: int, count: int, first: int = 0) -> list[str]:
    """Names devices of a number: from `first` up to OWNED they are the customer's, the FREE ones behind nobody's."""
    return [f"{number}-{place:02}" for place in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of small call. `operation` and `changes` are what each call leaves in the history; "" and 0 for a read.

    `calls_traced` is how many calls are made to record the SQL of one: from two, the next ones' can be made up.
    """

    name: str
    method: str
    request: Callable[[int], Any]
    exact: Callable[[Any, int], bool]
    operation: str = ""
    changes: int = 0
    calls_traced: int = 6

    @property
    def path(self) -> str:
        """Returns the method's path on the wire."""
        return f"/deviceassignment.v1.DeviceAssignmentService/{self.method}"


def unassign(size: int) -> Work:
    """Ends so many assignments of a customer, and lists the others."""

    def request(number: int) -> pb.UnassignDevicesRequest:
        return pb.UnassignDevicesRequest(customer_email=email(number), device_identifiers=identifiers(number, size))

    def exact(answer: pb.UnassignDevicesResponse, number: int) -> bool:
        ended = list(answer.unassigned_devices) == identifiers(number, size)
        return ended and list(answer.devices_remaining) == identifiers(number, OWNED - size, size)

    return Work(f"UnassignDevices, {size} id{'s' * (size > 1)}", "UnassignDevices", request, exact, "unassign", size)


def unassign_many(size: int) -> Work:
    """Ends so many assignments of a customer of twice as many; of the rest, only the number is checked."""

    def request(number: int) -> pb.UnassignDevicesRequest:
        return pb.UnassignDevicesRequest(customer_email=email(number), device_identifiers=identifiers(number, size))

    def exact(answer: pb.UnassignDevicesResponse, number: int) -> bool:
        ended = list(answer.unassigned_devices) == identifiers(number, size)
        return ended and answer.remaining_count == size and len(answer.devices_remaining) == size

    return Work(f"UnassignDevices, {size:,} ids", "UnassignDevices", request, exact, "unassign", size, calls_traced=1)


def assign(size: int, first: int = OWNED) -> Work:
    """Assigns so many unassigned devices to a customer: those after the customer's own, unless others are named."""

    def request(number: int) -> pb.AssignDevicesRequest:
        return pb.AssignDevicesRequest(
            customer_email=email(number), device_identifiers=identifiers(number, size, first)
        )

    def exact(answer: pb.AssignDevicesResponse, number: int) -> bool:
        return [device.identifier for device in answer.assigned_devices] == identifiers(number, size, first)

    return Work(f"AssignDevices, {size} ids", "AssignDevices", request, exact, "assign", size)


def transfer(size: int) -> Work:
    """Transfers so many devices of a customer to another, who exists and has none."""

    def request(number: int) -> pb.TransferDevicesRequest:
        return pb.TransferDevicesRequest(
            from_customer_email=email(number),
            to_customer_email=f"target{number}@example.com",
            device_identifiers=identifiers(number, size),
        )

    def exact(answer: pb.TransferDevicesResponse, number: int) -> bool:
        counts = (answer.from_device_count, answer.to_device_count)
        return list(answer.transferred_devices) == identifiers(number, size) and counts == (OWNED - size, size)

    return Work(f"TransferDevices, {size} ids", "TransferDevices", request, exact, "transfer", 2 * size)


def lookup(size: int) -> Work:
    """Asks for the owners of so many devices, of one customer after the other."""

    def devices(number: int) -> list[str]:
        # Numbers of small runs are close together, and a thousand devices are those of fifty customers.
        customers = range(number, number + (size + OWNED - 1) // OWNED)
        return [identifier for customer in customers for identifier in identifiers(customer, OWNED)][:size]

    def request(number: int) -> pb.LookupOwnersRequest:
        return pb.LookupOwnersRequest(device_identifiers=devices(number))

    def exact(answer: pb.LookupOwnersResponse, number: int) -> bool:
        owners = [[owner.email for owner in result.owners] for result in answer.results]
        return owners == [[email(int(identifier.partition("-")[0]))] for identifier in devices(number)]

    return Work(
        f"LookupOwners, {size:,} id{'s' * (size > 1)}",
        "LookupOwners",
        request,
        exact,
        calls_traced=6 if size <= OWNED else 1,
    )
