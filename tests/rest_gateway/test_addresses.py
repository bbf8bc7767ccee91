"""E-mail addresses in answers to keys that may not see them."""

from tests.conftest import Tenant
from tests.rest_gateway.rest import Gateway, Rest

LOOKUP = "/deviceAssignment/lookupOwners"
ADA = "ada@example.com"


def test_a_key_without_customers_read_gets_the_ids_of_owners_and_empty_addresses(
    gateway: Gateway, rest: Rest, tenant: Tenant
) -> None:
    tenant.assign(ADA, ["A"])
    telemetry = Rest(gateway, tenant.key("assignments:read")[0][1])
    whole = rest(LOOKUP, deviceIdentifiers=["A"]).json["results"]
    bare = telemetry(LOOKUP, deviceIdentifiers=["A"]).json["results"]
    assert whole[0]["owners"][0]["email"] == ADA
    whole[0]["owners"][0]["email"] = ""
    assert bare == whole
