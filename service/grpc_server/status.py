"""The table of the gRPC status of each error, and how an error is written into a status."""

import math
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from service.domain import errors
from service.domain.errors import ServiceError
from service.grpc_client.metadata import RETRY_PUSHBACK

DOMAIN = "deviceassignment"

_CODES: dict[type[ServiceError], int] = {
    errors.InvalidFields: code_pb2.INVALID_ARGUMENT,
    errors.MalformedRequest: code_pb2.INVALID_ARGUMENT,
    errors.RequestTooLarge: code_pb2.INVALID_ARGUMENT,
    errors.MessageTimeout: code_pb2.DEADLINE_EXCEEDED,
    errors.RequestIdReused: code_pb2.INVALID_ARGUMENT,
    errors.DevicesSkipped: code_pb2.FAILED_PRECONDITION,
    errors.ApiKeyInvalid: code_pb2.UNAUTHENTICATED,
    errors.ScopeMissing: code_pb2.PERMISSION_DENIED,
    errors.CustomerNotFound: code_pb2.NOT_FOUND,
    errors.DeviceNotFound: code_pb2.NOT_FOUND,
    errors.OperationNotFound: code_pb2.NOT_FOUND,
    errors.HistoryPruned: code_pb2.OUT_OF_RANGE,
    errors.DeviceNotAssigned: code_pb2.FAILED_PRECONDITION,
    errors.CountDiffers: code_pb2.FAILED_PRECONDITION,
    errors.EmailTaken: code_pb2.ALREADY_EXISTS,
    errors.RevisionMoved: code_pb2.ABORTED,
    errors.Conflict: code_pb2.ABORTED,
    errors.RateLimited: code_pb2.RESOURCE_EXHAUSTED,
    errors.Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    errors.Cancelled: code_pb2.CANCELLED,
    errors.DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    errors.DatabaseUnavailable: code_pb2.UNAVAILABLE,
    errors.OutcomeUnknown: code_pb2.UNAVAILABLE,
    errors.Stopping: code_pb2.UNAVAILABLE,
    errors.UnknownMethod: code_pb2.UNIMPLEMENTED,
    errors.InternalError: code_pb2.INTERNAL,
}


def number_of(error: ServiceError | None) -> int:
    """Returns the number of the status of an error; 0 (`OK`) for None."""
    return 0 if error is None else _CODES[type(error)]


NAMES = ("OK", *sorted({str(code_pb2.Code.Name(code)) for code in _CODES.values()}))
"""The names of the statuses that calls end with."""


def name_of(error: ServiceError) -> str:
    """Names the status of an error, such as `NOT_FOUND`."""
    return str(code_pb2.Code.Name(_CODES[type(error)]))


def to_status(error: ServiceError, call_id: str) -> grpc.Status:
    """Builds the status that the caller gets. It is small, because peers limit trailers to 8 KiB or less."""
    status = Status(code=_CODES[type(error)], message=error.text)
    for detail in _details(error, call_id):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    sent: Any = rpc_status.to_status(status)
    if error.retry_after_seconds is not None:
        # gRPC's own retries wait for this, and do not read the details.
        pushback = (RETRY_PUSHBACK, str(math.ceil(error.retry_after_seconds * 1000)))
        sent = sent._replace(trailing_metadata=(*sent.trailing_metadata, pushback))
    returned: grpc.Status = sent
    return returned


def _details(error: ServiceError, call_id: str) -> list[Message]:
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata={"call_id": call_id})
    details: list[Message] = [info]
    if isinstance(error, errors.Violated) and error.omitted:
        info.metadata["violations_omitted"] = str(error.omitted)
    match error:
        case errors.ScopeMissing():
            info.metadata["scope"] = " ".join(error.scopes)
        case errors.CountDiffers():
            info.metadata["device_count"] = str(error.device_count)
        case errors.HistoryPruned():
            info.metadata["kept_since"] = error.kept_since.isoformat()
        case errors.InvalidFields():
            listed = [BadRequest.FieldViolation(field=v.field, description=v.description) for v in error.violations]
            details.append(BadRequest(field_violations=listed))
        case errors.DevicesSkipped():
            skips = [PreconditionFailure.Violation(type=v.description, subject=v.field) for v in error.violations]
            details.append(PreconditionFailure(violations=skips))
    if error.retry_after_seconds is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(error.retry_after_seconds * 1000))
        details.append(retry)
    return details
