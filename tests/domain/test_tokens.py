"""Revisions and page tokens: opaque, exact, and refused when somebody made them up."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.domain.tokens import MAX_TOKEN_CHARACTERS, PageToken, query_hash, revision_token
from tests.domain.test_identifiers import CHARACTERS

ANY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))


def encoded(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@ANY
@given(st.integers(0, 2**63 - 1), st.text(CHARACTERS.filter(lambda c: c != "\0"), max_size=255), MOMENTS, MOMENTS)
@example(0, "", None, None)
@example(2**63 - 1, "\U0010ffff" * 255, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))
@example(1, '"' * 255, None, None)
@example(1, "\\" * 255, None, None)
def test_a_page_token_gives_back_what_it_was_made_of(
    revision: int, after: str, at: datetime | None, as_of: datetime | None
) -> None:
    token = PageToken("cust_068v6k3t1m2rgy0d4bqj", revision, after, at, as_of)
    text = token.encode()
    assert PageToken.decode(text) == token
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    # An answer has room for one token beside its lists (`answer_size.FIELDS_BYTES`).
    assert len(text) < 3_000


@pytest.mark.parametrize(
    "content",
    [
        None, {}, [], "x", 1, ["devices"], ["devices", "cust", 1], ["devices", "cust", 1, "a", "", "", ""],
        *(
            [*content, "", ""]
            for content in (
                ["devices", "cust", "1", "a"], ["devices", 1, 1, "a"], ["devices", "cust", 1, 2],
                ["devices", "cust", -1, "a"], ["devices", "cust", 2**63, "a"], ["devices", "cust", 1.5, "a"],
                ["devices", "cust", None, "a"], ["devices", "cust", True, "a"], ["devices", "cust", 1, "\0"],
                ["devices", "cust", 1, "\ud800"], ["devices", "\ud800", 1, "a"], ["devices", "cust", 10**400, "a"],
                ["customers", "cust", 1, "a"],
            )
        ),
        *(
            ["devices", "cust", 1, "a", "", moment]
            for moment in (1, None, "now", "2026-01-31", "2026-01-31T00:00:00", "2026-01-31T00:00:00+01:00",
                           "2026-01-31T00:00:00Z", "2026-01-31T00:00+00:00", "10000-01-31T00:00:00+00:00")
        ),
    ],
)  # fmt: skip
def test_a_token_of_other_content_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="not a token"):
        PageToken.decode(encoded(content))


@pytest.mark.parametrize("text", ["", "x", "====", "é", "a b", "[]", "!" * 10, "\0", encoded("[" * 3000), "%41"])
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        PageToken.decode(text)


def test_a_token_nested_too_deeply_is_refused() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    with pytest.raises(ValueError, match="not a token"):
        PageToken.decode(deep)


def test_a_token_longer_than_any_of_ours_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        PageToken.decode("A" * (MAX_TOKEN_CHARACTERS + 1))


@ANY
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_any_text_is_a_token_or_refused_and_never_breaks_the_reader(text: str) -> None:
    try:
        PageToken.decode(text)
    except ValueError as error:
        assert type(error) is ValueError  # noqa: PT017  # it is refused by us, not by a library underneath


@ANY
@given(st.sets(st.tuples(st.sampled_from(["cust_1", "cust_11", "cust_1_1"]), st.integers(0, 2**63 - 1)), min_size=2))
def test_no_two_revisions_share_a_token(revisions: set[tuple[str, int]]) -> None:
    ours = {(customer, number) for customer, number in revisions if customer.count("_") == 1}
    assert len({revision_token(*revision) for revision in ours}) == len(ours)


def test_two_questions_never_stand_for_the_same() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    queries = [
        ("a",),
        ("b",),
        ("a", ""),
        ("", "a"),
        ("a", None),
        ("a", moment),
        (moment, "a"),
        ('a","b',),
        ("a", "b"),
    ]
    assert len({query_hash(*each) for each in queries}) == len(queries)
    assert query_hash("a", moment, None) == query_hash("a", datetime(2026, 1, 31, tzinfo=UTC), None)
