"""Undoes one operation, as a new one, where nothing has happened since."""

from dataclasses import dataclass
from enum import IntEnum

from service.domain.history import get_operation
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork

SHOWN_LEFT = 1_000


class LeftReason(IntEnum):
    """Why a device was left as it is."""

    CHANGED_SINCE = 1
    ALREADY_REVERTED = 2


@dataclass(frozen=True, slots=True)
class RevertOperation:
    """A validated wish."""

    operation_id: str
    options: Options

    def request(self) -> Request:
        """Tells what the request id stands for."""
        return self.options.request("RevertOperation", self.operation_id)


@dataclass(frozen=True, slots=True)
class Reverted:
    """What was undone, in devices, and what was left: the first 1,000, and how many in all."""

    operation_id: str
    reverted_count: int
    left_count: int
    left: list[tuple[str, LeftReason]]


def revert_operation(uow: UnitOfWork, wish: RevertOperation) -> Reverted:
    """Gives each device of an operation the owners that it had before, unless they have changed since.

    Raises:
        OperationNotFound: the organisation has no such operation.
    """
    options = wish.options
    get_operation(uow, wish.operation_id)
    found = uow.operations.prepare_revert(wish.operation_id, SHOWN_LEFT)
    operation_id = ""
    if found.count and not options.validate_only:
        operation_id = new_id("op")
        deltas, assigned, unassigned = uow.operations.apply_revert()
        uow.operations.record(
            Operation(
                operation_id,
                "revert",
                options.key_id,
                options.note,
                deltas,
                assigned,
                unassigned,
                reverts_operation_id=wish.operation_id,
            )
        )
    reasons = (LeftReason.CHANGED_SINCE, LeftReason.ALREADY_REVERTED)
    left = [(identifier, reasons[reverted]) for identifier, reverted in found.left]
    return Reverted(operation_id, found.count, found.left_count, left)
