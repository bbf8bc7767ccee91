"""A short torture on each database: every kind of fault that is quick, and no violation."""

import pytest

from tests.torture import report
from tests.torture.conftest import Torture
from tests.torture.stage import Size

pytestmark = [pytest.mark.process, pytest.mark.torture]


@pytest.mark.timeout(600)  # a busy machine; on a quiet one it takes half a minute
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_under_faults_every_answer_is_true(torture: Torture, database: str) -> None:
    figures = torture(database, Size(calls=2_000, faults=6))
    assert not figures.violations, report.violations(figures)
    assert sum(figures.faults.values()) == 6
    assert figures.rows["operation"] == figures.watched > 200
