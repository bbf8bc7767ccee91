"""Operations in SQL."""

from sqlalchemy import Connection

from service.domain.unit_of_work import Operation
from service.storage.dialects import Dialect


class Operations:
    """See `domain.unit_of_work.Operations`."""

    def __init__(self, connection: Connection, organization_id: str, dialect: Dialect) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._dialect = dialect

    def record(self, operation: Operation) -> None:
        """Writes an operation and gives each of its customers the next revision."""
        values = {
            "organization_id": self._organization_id,
            "id": operation.id,
            "kind": operation.kind,
            "key_id": operation.key_id,
            "note": operation.note,
            "assigned_count": operation.assigned_count,
            "unassigned_count": operation.unassigned_count,
        }
        self._dialect.record_operation(self._connection, values, operation.deltas)
