"""The protos, as generators of other languages and tools see them."""

import importlib.resources
from enum import IntEnum

import pytest
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2, errors_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from service.domain.revert_operation import LeftReason
from service.domain.skipped_devices import SkipReason
from service.domain.unassign_devices import RemainingView
from service.domain.values import Change

FILES = (customer_pb2, device_assignment_pb2, device_pb2, errors_pb2)
MESSAGES = [message for file in FILES for message in file.DESCRIPTOR.message_types_by_name.values()]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.name))
def test_no_list_has_the_name_of_a_count_without_its_ending(message: Descriptor) -> None:
    """Java generates `getXCount` of a list `x`, and renames both where a field `x_count` stands beside it."""
    lists = {field.name for field in message.fields if field.is_repeated}
    assert not {f"{name}_count" for name in lists} & {field.name for field in message.fields}


def test_all_files_name_the_same_packages() -> None:
    first, *others = (
        {field.name: value for field, value in file.DESCRIPTOR.GetOptions().ListFields()} for file in FILES
    )
    names = {options.pop("java_outer_classname") for options in (first, *others)}
    assert len(names) == len(FILES)
    assert all(options == first for options in others)
    assert first.keys() == {
        "csharp_namespace",
        "go_package",
        "java_multiple_files",
        "java_package",
        "objc_class_prefix",
        "php_metadata_namespace",
        "php_namespace",
        "ruby_package",
    }


def test_the_descriptors_file_needs_no_other() -> None:
    content = importlib.resources.files("deviceassignment.v1").joinpath("descriptors.binpb").read_bytes()
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(content).file:
        pool.AddSerializedFile(file.SerializeToString())
    for message in MESSAGES:
        found = pool.FindMessageTypeByName(message.full_name)
        assert found.fields_by_name.keys() == message.fields_by_name.keys()


@pytest.mark.parametrize("ours", [SkipReason, RemainingView, Change, LeftReason], ids=lambda ours: str(ours.__name__))
def test_an_enum_of_the_domain_has_the_names_and_numbers_of_the_proto_s(ours: type[IntEnum]) -> None:
    """Answers convert the one to the other by number, and refusals by name."""
    theirs: EnumDescriptor = device_assignment_pb2.DESCRIPTOR.enum_types_by_name[ours.__name__]
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in ours.__name__).lstrip("_") + "_"
    expected = {value.name.removeprefix(prefix): value.number for value in theirs.values if value.number}
    assert {value.name: value.value for value in ours} == expected
