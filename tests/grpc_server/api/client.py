"""A client of all three services: `api(tenant, "AssignDevices", customer_email=…)`."""

import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import Tenant

METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

ADA, BOB, CAT = "ada@example.com", "bob@example.com", "cat@example.com"


class Api:
    """Calls any method by its name, as any client's: an answer over 4 MiB would be refused here."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")

    def __call__(self, tenant: Tenant, method: str, /, **fields: Any) -> Any:
        """Makes a call of an organisation and gives its answer; of a stream, the stream."""
        return self.call(method, tenant.metadata, **fields)

    def call(self, method: str, metadata: Any = (), /, **fields: Any) -> Any:
        """Makes a call with metadata of the test's choice."""
        descriptor = METHODS[method]
        kind = self.channel.unary_stream if descriptor.server_streaming else self.channel.unary_unary
        rpc: Any = kind(
            f"/{descriptor.containing_service.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )
        return rpc(GetMessageClass(descriptor.input_type)(**fields), metadata=metadata, timeout=120)

    def assign(self, tenant: Tenant, email: str, identifiers: Iterable[str], **options: Any) -> Any:
        """Calls AssignDevices and has missing devices created."""
        options = {"auto_create_devices": True, "device_type": "lamp", **options}
        return self(tenant, "AssignDevices", customer_email=email, device_identifiers=identifiers, **options)

    def unassign(self, tenant: Tenant, email: str, identifiers: Iterable[str], **options: Any) -> Any:
        """Calls UnassignDevices."""
        return self(tenant, "UnassignDevices", customer_email=email, device_identifiers=identifiers, **options)

    def transfer(self, tenant: Tenant, source: str, target: str, identifiers: Iterable[str], **options: Any) -> Any:
        """Calls TransferDevices."""
        who = {"from_customer_email": source, "to_customer_email": target}
        return self(tenant, "TransferDevices", **who, device_identifiers=identifiers, **options)

    def revert(self, tenant: Tenant, operation_id: str, **options: Any) -> Any:
        """Calls RevertOperation."""
        return self(tenant, "RevertOperation", operation_id=operation_id, **options)

    def operation(self, tenant: Tenant, operation_id: str) -> Any:
        """Gives one operation."""
        return self(tenant, "GetOperation", operation_id=operation_id).operation

    def operations(self, tenant: Tenant, **conditions: Any) -> list[Any]:
        """Lists the operations on all pages, the newest first."""
        return list(self._all(tenant, "ListOperations", "operations", **conditions))

    def changes(self, tenant: Tenant, operation_id: str, **options: Any) -> list[tuple[str, str, int]]:
        """Lists what an operation did, on all pages: customer, device, change."""
        listed = self._all(tenant, "ListOperationChanges", "changes", operation_id=operation_id, **options)
        return [(change.customer_id, change.device_identifier, change.change) for change in listed]

    def devices(self, tenant: Tenant, email: str, **options: Any) -> list[str]:
        """Lists the identifiers of a customer's devices, on all pages."""
        listed = self._all(tenant, "ListAssignedDevices", "devices", customer_email=email, **options)
        return [device.device_identifier for device in listed]

    def owners(self, tenant: Tenant, identifier: str, at: datetime | None = None) -> list[str]:
        """Lists the e-mail addresses of a device's owners."""
        options = {} if at is None else {"at": stamp(at)}
        answer = self(tenant, "LookupOwners", device_identifiers=[identifier], **options)
        return [owner.email for owner in answer.results[0].owners]

    def _all(self, tenant: Tenant, method: str, field: str, **request: Any) -> Iterator[Any]:
        while True:
            page = self(tenant, method, **request)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            request["page_token"] = page.next_page_token


def stamp(moment: datetime) -> Timestamp:
    """Writes a moment for a request."""
    written = Timestamp()
    written.FromDatetime(moment)
    return written


def moment(written: Timestamp) -> datetime:
    """Reads a moment of an answer."""
    return written.ToDatetime(tzinfo=UTC)


def new_uuid() -> str:
    """Makes a request id."""
    return str(uuid.uuid4())


def at_once(*calls: Any) -> list[Any]:
    """Makes calls at the same time. Gives each one's answer, or the `grpc.RpcError` that it ended with."""

    def outcome(call: Any) -> Any:
        try:
            return call()
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))
