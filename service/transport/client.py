"""Calls a running server: plain values in, plain values out, and one exception for whatever goes wrong.

`Connection` makes single calls with whatever key it is given; `Client` has a key and patience, and retries.
Requests and answers are dictionaries, as proto3's JSON with the field names of the protos.
"""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status

from service.transport.authentication import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

Values: TypeAlias = "dict[str, Any]"

_METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

_ATTEMPTS = 8
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0

_OPTIONS = (
    # The server bounds its answers, by a setting of its own.
    ("grpc.max_receive_message_length", -1),
    # A server that restarts is found again at once: gRPC's own delays grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A server that vanished without a word is noticed, also by a stream that has nothing to tell.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


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
                # Cancelled by the server, that is, which stopped: nobody here cancels a call and goes on.
                return True
            case "ABORTED":
                return self.reason == "ERROR_REASON_CONFLICT"
            case "RESOURCE_EXHAUSTED":
                # Without a delay this is gRPC's own word for a message that is too big.
                return self.retry_seconds is not None
        return False


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to trust over TLS: the authorities in `root_certificates` (PEM), or else the usual ones."""

    root_certificates: bytes | None = None


class Connection:
    """A channel to a server.

    Args:
        address: `host:port`.
        trust: None for plaintext.
    """

    def __init__(self, address: str, trust: Trust | None) -> None:
        self._address = address
        if trust is None:
            # What is said in the open is said to nobody in between: a proxy would read the key.
            self._channel = grpc.insecure_channel(address, (*_OPTIONS, ("grpc.enable_http_proxy", 0)))
        else:
            credentials = grpc.ssl_channel_credentials(trust.root_certificates)
            self._channel = grpc.secure_channel(address, credentials, _OPTIONS)

    def close(self) -> None:
        """Ends what is still open."""
        self._channel.close()

    def call(self, method: str, request: Values, api_key: str, seconds: float | None) -> Values:
        """Calls an rpc once, by its name.

        Args:
            method: such as `UnassignDevices`.
            request: the fields; None and absent are the same.
            api_key: the key.
            seconds: the deadline; None for none.

        Raises:
            CallFailed: it did not answer OK.
        """
        message, path, read = _prepared(method, request)
        rpc = self._channel.unary_unary(path, _serialized, read)
        try:
            return _values(rpc(message, metadata=((METADATA_KEY, api_key),), timeout=seconds))
        except grpc.RpcError as error:
            raise self._failure(error) from None

    def stream(self, method: str, request: Values, api_key: str) -> tuple[dict[str, str], Iterator[Values]]:
        """Calls an rpc that streams its answers.

        Returns:
            The initial metadata, once it is there, and the answers. Closing the iterator ends the call.

        Raises:
            CallFailed: while iterating; it did not end with OK.
        """
        message, path, read = _prepared(method, request)
        call = self._channel.unary_stream(path, _serialized, read)(message, metadata=((METADATA_KEY, api_key),))

        def answers() -> Iterator[Values]:
            try:
                for answer in call:
                    yield _values(answer)
            except grpc.RpcError as error:
                raise self._failure(error) from None
            finally:
                call.cancel()

        return {key: str(value) for key, value in call.initial_metadata() or ()}, answers()

    def _failure(self, error: Any) -> CallFailed:
        failed = CallFailed(error.code().name, error.details() or "")
        try:
            status = rpc_status.from_call(error)
        except ValueError:  # something in between put a status of its own over the server's
            status = None
        for packed in () if status is None else status.details:
            _add_detail(failed, packed)
        if not failed.reason and failed.code == "UNAVAILABLE":
            # gRPC names what it tried and where it failed before it says why.
            cause = failed.text.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
            failed.text = f"The server at {self._address} cannot be reached: {cause}"
        elif not failed.reason and failed.code == "DEADLINE_EXCEEDED":
            failed.text = f"The server at {self._address} has not answered in time"
        return failed


def _prepared(method: str, request: Values) -> tuple[Message, str, Callable[[bytes], Message]]:
    described = _METHODS[method]
    message = GetMessageClass(described.input_type)()
    try:
        json_format.ParseDict(request, message)
    except json_format.ParseError as error:
        raise CallFailed("INVALID_ARGUMENT", str(error)) from None
    path = f"/{described.containing_service.full_name}/{described.name}"
    return message, path, GetMessageClass(described.output_type).FromString


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def _values(message: Message) -> Values:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


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


class Client:
    """Calls a server with one key, and tries again what is worth it.

    Args:
        connection: the channel.
        api_key: the key.
        seconds: how long a call may take, its retries included.
        on_retry: is told what went wrong and how long the wait is.
    """

    def __init__(
        self, connection: Connection, api_key: str, seconds: float, on_retry: Callable[[CallFailed, float], None]
    ) -> None:
        self._connection = connection
        self._api_key = api_key
        self._seconds = seconds
        self._on_retry = on_retry

    def call(self, method: str, **request: Any) -> Values:
        """Calls an rpc, and again after what passes, in the same words: a write should have its `request_id`.

        Raises:
            CallFailed: it did not answer OK; the last failure.
        """
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while True:
            try:
                return self._connection.call(method, request, self._api_key, deadline - time.monotonic())
            except CallFailed as failed:
                attempt += 1
                self._wait(failed, attempt, deadline)

    def pages(self, method: str, **request: Any) -> Iterator[Values]:
        """Calls a listing until its last page."""
        while True:
            page = self.call(method, **request)
            yield page
            if not page["next_page_token"]:
                return
            request["page_token"] = page["next_page_token"]

    def watch(self, **request: Any) -> Iterator[Values]:
        """Streams operations, and goes on behind the last one when the stream ends or breaks.

        Gives the messages of `WatchOperations`, and, whenever a stream has begun, one with its `resume_token` alone.

        Raises:
            CallFailed: it cannot go on; or it could not begin, after as many tries as a call gets.
        """
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while True:
            try:
                metadata, messages = self._connection.stream("WatchOperations", request, self._api_key)
                if token := metadata.get("resume-token"):
                    # From here on nothing may be missed, so it never gives up.
                    attempt, deadline = 0, float("inf")
                    request = {**request, "after": token, "from_now": False}
                    yield {"resume_token": token}
                for message in messages:
                    request["after"] = message["resume_token"]
                    yield message
            except CallFailed as failed:
                attempt += 1
                self._wait(failed, attempt, deadline)

    def _wait(self, failed: CallFailed, attempt: int, deadline: float) -> None:
        """Sleeps before the next attempt, or raises the failure if there is to be none."""
        usual = min(_FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, _ATTEMPTS), _LONGEST_DELAY_SECONDS)
        # Spread, so that those who failed together do not come back together.
        delay = (failed.retry_seconds or usual) * random.uniform(1.0, 1.25)  # noqa: S311  # no secret
        endless = deadline == float("inf")
        if not failed.passing or (attempt >= _ATTEMPTS and not endless) or time.monotonic() + delay >= deadline:
            raise failed
        self._on_retry(failed, delay)
        time.sleep(delay)
