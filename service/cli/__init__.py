"""The `device-assignment` command.

Exit codes: 0 done, 1 could not be done (the reason is on standard error), 2 wrong usage.
"""

import os

# gRPC's own lines are no JSON and would stand between ours. It reads this once, when it is imported. To see
# them, about a handshake that fails for example, set GRPC_VERBOSITY=ERROR.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from service.cli.command import main

__all__ = ["main"]
