"""Bugs that are planted into the server are found by a short torture without a fault."""

import pytest

from tests.torture.conftest import Torture
from tests.torture.stage import Size
from tests.torture.workload import MIX

pytestmark = [pytest.mark.process, pytest.mark.torture]

_RENAMES = {"CreateOrUpdateCustomer": 30, "AssignDevices": 15, "TransferDevices": 10, "ListAssignedDevices": 5}


@pytest.mark.timeout(600)  # a busy machine; on a quiet one each takes some seconds
@pytest.mark.parametrize(
    ("plant", "mix", "kinds", "calls"),
    [
        ("no-lock", MIX, {"rows"}, 1_000),
        ("operation-outside", MIX, {"customer"}, 1_000),
        ("replay-behind", MIX, {"answer"}, 1_000),
        # It takes two renames in the right moments: of six runs of 1,000 calls, one did not meet them.
        ("customer-missing", _RENAMES, {"answer"}, 6_000),
    ],
)
def test_a_planted_bug_is_found(torture: Torture, plant: str, mix: dict[str, int], kinds: set[str], calls: int) -> None:
    figures = torture("postgresql", Size(calls=calls, faults=0, organizations=1, clients=12, plant=plant, mix=mix))
    assert {violation.kind for violation in figures.violations} >= kinds
