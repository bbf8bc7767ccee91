"""Writes operations and timestamps as messages."""

from datetime import UTC, datetime

from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from service.domain.values import OperationRecord

_KINDS = {
    "unassign": pb.OPERATION_KIND_UNASSIGN,
    "assign": pb.OPERATION_KIND_ASSIGN,
    "transfer": pb.OPERATION_KIND_TRANSFER,
    "unassign_all": pb.OPERATION_KIND_UNASSIGN_ALL,
    "revert": pb.OPERATION_KIND_REVERT,
    "import": pb.OPERATION_KIND_IMPORT,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_instant(message: Timestamp, at: datetime) -> None:
    """Writes a timestamp with microseconds; protobuf's own method takes ten times as long."""
    since = at - _EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1_000


def operation(recorded: OperationRecord) -> pb.Operation:
    """Writes an operation."""
    message = pb.Operation(
        operation_id=recorded.id,
        kind=_KINDS[recorded.kind],
        key_id=recorded.key_id,
        note=recorded.note,
        customer_ids=recorded.customer_ids,
        assigned_count=recorded.assigned_count,
        unassigned_count=recorded.unassigned_count,
        reverts_operation_id=recorded.reverts_operation_id,
    )
    write_instant(message.occurred_at, recorded.occurred_at)
    return message
