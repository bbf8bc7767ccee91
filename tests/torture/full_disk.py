"""A disk that SQLite takes to be full, where no small disk can be mounted: a limit on the file's pages."""

import os
from pathlib import Path
from typing import Any, cast

from sqlalchemy import make_url

from service.storage.sqlite.backend import SQLite

_MOST_PAGES = 4_294_967_294


def limit(folder: Path) -> Path:
    """Names the file whose presence beside the database is the limit."""
    return folder / "full"


def use_in_sqlite() -> None:
    """Has every transaction of SQLite's look whether the file may grow."""
    url = make_url(os.environ.get("DEVICE_ASSIGNMENT_DATABASE_URL", ""))
    if url.drivername != "sqlite" or not url.database:
        return
    full, begin = limit(Path(url.database).parent), SQLite.begin

    def limited(self: SQLite, pooled: Any, *rest: Any) -> None:
        # SQLite never goes below the pages that there are.
        pages = 1 if full.exists() else _MOST_PAGES
        pooled.driver_connection.execute(f"PRAGMA max_page_count = {pages}").close()
        begin(self, pooled, *rest)

    cast("Any", SQLite).begin = limited
