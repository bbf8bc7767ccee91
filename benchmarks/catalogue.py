"""The works by name."""

from benchmarks.works import assign, lookup, transfer, unassign, unassign_many

WORKS = {
    work.name: work
    for work in (unassign(10), unassign(1), lookup(1), lookup(1_000), assign(10), transfer(10), unassign_many(100_000))
}
