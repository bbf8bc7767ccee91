"""A walk over all methods of all services: no key, and the wrong scope."""

import pytest

from service.domain.keys import SCOPES as ALL_SCOPES
from service.method_table import RPCS
from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import METHODS, Api

NAMES = sorted(METHODS)


def full(method: str) -> str:
    return f"{METHODS[method].containing_service.full_name}/{method}"


def test_a_method_needs_the_scope_of_its_service_and_reads_need_no_write() -> None:
    areas = {"DeviceAssignmentService": "assignments", "CustomerService": "customers", "DeviceService": "devices"}
    for name, method in METHODS.items():
        writes = "validate_only" in method.input_type.fields_by_name
        area = areas[method.containing_service.name]
        assert RPCS[full(name)].scopes == (f"{area}:{'write' if writes else 'read'}",)


@pytest.mark.parametrize("method", NAMES)
def test_without_a_good_key_every_method_is_unauthenticated(api: Api, method: str) -> None:
    for metadata in ((), (("x-api-key", "da_nonsense1_nonsense"),), (("x-api-key", ""),)):
        failed = failure(lambda: list(api.call(method, metadata)))  # noqa: B023  # called here
        assert (failed.code.name, failed.reason) == ("UNAUTHENTICATED", "ERROR_REASON_API_KEY_INVALID")
        assert failed.text == "A valid API key is required in the metadata x-api-key"


@pytest.mark.parametrize("method", NAMES)
def test_with_all_scopes_but_its_own_every_method_is_denied(api: Api, tenant: Tenant, method: str) -> None:
    needed = RPCS[full(method)].scopes
    key = tenant.key(*(scope for scope in ALL_SCOPES if scope not in needed))
    failed = failure(lambda: list(api.call(method, key)))
    assert (failed.code.name, failed.reason) == ("PERMISSION_DENIED", "ERROR_REASON_SCOPE_MISSING")
    assert failed.metadata["scope"] == " ".join(needed)


@pytest.mark.parametrize("method", [name for name in NAMES if not METHODS[name].server_streaming])
def test_with_its_own_scope_alone_every_method_is_served(api: Api, tenant: Tenant, method: str) -> None:
    key = tenant.key(*RPCS[full(method)].scopes)
    if set(METHODS[method].input_type.fields_by_name) <= {"page_size", "page_token"} or method == "ListOperations":
        assert api.call(method, key).next_page_token == ""
        return
    assert failure(lambda: api.call(method, key)).code.name == "INVALID_ARGUMENT"


def test_a_method_that_needs_two_scopes_names_those_that_the_key_lacks(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = ("devices:read", "customers:read")
    monkeypatch.setitem(RPCS, full("ListDevices"), RPCS[full("ListDevices")]._replace(scopes=two))
    for scopes, lacking, text in (
        (["devices:read"], "customers:read", "The API key lacks the scope customers:read"),
        (["assignments:read"], " ".join(two), "The API key lacks the scopes devices:read, customers:read"),
    ):
        denied = failure(lambda: api.call("ListDevices", tenant.key(*scopes)))  # noqa: B023  # called here
        assert (denied.metadata["scope"], denied.text) == (lacking, text)
    assert api.call("ListDevices", tenant.key(*two)).next_page_token == ""


def test_a_method_without_scopes_is_refused(api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RPCS, full("ListDevices"))
    denied = failure(lambda: api(tenant, "ListDevices"))
    assert (denied.code.name, denied.text) == ("PERMISSION_DENIED", "No API key may call this method")
