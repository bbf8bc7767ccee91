"""Every test here that takes a database runs on the oldest supported PostgreSQL too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import KINDS, OLDEST, PostgresKind

_EACH = {**KINDS, OLDEST: PostgresKind("oldest_postgres")}


@pytest.fixture(params=_EACH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database with today's tables, of each kind."""
    with _EACH[request.param].fresh(request, tmp_path) as url:
        yield url
