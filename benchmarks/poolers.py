"""Measures two servers behind each PgBouncer and without one, in turns: `python -m benchmarks.poolers`."""

import statistics
import sys
from contextlib import ExitStack

from service.app import Service
from service.config import Settings
from service.storage.database import Database
from tests import postgres
from tests.arrangements import pgbouncer
from tests.arrangements.traffic import told
from tests.conftest import new_tenant
from tests.grpc_server.api.client import Api

_THREADS = 8
_STORIES = 10


def main(rounds: int) -> None:
    """Prints the calls a second of eight callers of two servers, for each way to the database."""
    with postgres.own() as own, ExitStack() as stack:
        url = own.server.fresh()
        ways = {"no pooler": url, "no pooler, nothing prepared": url}
        for program in filter(None, pgbouncer.installed().values()):
            version = ".".join(map(str, pgbouncer.version(program)))
            ways[f"PgBouncer {version}"] = stack.enter_context(pgbouncer.running(program, url))
        database = Database(url)
        tenant = new_tenant(database)
        servers: dict[str, list[Service]] = {}
        for way, through in ways.items():
            mode = "never" if "nothing" in way else "auto"
            servers[way] = [Service(Settings(database_url=through, prepared_statements=mode)) for _ in range(2)]  # type: ignore[arg-type]  # one of two words
        apis = {way: [Api(each.start("127.0.0.1:0")) for each in both] for way, both in servers.items()}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):
            for place, way in enumerate(ways):
                rate = told(apis[way], tenant, _THREADS, _STORIES, f"t{turn}w{place}n")
                if turn:  # the first one warms up
                    rates[way].append(rate)
        first = rates["no pooler"]
        for way, found in rates.items():
            ratio = statistics.median(rate / direct for rate, direct in zip(found, first, strict=True))
            print(f"{way}: {statistics.median(found):.0f} calls a second, {ratio:.2f} of no pooler")
        for way in ways:
            for api, server in zip(apis[way], servers[way], strict=True):
                api.channel.close()
                server.stop()
        database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
