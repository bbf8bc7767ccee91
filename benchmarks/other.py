"""Fleets made by another version of this project, whose tables may differ from this one's."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.fleet import Fleet
from benchmarks.servers import environment_of

Customers = tuple[int, int, int]
"""The first number, how many, and how many devices each has; 0 is the usual number."""

# Runs in the other version, so it uses no more of it than has always been there.
_SCRIPT = """
import json, sys
from contextlib import closing
from benchmarks.fleet import Fleet, empty_fleet
from benchmarks.works import OWNED
from service.domain.keys import SCOPES
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations

url, organizations, free = json.loads(sys.argv[1])
made = []
for number, added in enumerate(organizations):
    if number == 0:
        fleet = empty_fleet(url)
    else:
        with closing(Database(url)) as database:
            organization = Organizations(database).create(f"bench {number}")
            fleet = Fleet(url, organization.id, Keys(database).create(organization.id, SCOPES, None)[1])
    for first, count, owned in added:
        fleet.add(first, count, owned or OWNED, free)
    made.append([fleet.organization_id, fleet.api_key])
fleet.settle()
print(json.dumps(made))
"""


def fleets(code: Path | None, url: str, organizations: list[list[Customers]], free: int = 0) -> list[Fleet]:
    """Fills an empty database with organisations.

    Args:
        code: the folder of the version that does it; None is this one.
        url: the database.
        organizations: the customers of each.
        free: devices that nobody has, for each customer.
    """
    asked = json.dumps([url, organizations, free])
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, asked],
        env=environment_of(code),
        cwd=code,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return [Fleet(url, organization_id, api_key) for organization_id, api_key in json.loads(done.stdout)]
