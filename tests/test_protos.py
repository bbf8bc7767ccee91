"""The protos, as generators of other languages see them."""

import pytest
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2, errors_pb2
from google.protobuf.descriptor import Descriptor

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
