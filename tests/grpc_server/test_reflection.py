"""Reflection: both versions answer every question that tools ask, and buf's own client calls with nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2, errors_pb2
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from service.method_table import OPEN_SERVICES, RPCS
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import Run, raw

SERVICE = "deviceassignment.v1.DeviceAssignmentService"
FILE = "deviceassignment/v1/device_assignment.proto"
DESCRIPTORS = Path("generated/deviceassignment/v1/descriptors.binpb")
BUF = Path(sys.executable).parent / "buf"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Asked:
    """Asks one version of reflection, with the messages of grpcio's own package."""

    def __init__(self, client: Client, version: str) -> None:
        self._rpc = raw(client).stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

    def all(self, *requests: ServerReflectionRequest) -> list[ServerReflectionResponse]:
        """Asks several questions on one stream."""
        return list(self._rpc(iter(requests), timeout=60))

    def one(self, **question: Any) -> ServerReflectionResponse:
        """Asks one question."""
        (response,) = self.all(ServerReflectionRequest(**question))
        return response

    def files(self, **question: Any) -> list[FileDescriptorProto]:
        """Asks for a file."""
        content = self.one(**question).file_descriptor_response.file_descriptor_proto
        return [FileDescriptorProto.FromString(file) for file in content]


@pytest.fixture(params=["v1", "v1alpha"])
def asked(request: pytest.FixtureRequest, client: Client) -> Asked:
    """Asks one version of reflection."""
    return Asked(client, request.param)


def test_all_services_are_listed_and_every_method_is_found(asked: Asked) -> None:
    listed = [service.name for service in asked.one(list_services="").list_services_response.service]
    assert listed == sorted({name.partition("/")[0] for name in RPCS} | OPEN_SERVICES)
    files = DescriptorDatabase()
    for service in listed:
        for file in asked.files(file_containing_symbol=service):
            files.Add(file)
    pool = DescriptorPool(files)
    methods = {f"{service}/{method.name}" for service in listed for method in pool.FindServiceByName(service).methods}
    assert set(RPCS) | {f"{service}/ServerReflectionInfo" for service in listed if "reflection" in service} <= methods
    for method in methods:
        assert asked.files(file_containing_symbol=method.replace("/", "."))


def symbols() -> Iterator[tuple[str, str]]:
    """Names everything in the protos, with its file."""
    for module in (customer_pb2, device_assignment_pb2, device_pb2, errors_pb2):
        file = module.DESCRIPTOR
        for message in file.message_types_by_name.values():
            yield message.full_name, file.name
            yield from ((field.full_name, file.name) for field in message.fields)
            yield from ((oneof.full_name, file.name) for oneof in message.oneofs)
        for enum in file.enum_types_by_name.values():
            yield enum.full_name, file.name
            for value in enum.values:
                yield f"{file.package}.{value.name}", file.name
                yield f"{enum.full_name}.{value.name}", file.name
    yield "google.protobuf.Struct.FieldsEntry", "google/protobuf/struct.proto"
    yield "google.protobuf.Value.kind", "google/protobuf/struct.proto"


def test_every_symbol_is_found_in_its_file(asked: Asked) -> None:
    names = dict(symbols())
    found = asked.all(*(ServerReflectionRequest(file_containing_symbol=name) for name in names))
    for (name, file), response in zip(names.items(), found, strict=True):
        assert response.original_request.file_containing_symbol == name
        first = FileDescriptorProto.FromString(response.file_descriptor_response.file_descriptor_proto[0])
        assert first.name == file


def test_a_file_comes_with_its_imports_and_its_comments(asked: Asked) -> None:
    file, *imports = asked.files(file_by_filename=FILE)
    assert (file.name, [other.name for other in imports]) == (FILE, ["google/protobuf/timestamp.proto"])
    comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
    assert comments[6, 0, 2, 0].startswith(" Ends the assignments of a batch of devices to one customer.")


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "no/such.proto"},
        {"file_by_filename": ""},
        *(
            {"file_containing_symbol": name}
            for name in ("no.Such", "", ".", "..", "\0", f"{SERVICE}.", f"{SERVICE}.Nope", f".{SERVICE}", "é" * 10_000)
        ),
        {"file_containing_extension": {"containing_type": "deviceassignment.v1.Device", "extension_number": 1}},
        {"file_containing_extension": {"containing_type": "no.Such", "extension_number": -1}},
        {"all_extension_numbers_of_type": "no.Such"},
        {"all_extension_numbers_of_type": ""},
        {"all_extension_numbers_of_type": SERVICE},
    ],
    ids=lambda question: str(question)[:70],
)
def test_what_is_not_there_is_not_found_and_the_stream_goes_on(asked: Asked, question: dict[str, Any]) -> None:
    wrong = ServerReflectionRequest(host="example.com", **question)
    response, following = asked.all(wrong, ServerReflectionRequest(list_services=""))
    assert response.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert response.error_response.error_message.startswith("there is no such ")
    assert (response.original_request, response.valid_host) == (wrong, "example.com")
    assert following.list_services_response.service


def test_a_message_has_no_extensions(asked: Asked) -> None:
    numbers = asked.one(all_extension_numbers_of_type="deviceassignment.v1.Device").all_extension_numbers_response
    assert numbers.base_type_name == "deviceassignment.v1.Device"
    assert not numbers.extension_number


def test_a_request_without_a_question_is_refused(asked: Asked) -> None:
    error = asked.one(host="example.com").error_response
    assert error.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert error.error_message == "message_request is missing"


@pytest.mark.process
@pytest.mark.parametrize(
    "option",
    [["--reflect-protocol", "grpc-v1"], ["--reflect-protocol", "grpc-v1alpha"], ["--schema", str(DESCRIPTORS)]],
    ids=["v1", "v1alpha", "descriptors.binpb"],
)
def test_buf_calls_with_reflection_or_with_the_descriptors_file_alone(
    run: Run, tenant: Tenant, option: list[str]
) -> None:
    tenant.assign("ada@example.com", ["A"])
    url = f"http://127.0.0.1:{run().port}/{SERVICE}/LookupOwners"
    key = f"x-api-key: {dict(tenant.metadata)['x-api-key']}"
    command = [str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", *option, "-H", key]
    called = subprocess.run(
        [*command, "-d", '{"device_identifiers": ["A"]}', url], check=False, capture_output=True, text=True
    )
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout)["results"][0]["owners"][0]["email"] == "ada@example.com"
