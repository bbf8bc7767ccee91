"""Identifiers: which are good, and that the quick look at a list agrees with the slow one."""

import unicodedata
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.domain import identifiers
from service.domain.errors import SHOWN_VIOLATIONS
from service.runtime.chunks import SIZE, chunks

ANY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
# What programs trip over: white space of all kinds, controls, separators, marks, bidi, and the ends of the planes.
STRANGE = "\0\t\n\v\f\r\x1b\x1c\x1d\x1e\x1f \x7f\x80\x85\x9f\xa0\xad\u0301\u061c\u1680\u180e\u2000\u200b\u200d\u2028"
STRANGE += "\u2029\u202e\u202f\u205f\u2060\u3000\ue000\ufeff\ufffe\uffff\U0001f600\U000e0001\U0010ffff"
CHARACTERS = st.one_of(st.sampled_from(STRANGE), st.characters(exclude_categories=["Cs"]))
TEXTS = st.text(CHARACTERS, max_size=12)


def problems(identifier: str) -> set[str]:
    """Says what CONTRACT.md has against an identifier, by Unicode's own tables."""
    found = set()
    if not identifier:
        return {"must not be empty"}
    if len(identifier) > 255:
        found.add("must have at most 255 characters")
    if any(unicodedata.category(character) == "Cc" for character in identifier):
        found.add("must not contain control characters")
    if any(unicodedata.category(end) in {"Zs", "Zl", "Zp"} for end in (identifier[0], identifier[-1])):
        found.add("must not begin or end with white space")
    return found


@ANY
@given(TEXTS)
@example("x" * 255)
@example("x" * 256)
@example("\U0001f600" * 255)
@example("\U0001f600" * 256)
@example("a\u2028b")
@example("\ufeffa")
@example("\u180ea\u200b")
def test_an_identifier_is_good_exactly_if_the_contract_says_so(identifier: str) -> None:
    found = identifiers.problem(identifier)
    assert found in problems(identifier) or (found is None and not problems(identifier))


@ANY
@given(st.lists(st.one_of(TEXTS, st.just("good"), st.just("y" * 256)), min_size=1, max_size=30))
@example(["a", ""])
@example([""])
@example(["a\nb", "c"])
@example(["a b", "c"])
@example(["x" * 256])
@example(["a", "\x85"])
@example(["\x1c", "a"])
@example(["a"] * 25 + [""] * 25)
def test_the_quick_look_at_a_list_finds_what_a_look_at_each_finds(listed: list[str]) -> None:
    each = [(f"f[{index}]", identifiers.problem(identifier)) for index, identifier in enumerate(listed)]
    wrong = [(name, problem) for name, problem in each if problem]
    violations, total = identifiers.check(listed, "f")
    assert total == len(wrong)
    assert [(v.field, v.description) for v in violations] == wrong[:SHOWN_VIOLATIONS]


def test_an_empty_list_is_one_violation_of_the_field() -> None:
    violations, total = identifiers.check([])
    assert [(v.field, v.description) for v in violations] == [("device_identifiers", "must name at least one device")]
    assert total == 1


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_the_limits_of_a_list_are_100000_members_and_3_mib_of_utf_8(character: str) -> None:
    assert identifiers.check([character] * 100_000) == ([], 0)
    too_many, total = identifiers.check([character] * 100_001)
    assert total == 1
    assert too_many[0].description == "must have at most 100000 members, but has 100001"
    member = character * (128 // len(character.encode()))
    count = 3 * 1024 * 1024 // len(member.encode())
    assert identifiers.check([member] * count) == ([], 0)
    too_big, total = identifiers.check([*[member] * count, "a"])
    assert total == 1
    assert too_big[0].description == "must have at most 3145728 bytes in all (UTF-8), but has 3145729"


def test_members_are_not_looked_at_where_the_list_breaks_a_limit() -> None:
    assert [v.field for v in identifiers.check([""] * 100_001)[0]] == ["device_identifiers"]


@given(st.lists(st.sampled_from("abcde")))
@ANY
def test_unique_names_each_once_in_the_order_of_first_appearance(listed: list[str]) -> None:
    assert identifiers.unique(listed) == sorted(set(listed), key=listed.index)


@pytest.mark.parametrize("place", [0, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE, 2 * SIZE + 499])
@pytest.mark.parametrize("bad", ["", "y" * 256, " a", "a\x7f", "\u2028a"])
def test_a_bad_member_is_found_in_whichever_part_of_a_long_list_it_is(place: int, bad: str) -> None:
    listed = ["good"] * (2 * SIZE + 500)
    listed[place] = bad
    violations, total = identifiers.check(listed, "f")
    assert [(v.field, v.description) for v in violations] == [(f"f[{place}]", identifiers.problem(bad))]
    assert total == 1


@ANY
@given(st.lists(TEXTS, unique=True), st.randoms(use_true_random=False), st.floats(0, 1))
def test_a_list_is_divided_into_what_was_found_and_the_rest_in_its_own_order(
    listed: list[str], random: Random, share: float
) -> None:
    found = random.sample(listed, int(share * len(listed)))
    expected = [i for i in listed if i in found], [i for i in listed if i not in found]
    assert identifiers.divided(listed, found) == expected


@pytest.mark.parametrize("length", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE])
def test_the_parts_of_a_list_are_the_list(length: int) -> None:
    cut = list(chunks(range(length)))
    assert [member for part in cut for member in part] == list(range(length))
    assert max(map(len, cut), default=0) <= SIZE
