"""Starts the `device-assignment` command, with a clock to set, a disk to fill and a bug to plant.

`TORTURE_PLANT` names the bug. The product itself has no such switches.
"""

import os

from service.cli import main
from tests.torture import clock, full_disk, plants

VARIABLE = "TORTURE_PLANT"

if __name__ == "__main__":
    if name := os.environ.get(VARIABLE):
        plants.PLANTS[name]()
    clock.use_in_sqlite()
    full_disk.use_in_sqlite()
    main()
