"""gRPC server reflection: which services there are, and the files that define them, with their comments."""

import importlib.resources
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

_V1 = "grpc.reflection.v1"
_V1_ALPHA = "grpc.reflection.v1alpha"
SERVICES = (f"{_V1}.ServerReflection", f"{_V1_ALPHA}.ServerReflection")


class Reflection:
    """Answers the questions of both versions of reflection, whose messages are the same on the wire.

    Args:
        services: the names of the services to list, beside those of reflection.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted({*services, *SERVICES})
        self._pool = pool = DescriptorPool()
        self._files: dict[str, tuple[bytes, ...]] = {}
        contents: dict[str, bytes] = {}
        needed: dict[str, list[str]] = {}
        for file in _files():  # each comes after the files that it imports
            name = file.name
            contents[name] = file.SerializeToString()
            pool.AddSerializedFile(contents[name])
            # Some clients take the first file of an answer for the one that they asked for.
            imported = [found for dependency in file.dependency for found in needed[dependency]]
            needed[name] = list(dict.fromkeys([name, *imported]))
            self._files[name] = tuple(contents[found] for found in needed[name])
        self._request = GetMessageClass(pool.FindMessageTypeByName(f"{_V1}.ServerReflectionRequest"))
        self._response = GetMessageClass(pool.FindMessageTypeByName(f"{_V1}.ServerReflectionResponse"))

    def register(self, server: grpc.Server) -> None:
        """Adds both versions of the service to a server."""
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=self._request.FromString,
            response_serializer=self._response.SerializeToString,
        )
        methods = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, methods) for service in SERVICES)
        )

    def _serve(self, requests: Iterator[Any], _context: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            response = self._response(valid_host=request.host, original_request=request)
            self._answer(request, response)
            yield response

    def _answer(self, request: Any, response: Any) -> None:
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._answer_file(request.file_by_filename, response)
            case "file_containing_symbol":
                self._answer_file(self._find(request.file_containing_symbol), response)
            case "all_extension_numbers_of_type":
                message = request.all_extension_numbers_of_type
                try:
                    self._pool.FindMessageTypeByName(message)
                except KeyError:
                    _refuse(response, grpc.StatusCode.NOT_FOUND, "there is no such message")
                else:
                    response.all_extension_numbers_response.base_type_name = message  # no file has extensions
            case "file_containing_extension":
                _refuse(response, grpc.StatusCode.NOT_FOUND, "there is no such extension")
            case _:
                _refuse(response, grpc.StatusCode.INVALID_ARGUMENT, "message_request is missing")

    def _answer_file(self, name: str, response: Any) -> None:
        if name in self._files:
            response.file_descriptor_response.file_descriptor_proto.extend(self._files[name])
        else:
            _refuse(response, grpc.StatusCode.NOT_FOUND, "there is no such file or symbol")

    def _find(self, symbol: str) -> str:
        """Returns the name of the file that defines a symbol, or an empty one."""
        parent, _, name = symbol.rpartition(".")
        finders: tuple[Callable[[], Any], ...] = (
            lambda: self._pool.FindFileContainingSymbol(symbol),
            lambda: self._pool.FindMethodByName(symbol).containing_service.file,
            lambda: self._pool.FindOneofByName(symbol).containing_type.file,
            # The full name of an enum's value does not contain the enum's name, but grpcurl shows and sends it so.
            lambda: self._pool.FindEnumTypeByName(parent).values_by_name[name].type.file,
        )
        for find in finders:
            with suppress(KeyError):
                return str(find().name)
        return ""


def _refuse(response: Any, code: grpc.StatusCode, text: str) -> None:
    response.error_response.error_code = code.value[0]
    response.error_response.error_message = text


def _files() -> Iterator[FileDescriptorProto]:
    content = importlib.resources.files("deviceassignment.v1").joinpath("descriptors.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(content).file:
        yield file
        if file.package == _V1:
            # The older version differs in nothing but the package's name.
            yield text_format.Parse(
                text_format.MessageToString(file).replace(_V1, _V1_ALPHA).replace("/v1/", "/v1alpha/"),
                FileDescriptorProto(),
            )
    health = FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(health)
    yield health
