"""Writes lists into answers, in chunks."""

from collections.abc import MutableSequence, Sequence
from typing import TypeVar

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.skipped_devices import SkipReason
from service.runtime.chunks import chunks

T = TypeVar("T")


def extend(field: MutableSequence[T], listed: Sequence[T]) -> None:
    """Appends a list to a field of a message."""
    for chunk in chunks(listed):
        field.extend(chunk)


def extend_skip_reasons(field: MutableSequence[pb.SkipReason.ValueType], reasons: Sequence[SkipReason]) -> None:
    """Appends the reasons why devices were skipped."""
    for chunk in chunks(reasons):
        field.extend(map(pb.SkipReason.ValueType, chunk))
