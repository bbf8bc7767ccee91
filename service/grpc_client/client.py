"""Calls a running server: plain values in, plain values out, and one exception for whatever goes wrong.

`Connection` makes single calls with whatever key it is given; `Client` has a key and patience, and retries.
Requests and answers are dictionaries, as proto3's JSON with the field names of the protos.
"""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import random
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from service.grpc_client import channel, failure
from service.grpc_client.failure import CallFailed
from service.grpc_client.metadata import API_KEY, RESUME_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from service.grpc_client.channel import Trust

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


class Connection:
    """A channel to a server.

    Args:
        address: `host:port`.
        trust: None for plaintext.
    """

    def __init__(self, address: str, trust: Trust | None) -> None:
        self._address = address
        options = channel.options(trust, streams=True)
        if trust is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, channel.credentials(trust), options)

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
            return _values(rpc(message, metadata=((API_KEY, api_key),), timeout=seconds))
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
        call = self._channel.unary_stream(path, _serialized, read)(message, metadata=((API_KEY, api_key),))

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
        failed = failure.from_error(error)
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


class Client:
    """Calls a server with one key, and tries again what is worth it.

    Args:
        connection: the channel.
        api_key: the key.
        seconds: how long a call may take, its retries included.
        on_retry: is called with the failure and the seconds until the retry.
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

        Yields the messages of `WatchOperations`, and, each time a stream has begun, one with only its `resume_token`.

        Raises:
            CallFailed: it cannot go on; or it could not begin, after as many tries as a call gets.
        """
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while True:
            try:
                metadata, messages = self._connection.stream("WatchOperations", request, self._api_key)
                if token := metadata.get(RESUME_TOKEN):
                    # From here on no operation may be missed, so it retries without end.
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
