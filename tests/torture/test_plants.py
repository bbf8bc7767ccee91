"""Bugs that are planted into the server are found by a short torture without a fault."""

import pytest

from tests.torture.conftest import Torture
from tests.torture.stage import Size
from tests.torture.workload import MIX

pytestmark = [pytest.mark.process, pytest.mark.torture]

_RENAMES = {"CreateOrUpdateCustomer": 30, "AssignDevices": 15, "TransferDevices": 10, "ListAssignedDevices": 5}


@pytest.mark.timeout(600)  # a busy machine; on a quiet one each takes some seconds
@pytest.mark.parametrize(
    ("plant", "mix", "kinds"),
    [
        ("no-lock", MIX, {"rows"}),
        ("operation-outside", MIX, {"customer"}),
        ("replay-behind", MIX, {"answer"}),
        ("customer-missing", _RENAMES, {"answer"}),
    ],
)
def test_a_planted_bug_is_found(torture: Torture, plant: str, mix: dict[str, int], kinds: set[str]) -> None:
    figures = torture("postgresql", Size(calls=1_000, faults=0, organizations=1, clients=12, plant=plant, mix=mix))
    assert {violation.kind for violation in figures.violations} >= kinds
