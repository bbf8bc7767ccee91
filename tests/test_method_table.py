"""The table of rpcs beside the comments of the protos, which are what a caller reads."""

import re
from collections.abc import Iterator
from pathlib import Path

import deviceassignment.v1
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from service.domain.keys import SCOPES
from service.method_table import HTTP_PREFIX, OPEN, RPCS, UNKNOWN

_DESCRIPTORS = Path(deviceassignment.v1.__path__[0]) / "descriptors.binpb"
SERVICE = Path(__file__).parent.parent / "service"
_SERVICE, _METHOD = 6, 2  # the fields of FileDescriptorProto and ServiceDescriptorProto


def comments() -> Iterator[tuple[str, str]]:
    """Yields the full name and the comment of each rpc, the comment as one line."""
    for file in FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes()).file:
        if file.package != "deviceassignment.v1":
            continue
        for location in file.source_code_info.location:
            match list(location.path):
                case [field, service, inner, method] if (field, inner) == (_SERVICE, _METHOD):
                    named = file.service[service]
                    name = f"{file.package}.{named.name}/{named.method[method].name}"
                    yield name, " ".join(location.leading_comments.split())


COMMENTS = dict(comments())


def test_every_rpc_of_the_protos_is_in_the_table_and_no_other() -> None:
    assert COMMENTS.keys() == RPCS.keys()


@pytest.mark.parametrize("name", RPCS)
def test_the_comment_names_the_scopes_of_the_table(name: str) -> None:
    needed = re.findall(r"Needs the scopes? ([^.]*)\.", COMMENTS[name])
    assert [re.findall(r"`([^`]*)`", each) for each in needed] == [list(RPCS[name].scopes)]
    optional = re.findall(r"Without the scopes? ([^,]*),", COMMENTS[name])
    assert [scope for each in optional for scope in re.findall(r"`([^`]*)`", each)] == list(RPCS[name].optional_scopes)


@pytest.mark.parametrize("name", RPCS)
def test_the_comment_names_the_verb_and_the_path_of_the_table(name: str) -> None:
    rpc = RPCS[name]
    assert re.findall(r"HTTP: `([^`]*)`\.", COMMENTS[name]) == [f"{rpc.http_method} {HTTP_PREFIX}{rpc.path}"]


def test_scopes_are_those_that_keys_can_have_and_only_a_method_that_is_not_in_the_table_has_none() -> None:
    for rpc in RPCS.values():
        assert rpc.scopes
        assert {*rpc.scopes, *rpc.optional_scopes} <= set(SCOPES)
    assert not UNKNOWN.scopes
    assert not OPEN.scopes


@pytest.mark.parametrize("name", RPCS)
def test_every_rpc_has_a_file_of_its_name_in_the_domain_and_one_in_the_server(name: str) -> None:
    rpc = name.rpartition("/")[2]
    if rpc == "UnassignDevice":  # stands with the rpc for many devices
        rpc = "UnassignDevices"
    file = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower() + ".py"
    assert (SERVICE / "domain" / file).is_file()
    assert (SERVICE / "grpc_server" / "rpcs" / file).is_file()
