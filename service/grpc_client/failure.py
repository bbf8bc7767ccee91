"""How a client sees a call that failed."""

from dataclasses import dataclass, field
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status


@dataclass(eq=False)
class CallFailed(Exception):
    """A call ended with another status than OK.

    Attributes:
        code: the status, such as `NOT_FOUND`.
        text: the server's sentence, or gRPC's where the server did not speak.
        reason: the `ErrorReason`; empty where the server did not speak.
        metadata: what else the error says, `call_id` included.
        violations: what is wrong, by field.
        retry_seconds: when to try again, if the server says so.
    """

    code: str
    text: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    retry_seconds: float | None = None

    @property
    def uncertain(self) -> bool:
        """Whether the call may have been done nonetheless."""
        return self.code in {"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"}

    @property
    def passing(self) -> bool:
        """Whether the same call, with the same request id, may do better in a while."""
        match self.code:
            case "UNAVAILABLE" | "CANCELLED":
                # The server, which is stopping, has cancelled it: no caller here cancels a call and goes on.
                return True
            case "ABORTED":
                return self.reason == "ERROR_REASON_CONFLICT"
            case "RESOURCE_EXHAUSTED":
                # Without a delay this is gRPC's own word for a message that is too big.
                return self.retry_seconds is not None
        return False


def from_error(error: Any) -> CallFailed:
    """Takes a `grpc.RpcError` apart."""
    failed = CallFailed(error.code().name, error.details() or "")
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # something in between put a status of its own over the server's
        status = None
    for packed in () if status is None else status.details:
        _add_detail(failed, packed)
    return failed


def _add_detail(failed: CallFailed, packed: Any) -> None:
    info, bad, precondition, retry = ErrorInfo(), BadRequest(), PreconditionFailure(), RetryInfo()
    if packed.Unpack(info):
        failed.reason = info.reason
        failed.metadata = dict(info.metadata)
    elif packed.Unpack(bad):
        failed.violations += [(v.field, v.description) for v in bad.field_violations]
    elif packed.Unpack(precondition):
        failed.violations += [(v.subject, v.type) for v in precondition.violations]
    elif packed.Unpack(retry):
        failed.retry_seconds = retry.retry_delay.ToNanoseconds() / 1e9
