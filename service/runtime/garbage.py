"""Settings of Python's garbage collector, which stops all threads while it runs.

Objects that only the collector can free gathered by the hundred calls, and it took 10 to 250 ms at once. A call that
is over refers to nothing that refers to it, so reference counting frees it; and the collector runs seldom. The figures
are in docs/decisions/garbage-collection.md. To measure it again, run `python -m benchmarks --only "64 in flight"`,
which shows the p99 of small calls. To do without it, do not call `run_seldom`.
"""

import gc

# Objects before a collection of the youngest generation, and collections before one of each older generation. The
# 100,000 identifiers of a call are in use, not garbage.
_THRESHOLDS = (20_000, 20, 50)


def share_with_children() -> None:
    """Keeps the collector away from the objects of today, before a fork.

    It writes to each object that it visits, and would so copy memory that the processes share.
    """
    gc.collect()
    gc.freeze()


def run_seldom() -> None:
    """Has the collector run seldom, and never visit what has been imported."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
