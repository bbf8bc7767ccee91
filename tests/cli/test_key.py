"""`key create`, `key list` and `key revoke`."""

import hashlib
from datetime import UTC, datetime, timedelta

from service.domain.keys import SCOPES, sha256
from service.runtime.redaction import API_KEY_PATTERN
from service.storage.database import Database
from service.storage.keys import Keys
from tests.cli.conftest import Command
from tests.conftest import Tenant


def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    command: Command, database: Database, tenant: Tenant
) -> None:
    made = command("key", "create", "--org", "acme", "--json").json
    assert list(made)[:2] == ["key_id", "api_key"]
    secret = made["api_key"]
    assert made["organization_id"] == tenant.id
    assert made["scopes"] == list(SCOPES)
    assert made["expires_at"] is None
    assert secret.startswith(made["prefix"])
    assert Keys(database).principal(sha256(secret)) is not None

    listed, table = command.each(("key", "list", "--json"), ("key", "list"))
    row = next(row for row in listed.json if row["key_id"] == made["key_id"])
    assert {**row, "created_at": ""} == {
        "key_id": made["key_id"],
        "organization_id": tenant.id,
        "prefix": made["prefix"],
        "scopes": list(SCOPES),
        "created_at": "",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    for shown in (listed.out, table.out):
        assert secret not in shown
        assert secret.removeprefix(made["prefix"]) not in shown
        assert hashlib.sha256(secret.encode()).hexdigest() not in shown
    # A pipe has no width: the whole of every value is there.
    assert all(value in table.out for value in (made["key_id"], made["prefix"], "acme", "last_used_at"))
    assert "…" not in table.out

    revoked = command("key", "revoke", made["key_id"])
    assert (revoked.code, revoked.out) == (0, f"revoked {made['key_id']}\n")
    assert Keys(database).principal(sha256(secret)) is None
    row = next(row for row in command("key", "list", "--json").json if row["key_id"] == made["key_id"])
    assert row["revoked_at"]


def test_a_terminal_shows_the_whole_key(sqlite: Command) -> None:
    scopes = ("--scope", "devices:read", "--scope", "assignments:read")
    shown = sqlite.on_terminal("key", "create", "--org", "acme", *scopes)
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert list(rows) == ["key_id", "api_key", "organization_id", "prefix", "scopes", "expires_at"]
    assert API_KEY_PATTERN.fullmatch(rows["api_key"])
    assert len(rows["api_key"]) == 52
    assert rows["scopes"] == "assignments:read devices:read"


def test_an_unknown_organisation_or_key_is_named_with_the_command_that_lists_them(sqlite: Command) -> None:
    key, revoked = sqlite.each(("key", "create", "--org", "nobody"), ("key", "revoke", "key_nothing"))
    assert (key.code, key.out, revoked.code, revoked.out) == (1, "", 1, "")
    assert key.err == "error: there is no organisation 'nobody'; `device-assignment org list` shows them\n"
    assert revoked.err == "error: there is no key 'key_nothing'; `device-assignment key list` shows them\n"


def test_wrong_usage_makes_no_key(plain: Command) -> None:
    create = ("key", "create", "--org", "acme")
    unknown, missing = plain.each((*create, "--scope", "devices:reed"), ("key", "create"))
    assert (unknown.code, missing.code) == (2, 2)
    assert "unknown scope devices:reed; the scopes are assignments:read, " in unknown.err
    assert "Missing option '--org'" in missing.err


def test_a_key_ends_when_it_is_told_to(sqlite: Command) -> None:
    now = datetime.now(UTC)
    forms = {
        "90d": now + timedelta(days=90),
        "30m": now + timedelta(minutes=30),
        "2090-01-31": datetime(2090, 1, 31, tzinfo=UTC),
        "2090-01-31T12:00:00+02:00": datetime(2090, 1, 31, 10, tzinfo=UTC),
    }
    runs = [("key", "create", "--org", "acme", "--json", "--expires", form) for form in forms]
    for answer, expected in zip(sqlite.each(*runs), forms.values(), strict=True):
        found = datetime.fromisoformat(answer.json["expires_at"])
        assert timedelta(0) <= found - expected < timedelta(minutes=10)


def test_an_end_that_is_none_or_past_is_refused(plain: Command) -> None:
    no_end = "must be a duration such as 90d, 12h or 30m, or a date such as 2030-01-31"
    whens = {
        "0d": no_end,
        "-1d": no_end,
        "": no_end,
        "9999-12-31T23:59-14:00": no_end,
        "2020-01-31": "lies in the past",
    }
    answers = plain.each(*(("key", "create", "--org", "acme", f"--expires={when}") for when in whens))
    for answer, problem in zip(answers, whens.values(), strict=True):
        assert (answer.code, answer.out) == (2, "")
        assert f"Invalid value for --expires: {problem}" in answer.err
