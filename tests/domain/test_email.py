"""E-mail addresses: what is one, and when two are the same."""

import string

import email_validator
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from service.domain.email import _PLAIN, Email
from tests.domain.test_identifiers import CHARACTERS

ANY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
LOCAL_PARTS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~éÉıſßÄ", min_size=1, max_size=20)


def key(given: str) -> str:
    return Email.parse(given).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "ADA@EXAMPLE.COM"),
        ("ada@faß.de", "Ada@XN--FA-HIA.DE"),
        ("ada@münchen.de", "ada@MÜNCHEN.de"),
        ("ada@münchen.de", "ada@mu\u0308nchen.de"),
        ("ada@münchen.de", "ada@xn--mnchen-3ya.de"),
        ("ada@例え。jp", "ada@例え.jp"),
        ("ada@example.com", "ada@\uff25\uff58ample.com"),
    ],
)
def test_addresses_are_the_same_if_their_domains_and_lowered_local_parts_agree(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.com", "adah@example.com"),
        ("ada@example.com", "ada@example.org"),
        ("ada@faß.de", "ada@fass.de"),
        ("é@example.com", "É@example.com"),
        ("é@example.com", "e\u0301@example.com"),
        ("s@example.com", "\u017f@example.com"),
        ("k@example.com", "\u212a@example.com"),
        ("i@example.com", "\u0131@example.com"),
        ("a.b@example.com", "ab@example.com"),
        ("a+b@example.com", "a@example.com"),
    ],
)
def test_nothing_but_ascii_letters_is_lowered_or_folded_in_a_local_part(one: str, other: str) -> None:
    assert key(one) != key(other)


@ANY
@given(LOCAL_PARTS)
def test_a_local_part_is_lowered_as_bytes_are(local: str) -> None:
    given = f"{local}@Example.COM"
    parsed = Email.parse(given)
    assert parsed.given == given
    assert parsed.local_part == local
    assert parsed.key.encode() == local.encode().lower() + b"@example.com"


@pytest.mark.parametrize(
    "given",
    [
        "", "ada", "ada@", "@example.com", "ada@example", "a@b@example.com", "ada@example.com ", " ada@example.com",
        "ada @example.com", '"a b"@example.com', "Ada <ada@example.com>", "ada@[127.0.0.1]", "ada@-x.com", "ada@x..com",
        ".ada@example.com", "ada.@example.com", "a..a@example.com", "ada@example.com.", "ada\0@example.com",
        "ada@exa\nmple.com", "ada\uff20example.com", "ada@" + "x" * 64 + ".com", "ada@xn--a.de",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_the_shape_of_one(given: str) -> None:
    with pytest.raises(ValueError, match=r"must be an e-mail address such as name@example\.com"):
        Email.parse(given)


@pytest.mark.parametrize("domain", ["example.test", "host.local", "a.localhost", "shop.invalid", "x.onion"])
def test_domains_that_no_public_mail_reaches_are_good_names(domain: str) -> None:
    assert key(f"ada@{domain}") == f"ada@{domain}"


@ANY
@given(st.one_of(st.text(CHARACTERS, max_size=20), st.builds("{}@{}".format, *[st.text(CHARACTERS, max_size=9)] * 2)))
def test_any_text_is_an_address_or_refused_and_never_breaks_the_reader(text: str) -> None:
    try:
        parsed = Email.parse(text)
    except ValueError as error:
        assert str(error).startswith("must be an e-mail address")  # noqa: PT017  # whether it raises depends
        return
    local, _, domain = parsed.key.rpartition("@")
    assert local.encode() == text.rpartition("@")[0].encode().lower()
    assert domain.isascii()
    assert domain == domain.lower()
    assert key(parsed.key) == parsed.key


LABELS = st.text("abz019-", min_size=1, max_size=8) | st.just("x" * 63) | st.just("x" * 64) | st.just("xn--ab")


@ANY
@given(
    st.text("ab1.+-_", min_size=1, max_size=8) | st.just("a" * 64) | st.just("a" * 65),
    st.lists(LABELS, min_size=1, max_size=4),
)
def test_the_quick_look_takes_only_what_the_library_takes_and_in_the_same_way(local: str, labels: list[str]) -> None:
    plain = f"{local}@{'.'.join(labels)}.com"
    assume(_PLAIN.match(plain))
    checked = email_validator.validate_email(plain, check_deliverability=False)
    assert Email.parse(plain) == Email(plain, f"{checked.local_part}@{checked.ascii_domain}")
