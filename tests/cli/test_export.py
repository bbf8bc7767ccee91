"""`export` gives what `import` takes."""

import json

from tests.cli.conftest import Command
from tests.conftest import HEADER, Tenant, new_tenant


def test_an_export_is_imported_into_another_organisation_and_exported_again_the_same(
    command: Command, tenant: Tenant
) -> None:
    tenant.assign("Grace@example.com", ["b", "Ø", 'a, or "b"', "B"])
    tenant.assign("ada@example.com", ["B"])
    other = new_tenant(tenant.database, "other")
    exported = command("export", "--org", "acme")
    assert exported.out.splitlines() == [
        HEADER,
        "ada@example.com,B,thermostat",
        "Grace@example.com,B,thermostat",
        'Grace@example.com,"a, or ""b""",thermostat',
        "Grace@example.com,b,thermostat",
        "Grace@example.com,Ø,thermostat",
    ]
    assert command("import", "--org", other.id, "-", "--json", stdin=exported.out).json["assigned"] == 5
    again, as_json = command.each(("export", "--org", "other"), ("export", "--org", "other", "--json"))
    assert again.out == exported.out
    objects = [json.loads(line) for line in as_json.out.splitlines()]
    assert objects[0] == {
        "customer_email": "ada@example.com",
        "device_identifier": "B",
        "device_type": "thermostat",
    }
    assert len(objects) == 5


def test_an_organisation_without_assignments_exports_the_header_alone(sqlite: Command) -> None:
    empty, unknown = sqlite.each(("export", "--org", "acme"), ("export", "--org", "nobody"))
    assert (empty.code, empty.out) == (0, f"{HEADER}\n")
    assert (unknown.code, unknown.out) == (1, "")
    assert "there is no organisation 'nobody'" in unknown.err
