"""Reverts one operation, by a new operation, for the devices whose owners have not changed since."""

from dataclasses import dataclass
from enum import IntEnum

from service.domain.get_operation import get_operation
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork

SHOWN_LEFT = 1_000


class LeftReason(IntEnum):
    """Why a device was not reverted."""

    CHANGED_SINCE = 1
    ALREADY_REVERTED = 2


@dataclass(frozen=True, slots=True)
class RevertOperation:
    """The command, validated."""

    operation_id: str
    options: Options

    def request(self) -> Request:
        """Returns what the request id stands for."""
        return self.options.request("RevertOperation", self.operation_id)


@dataclass(frozen=True, slots=True)
class Reverted:
    """The result: how many devices were reverted and how many were not, and the first 1,000 of the latter."""

    operation_id: str
    reverted_count: int
    not_reverted_count: int
    not_reverted: list[tuple[str, LeftReason]]


def revert_operation(uow: UnitOfWork, command: RevertOperation) -> Reverted:
    """Assigns each device of an operation to its owners of before, unless the owners have changed since.

    Raises:
        OperationNotFound: the organisation has no such operation.
    """
    options = command.options
    get_operation(uow, command.operation_id)
    found = uow.operations.prepare_revert(command.operation_id, SHOWN_LEFT)
    # Again: what it did may have been pruned meanwhile.
    get_operation(uow, command.operation_id)
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
                reverts_operation_id=command.operation_id,
            )
        )
    reasons = (LeftReason.CHANGED_SINCE, LeftReason.ALREADY_REVERTED)
    not_reverted = [(identifier, reasons[reverted]) for identifier, reverted in found.not_reverted]
    return Reverted(operation_id, found.count, found.not_reverted_count, not_reverted)
