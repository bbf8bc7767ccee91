"""`python -m benchmarks.size`: the bytes of every table and index, and those of an assignment.

200 customers of one organisation get 200,000 devices, and return half of them. An assignment is one that was ever
made, so the bytes of an assignment are all that the service keeps of it, its end and its history included.
"""

import argparse
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks import report, servers
from benchmarks.fleet import Customers, Fleet, fill, plain, settle
from benchmarks.load import Load, load
from benchmarks.works import FIRST, unassign
from tests import postgres

_CUSTOMERS = 200
_EMPTY = 64 * 1024

_POSTGRESQL = """
SELECT relname, pg_relation_size(oid), greatest(reltuples, 0)::bigint FROM pg_class
  WHERE relkind IN ('r', 'i', 't') AND relnamespace <> 'pg_catalog'::regnamespace
    AND relnamespace <> 'information_schema'::regnamespace AND NOT relisshared
    AND (relkind <> 't' OR oid IN (SELECT reltoastrelid FROM pg_class WHERE relnamespace = 'public'::regnamespace))
"""
_SQLITE = "SELECT name, sum(pgsize), sum(ncell) FROM dbstat GROUP BY name"


def _sizes(url: str) -> list[tuple[str, int, int]]:
    """Returns the name, the bytes and the rows of each table and index."""
    settle(url)
    if url.startswith("postgresql"):
        with psycopg.connect(plain(url)) as connection:
            return connection.execute(_POSTGRESQL).fetchall()
    with closing(sqlite3.connect(make_url(url).database or "")) as file:
        try:
            return file.execute(_SQLITE).fetchall()
        except sqlite3.OperationalError:  # Python's SQLite may be built without it
            pages = file.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
            return [("the whole file", pages[0], 0)]


def _fill(generator: Load, url: str, devices: int, code: Path | None) -> None:
    each = devices // _CUSTOMERS
    fleet: Fleet = fill(generator, url, [Customers(FIRST, _CUSTOMERS, each)], code=code)
    work = unassign(each // 2)
    with servers.service(url, code=code) as running:
        requests = [work.request(FIRST + place) for place in range(_CUSTOMERS)]
        generator.calls(running.port, work.path, fleet.key, requests)
    fleet.check(_CUSTOMERS, devices // 2)


def main(devices: int, before: Path | None) -> None:
    """Fills both databases and prints the tables."""
    with postgres.running() as server, load() as generator, tempfile.TemporaryDirectory() as folder:
        for code in [before, None] if before else [None]:
            for url in (server.create(), f"sqlite:///{folder}/{'before' if code else 'now'}.db"):
                _fill(generator, url, devices, code)
                sizes = sorted(_sizes(url), key=lambda found: -found[1])
                total = sum(size for _, size, _ in sizes)
                print(f"{make_url(url).get_backend_name()}, {devices:,} devices, {code or 'this version'}")
                for name, size, rows in sizes:
                    if size > _EMPTY:
                        print(f"  {name:<40} {size:>12,} bytes {rows:>10,} rows {size / devices:>8.1f} an assignment")
                print(f"  {'in all':<40} {total:>12,} bytes {'':>15} {total / devices:>8.1f} an assignment")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.size", description=__doc__)
    parser.add_argument("--devices", type=int, default=200_000)
    parser.add_argument("--before", type=Path, help="the folder of another version, to be measured beside this one")
    arguments = parser.parse_args()
    report.interrupt_on_sigterm()
    main(arguments.devices, arguments.before and arguments.before.resolve())
