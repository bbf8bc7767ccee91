"""What is measured: kinds of calls, each with a number that says which customer and devices it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb

SERVICE = "/deviceassignment.v1.DeviceAssignmentService/"

FIRST = 1_000_000
"""The first number. All have seven digits, so that all requests of a kind are equally long."""

OWNED = 20
"""Devices of each customer."""

ALL = 100_000
"""Identifiers of a long call."""


def email(number: int) -> str:
    """Names the customer of a number."""
    return f"customer{number}@example.com"


def target_email(number: int) -> str:
    """Names the customer without devices who gets those of another."""
    return f"target{number}@example.com"


def identifiers(number: int, count: int, first: int = 0) -> list[str]:
    """Names devices of a number: the first `OWNED` are the customer's."""
    return [f"{number}-{place:02}" for place in range(first, first + count)]


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of call.

    Attributes:
        name: as the table shows it.
        path: of the method on the wire.
        request: the request of a number.
        answer: the class of the answer.
        exact: whether an answer is what the call of a number has to return.
        changes: the rows that each call leaves in the history; 0 for a read.
    """

    name: str
    path: str
    request: Callable[[int], Any]
    answer: type[Any]
    exact: Callable[[Any, int], bool]
    changes: int = 0


def unassign(size: int) -> Work:
    """Ends so many assignments of a customer. Of a long list of remaining devices only the length is checked."""

    def request(number: int) -> pb.UnassignDevicesRequest:
        return pb.UnassignDevicesRequest(customer_email=email(number), device_identifiers=identifiers(number, size))

    def exact(answer: pb.UnassignDevicesResponse, number: int) -> bool:
        ended = list(answer.unassigned_devices) == identifiers(number, size)
        if size > OWNED:
            return ended and len(answer.devices_remaining) == size
        return ended and list(answer.devices_remaining) == identifiers(number, OWNED - size, size)

    name = f"UnassignDevices, {f'{size:,} of {2 * size:,}' if size > OWNED else size} ids"
    return Work(name, SERVICE + "UnassignDevices", request, pb.UnassignDevicesResponse, exact, size)


def assign(size: int, first: int = OWNED) -> Work:
    """Assigns devices to a customer: those without an owner that follow the customer's own, unless others are named."""

    def request(number: int) -> pb.AssignDevicesRequest:
        return pb.AssignDevicesRequest(
            customer_email=email(number), device_identifiers=identifiers(number, size, first)
        )

    def exact(answer: pb.AssignDevicesResponse, number: int) -> bool:
        return [device.identifier for device in answer.assigned_devices] == identifiers(number, size, first)

    return Work(f"AssignDevices, {size} ids", SERVICE + "AssignDevices", request, pb.AssignDevicesResponse, exact, size)


def transfer(size: int) -> Work:
    """Transfers devices of a customer to another one, who exists and has none."""

    def request(number: int) -> pb.TransferDevicesRequest:
        return pb.TransferDevicesRequest(
            from_customer_email=email(number),
            to_customer_email=target_email(number),
            device_identifiers=identifiers(number, size),
        )

    def exact(answer: pb.TransferDevicesResponse, number: int) -> bool:
        counts = (answer.from_device_count, answer.to_device_count)
        return list(answer.transferred_devices) == identifiers(number, size) and counts == (OWNED - size, size)

    path = SERVICE + "TransferDevices"
    return Work(f"TransferDevices, {size} ids", path, request, pb.TransferDevicesResponse, exact, 2 * size)


def lookup(size: int) -> Work:
    """Asks for the owners of devices, of one customer after the other."""

    def devices(number: int) -> list[str]:
        customers = range(number, number + (size + OWNED - 1) // OWNED)
        return [identifier for customer in customers for identifier in identifiers(customer, OWNED)][:size]

    def request(number: int) -> pb.LookupOwnersRequest:
        return pb.LookupOwnersRequest(device_identifiers=devices(number))

    def exact(answer: pb.LookupOwnersResponse, number: int) -> bool:
        owners = [[owner.email for owner in result.owners] for result in answer.results]
        return owners == [[email(int(identifier.partition("-")[0]))] for identifier in devices(number)]

    name = f"LookupOwners, {size:,} id{'s' * (size > 1)}"
    return Work(name, SERVICE + "LookupOwners", request, pb.LookupOwnersResponse, exact)
