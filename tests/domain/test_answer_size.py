"""How much of a list fits an answer: never too much, as much as there is room for, and never anything left out."""

from deviceassignment.v1 import device_assignment_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain import answer_size
from service.domain.answer_size import FIELDS_BYTES, fit, size_of

ANY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
MEMBERS = st.sets(st.text(st.sampled_from("aé€\U0001f600"), min_size=1, max_size=255), max_size=60).map(sorted)


class Reader:
    """Reads parts of a list, as a database would, and counts how often it is asked."""

    def __init__(self, members: list[str]) -> None:
        self.members = members
        self.parts: list[int] = []

    def __call__(self, after: str, limit: int) -> list[str]:
        """Gives up to `limit` members that sort after one."""
        part = [member for member in self.members if member > after][:limit]
        self.parts.append(len(part))
        return part


@ANY
@given(MEMBERS, st.integers(0, 20_000), st.integers(0, 3_000), st.data())
def test_the_longest_beginning_that_fits_is_given(
    members: list[str], room: int, taken: int, data: st.DataObject
) -> None:
    left_out = frozenset(data.draw(st.sets(st.sampled_from(members))) if members else ())
    wanted = [member for member in members if member not in left_out]
    fitted = fit(Reader(members), max_bytes=FIELDS_BYTES + taken + room, taken=taken, without=left_out)
    count = len(fitted.identifiers)
    assert fitted.identifiers == wanted[:count]
    assert fitted.complete == (count == len(wanted))
    assert size_of(fitted.identifiers) <= room
    assert fitted.complete or size_of(wanted[: count + 1]) > room


@ANY
@given(MEMBERS, MEMBERS)
def test_the_size_counts_every_byte_that_a_list_takes_on_the_wire(skipped: list[str], remaining: list[str]) -> None:
    answer = pb.UnassignDevicesResponse(
        skipped=skipped,
        skip_reasons=[pb.SKIP_REASON_UNKNOWN_DEVICE] * len(skipped),
        devices_remaining=remaining,
    )
    # A list of reasons has a tag and a length of its own, which the room for single fields has place for.
    assert answer.ByteSize() <= size_of(skipped) + size_of(remaining) + 8
    assert answer.ByteSize() >= size_of(skipped, 0) + size_of(remaining, 0)


def test_a_list_is_read_in_parts_to_its_end() -> None:
    members = [f"{number:06}" for number in range(41_000)]
    read = Reader(members)
    fitted = fit(read, max_bytes=4 * 1024 * 1024, taken=0)
    assert fitted.identifiers == members
    assert fitted.complete
    assert read.parts == [1_000, 20_000, 20_000, 0]


def test_reading_stops_with_the_part_that_is_too_much() -> None:
    members = [f"{number:06}" for number in range(41_000)]
    read = Reader(members)
    fitted = fit(read, max_bytes=FIELDS_BYTES + 10 * 1_500, taken=0)
    assert fitted.identifiers == members[:1_500]
    assert not fitted.complete
    assert read.parts == [1_000, 20_000]


def test_a_list_that_ends_exactly_where_the_room_does_is_complete() -> None:
    members = [f"{number:06}" for number in range(1_000)]
    assert fit(Reader(members), max_bytes=FIELDS_BYTES + 10_000, taken=0).complete
    short = fit(Reader(members), max_bytes=FIELDS_BYTES + 9_999, taken=0)
    assert short.identifiers == members[:-1]
    assert not short.complete


def test_without_any_room_nothing_is_given_and_more_is_told_of() -> None:
    assert fit(Reader(["a"]), max_bytes=0, taken=5_000) == answer_size.Fitted([], complete=False)
    assert fit(Reader([]), max_bytes=0, taken=5_000) == answer_size.Fitted([], complete=True)
    assert fit(Reader(["a"]), max_bytes=0, taken=0, without=frozenset("a")) == answer_size.Fitted([], complete=True)
