"""Reads the status of a call that failed, with its details."""

from dataclasses import dataclass, field
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status


@dataclass(eq=False)
class CallFailed(Exception):
    """A call ended with another status than OK.

    Attributes:
        code: the status, such as `NOT_FOUND`.
        text: the sentence of the server; of gRPC if the server did not set the status.
        reason: the `ErrorReason`; empty if the server did not set the status.
        metadata: further values of the error, such as `call_id`.
        violations: pairs of a field and what is wrong with it.
        retry_seconds: the delay before a retry, if the server sets one.
    """

    code: str
    text: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[tuple[str, str]] = field(default_factory=list)
    retry_seconds: float | None = None

    @property
    def summary(self) -> str:
        """The text without the violations that it ends with."""
        return self.text.partition(": ")[0] if self.violations else self.text

    @property
    def uncertain(self) -> bool:
        """Whether the call may have been done in spite of the failure."""
        return self.code in {"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN"}

    @property
    def is_transient(self) -> bool:
        """Whether a retry of the same call, with the same request id, may succeed."""
        match self.code:
            case "UNAVAILABLE" | "CANCELLED":
                # The server cancels calls when it stops; this client does not retry calls that it has cancelled.
                return True
            case "ABORTED":
                return self.reason == "ERROR_REASON_CONFLICT"
            case "RESOURCE_EXHAUSTED":
                # Without a delay this is gRPC's own status for a message that is too large.
                return self.retry_seconds is not None
        return False


def from_error(error: Any) -> CallFailed:
    """Returns the failure of a `grpc.RpcError`."""
    failed = CallFailed(error.code().name, error.details() or "")
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # a proxy has replaced the server's status, but not its details
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
