"""`org create` and `org list`."""

from tests.cli.conftest import Command


def test_an_organisation_is_created_once_and_listed(command: Command) -> None:
    made = command("org", "create", "acme", "--json").json
    assert list(made) == ["organization_id", "name"]
    assert made["name"] == "acme"
    assert made["organization_id"].startswith("org_")
    _, again = command.each(("org", "create", "Ærø 株式会社"), ("org", "create", "acme", "--json"))
    assert (again.code, again.out) == (1, "")
    assert again.err == "error: there is an organisation 'acme' already\n"
    as_json, table = command.each(("org", "list", "--json"), ("org", "list"))
    assert as_json.json[0] == made
    assert [row["name"] for row in as_json.json] == ["acme", "Ærø 株式会社"]
    header, first, second = table.out.splitlines()
    assert header.split() == ["organization_id", "name"]
    assert first.split() == [made["organization_id"], "acme"]
    assert second.endswith("  Ærø 株式会社")


def test_a_name_that_could_not_be_told_from_others_is_refused(plain: Command) -> None:
    for answer in plain.each(*(("org", "create", name) for name in ("", " acme", "a\nb", "a" * 256))):
        assert (answer.code, answer.out) == (2, "")
        assert "Invalid value for NAME: must" in answer.err
