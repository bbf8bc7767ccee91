"""Calls the rpcs of a server by their names, once, with dictionaries as requests and answers.

The dictionaries are proto3 JSON with the field names of the protos.
"""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from service.grpc_client import channel, failure
from service.grpc_client.failure import CallFailed
from service.grpc_client.metadata import API_KEY

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


class Connection:
    """A channel to a server.

    Args:
        address: the server, `host:port`.
        trust: which server certificate to trust; None for plaintext.
    """

    def __init__(self, address: str, trust: Trust | None) -> None:
        self._address = address
        self._channel = channel.open_channel(address, trust)

    def close(self) -> None:
        """Closes the channel, and cancels the calls in flight."""
        self._channel.close()

    def call(self, method: str, request: Values, api_key: str, seconds: float | None) -> Values:
        """Calls an rpc with one answer.

        Args:
            method: the name of the rpc, such as `UnassignDevices`.
            request: the fields; None is the same as absent.
            api_key: the key.
            seconds: the deadline; None for no deadline.

        Raises:
            CallFailed: the call ended with another status than OK.
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
            The initial metadata, for which this waits, and the answers. Closing the iterator cancels the call.

        Raises:
            CallFailed: while iterating; the call ended with another status than OK.
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
            # gRPC's text begins with the addresses that it tried, and ends with the cause.
            cause = failed.text.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
            failed.text = f"The server at {self._address} cannot be reached: {cause}"
        elif not failed.reason and failed.code == "DEADLINE_EXCEEDED":
            failed.text = f"The server at {self._address} has not answered in time"
        return failed


def _prepared(method: str, request: Values) -> tuple[Message, str, Callable[[bytes], Message]]:
    """Returns the request's message, the path of the rpc, and what parses its answers."""
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
