"""Compares reading and writing with protobuf's own JSON code, for random messages."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from service.rest_gateway import document
from service.rest_gateway.message_reader import MessageReader
from service.rest_gateway.routes import ROUTES
from service.rest_gateway.violations import Violations
from service.rest_gateway.writer import chunks, write

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
FREE = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(-1e15, 1e15).filter(bool) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
INPUTS = {route.method.input_type.full_name: route.method.input_type for route in ROUTES if not route.map_field}
OUTPUTS = {route.method.output_type.full_name: route.method.output_type for route in ROUTES}


def values(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Makes JSON objects of a message, with any of its fields."""
    return st.fixed_dictionaries({}, optional={field.json_name: _values(field) for field in descriptor.fields})


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    kind: Any = field.message_type or field.enum_type
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            one = TEXT
        case FieldDescriptor.TYPE_BOOL:
            one = st.booleans()
        case FieldDescriptor.TYPE_INT32:
            one = st.integers(-(2**31), 2**31 - 1)
        case FieldDescriptor.TYPE_ENUM:
            one = st.sampled_from([value.name for value in kind.values])
        case _ if kind.name == "Struct":
            one = st.dictionaries(TEXT, FREE, max_size=3)
        case _ if kind.name == "Timestamp":
            one = st.datetimes().map(lambda time: time.isoformat() + "Z")
        case _:
            one = values(kind)
    return st.lists(one, max_size=4) if field.is_repeated else one


def parsed(descriptor: Descriptor, value: Any) -> Message:
    """Reads JSON as protobuf does."""
    return json_format.ParseDict(value, GetMessageClass(descriptor)())


@pytest.mark.parametrize("name", INPUTS)
@given(data=st.data())
def test_a_request_is_read_as_protobuf_reads_it(name: str, data: st.DataObject) -> None:
    value = data.draw(values(INPUTS[name]))
    message, violations = GetMessageClass(INPUTS[name])(), Violations()
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    MessageReader(INPUTS[name]).read(document.parse([text.encode()], 10_000), message, "", violations)
    assert (message, violations.listed) == (parsed(INPUTS[name], value), [])


@pytest.mark.parametrize("name", OUTPUTS)
@given(data=st.data())
def test_an_answer_is_written_as_protobuf_writes_it(name: str, data: st.DataObject) -> None:
    message = parsed(OUTPUTS[name], data.draw(values(OUTPUTS[name])))
    written = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    for field in OUTPUTS[name].fields:
        if field.message_type is not None and field.message_type.name == "Struct" and not field.is_repeated:
            written.setdefault(field.json_name, {})  # the gateway always writes it
    read = json.loads(write(message))
    assert _without_empty_objects(read) == _without_empty_objects(written)
    assert json.loads(b"".join(chunks(message))) == read


def test_a_long_list_is_written_in_chunks_that_are_one_document() -> None:
    kind = GetMessageClass(OUTPUTS["deviceassignment.v1.UnassignDevicesResponse"])
    for count in (1_999, 2_000, 2_001, 4_000, 10_001):
        message: Any = kind(skipped=[f"SN-{number}" for number in range(count)], skip_reasons=[1, 2] * count)
        made = chunks(message)
        assert json.loads(b"".join(made)) == json.loads(write(message))
        assert max(map(len, made)) < 200_000


def _without_empty_objects(value: Any) -> Any:
    """Removes empty objects, which the gateway writes for an unset Struct in a list's member."""
    if isinstance(value, list):
        return [_without_empty_objects(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_empty_objects(each) for name, each in value.items() if each != {}}
    return value
