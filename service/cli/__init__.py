"""The `device-assignment` command.

Exit codes: 0 done, 1 could not be done (the reason is on standard error), 2 wrong usage.
"""

from service.cli.command import main

__all__ = ["main"]
