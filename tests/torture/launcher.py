"""Starts the `device-assignment` command, with a clock to set and a planted bug if the environment asks for them.

`TORTURE_PLANT` names the bug. The product itself has no such switches.
"""

import os

from service.cli import main
from tests.torture import clock, plants

VARIABLE = "TORTURE_PLANT"

if __name__ == "__main__":
    if name := os.environ.get(VARIABLE):
        plants.PLANTS[name]()
    clock.use_in_sqlite()
    main()
