"""Gets one operation: who changed how many assignments, when and why."""

from service.domain.errors import OperationNotFound
from service.domain.values import OperationRecord
from service.storage.unit_of_work import UnitOfWork


def get_operation(uow: UnitOfWork, operation_id: str) -> OperationRecord:
    """Returns one operation.

    Raises:
        OperationNotFound: the organisation has no such operation.
    """
    operation = uow.operations.find(operation_id)
    kept_since = uow.operations.kept_since()
    # An operation from before that is about to be deleted, and may be incomplete.
    if operation is None or (kept_since is not None and operation.occurred_at < kept_since):
        raise OperationNotFound
    return operation
