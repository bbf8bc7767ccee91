"""Arbitrary identifiers and e-mails, through the server into the database and back: exact, or refused."""

from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.import_lines import BadLine, Line, read_lines
from service.storage import bulk
from service.storage.database import Database
from tests.conftest import HEADER, Client, Tenant, failure, new_tenant
from tests.domain.test_identifiers import CHARACTERS, problems

ANY = settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
# Every few examples a text of the longest size, of which a character may take one byte or four.
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=8),
    st.text(CHARACTERS, max_size=8),
    st.tuples(st.sampled_from("x\u0301\U0001f600"), st.sampled_from((255, 256))).map(lambda t: t[0] * t[1]),
)
GOOD = TEXTS.filter(lambda text: not problems(text))
LOCAL_PARTS = st.one_of(st.text(CHARACTERS, max_size=8), st.text("aZ.+é\u0301ßΩ한'", min_size=1, max_size=8))
DOMAINS = st.one_of(
    st.sampled_from(["example.com", "EXAMPLE.com", "münchen.de", "faß.de", "例え.jp", "xn--mnchen-3ya.de"]),
    st.text(CHARACTERS, max_size=8),
)


class Counted:
    """Counts the examples, each of which has a customer of its own."""

    number = 0

    @classmethod
    def email(cls) -> str:
        """Makes an address."""
        cls.number += 1
        return f"customer-{cls.number}@example.com"


def test_good_identifiers_are_kept_listed_and_ended_exactly_and_in_the_order_of_code_points(
    client: Client, tenant: Tenant
) -> None:
    @ANY
    @given(st.sets(GOOD, min_size=1, max_size=25), st.data())
    def holds(identifiers: set[str], data: st.DataObject) -> None:
        email = Counted.email()
        tenant.assign(email, identifiers)
        assert client.devices(tenant, email, page_size=10) == sorted(identifiers)
        wanted = data.draw(st.lists(st.one_of(st.sampled_from(sorted(identifiers)), GOOD), min_size=1, max_size=12))
        answer = client.unassign(tenant, email, wanted)
        once = list(dict.fromkeys(wanted))
        assert list(answer.unassigned_devices) == [text for text in once if text in identifiers]
        assert list(answer.skipped) == [text for text in once if text not in identifiers]
        assert list(answer.devices_remaining) == sorted(identifiers.difference(wanted))
        assert client.devices(tenant, email) == list(answer.devices_remaining)

    holds()


def test_identifiers_that_look_alike_are_different_devices(client: Client, tenant: Tenant) -> None:
    alike = [
        "é",
        "e\u0301",
        "K",
        "\u212a",
        "k",
        "\ufb01",
        "fi",
        "\uff21",
        "A",
        "a",
        "ß",
        "ẞ",
        "ss",
        "a\u200b",
        "a\u200d",
    ]
    tenant.assign("ada@example.com", alike)
    for gone, identifier in enumerate(alike, 1):
        answer = client.unassign(tenant, "ada@example.com", [identifier])
        assert list(answer.devices_remaining) == sorted(alike[gone:])


def test_bad_identifiers_are_refused_with_a_violation_at_each_index(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["kept"])

    @ANY
    @given(st.lists(st.one_of(TEXTS, st.sampled_from(["kept", " ", "a ", "\u3000a", ""])), min_size=1, max_size=30))
    def holds(identifiers: list[str]) -> None:
        wrong = [index for index, text in enumerate(identifiers) if problems(text)]
        if not wrong:
            client.unassign(tenant, "ada@example.com", identifiers, validate_only=True)
            return
        failed = failure(lambda: client.unassign(tenant, "ada@example.com", identifiers))
        assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELDS")
        assert [field for field, _ in failed.violations] == [f"device_identifiers[{index}]" for index in wrong[:20]]
        for index, (_, description) in zip(wrong, failed.violations, strict=False):
            assert description in problems(identifiers[index])
        assert failed.metadata.get("violations_omitted", "0") == str(max(0, len(wrong) - 20))
        assert client.devices(tenant, "ada@example.com") == ["kept"]

    holds()


def imported(tenant: Tenant, email: str) -> bool:
    """Returns whether an import accepts an address, to which it assigns a device."""
    text = email.replace('"', '""')
    lines = list(read_lines([HEADER + "\n", f'"{text}",device,t\n']))
    good = [line for line in lines if isinstance(line, Line)]
    assert good or all(isinstance(line, BadLine) and "customer_email" in line.problem for line in lines)
    bulk.import_lines(tenant.database, tenant.id, good, skip_bad_lines=False)
    return bool(good)


def test_an_e_mail_works_in_every_spelling_that_is_the_same_or_is_refused_everywhere(
    client: Client, database: Database
) -> None:
    numbers = iter(range(10_000))

    @settings(ANY, max_examples=40)
    @given(st.one_of(st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS), st.emails(), st.text(CHARACTERS, max_size=6)))
    def holds(email: str) -> None:
        tenant = new_tenant(database, f"example {next(numbers)}")
        failed = failure(lambda: client.unassign(tenant, email, ["device"]))
        if failed.code == grpc.StatusCode.INVALID_ARGUMENT:
            assert [field for field, _ in failed.violations] == ["customer_email"]
            if email:
                listing: Any = failure(lambda: client.page(tenant, email))
                assert listing.violations == failed.violations
            # An import leaves out white space at the ends.
            assert email != email.strip() or not imported(tenant, email)
            return
        assert failed.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
        assert imported(tenant, email)
        assert [row[0] for row in bulk.export_lines(database, tenant.id)] == [email]
        local, _, domain = email.rpartition("@")
        spelled = "".join(c.swapcase() if c.isascii() else c for c in local) + "@" + domain.encode("idna").decode()
        if "ß" in domain:  # Python's own IDNA is that of 2003
            spelled = spelled.rpartition("@")[0] + "@" + domain
        assert client.devices(tenant, spelled) == ["device"]
        assert list(client.unassign(tenant, spelled, ["device"]).unassigned_devices) == ["device"]

    holds()


@pytest.mark.parametrize("size", [255, 256])
def test_the_longest_identifier_has_255_characters_of_any_width(client: Client, tenant: Tenant, size: int) -> None:
    for character in "x\u0301\U0001f600\U0010ffff":
        identifier = character * size
        if size == 255:
            tenant.assign("ada@example.com", [identifier])
            answer = client.unassign(tenant, "ada@example.com", [identifier])
            assert list(answer.unassigned_devices) == [identifier]
        else:
            failed = failure(lambda: client.unassign(tenant, "ada@example.com", ["ok", identifier]))  # noqa: B023  # done here
            assert failed.violations == [("device_identifiers[1]", "must have at most 255 characters")]
