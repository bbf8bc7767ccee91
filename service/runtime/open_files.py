"""The limit of open files of this process. Each connection and each file uses one descriptor."""

import resource

MOST = 65_536
"""The soft limit is not raised beyond this, whatever the hard limit is."""


def highest_limit() -> int:
    """Returns the limit that `raise_limit` would bring in force, and changes nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(soft, MOST if hard == resource.RLIM_INFINITY else min(hard, MOST))


def raise_limit() -> int:
    """Raises the soft limit to the hard limit, or to `MOST` if that is lower, and returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # a sandbox may forbid it
        return soft
    return wanted
