"""The lines of the table: which number of what was measured stands beside which limit, and what is to be reached."""

from benchmarks.beside import RATE, Beside
from benchmarks.large import SIZE, Large
from benchmarks.report import Result, compared
from benchmarks.subjects import WAYS, WORKERS, Subject

MS = 1_000
AT_REST_MB = 80
PEAK_MB = 300
# What a process may have grown by and still count as flat.
FLAT = 1.05


def of_subject(subject: Subject, target: float) -> list[Result]:
    """Compares small calls with the sum of costs, and more where more was measured."""
    name = subject.name
    rows = []
    if subject.in_flight > 1:
        for how in WAYS:
            if subject.has(f"rate{how}"):
                what = f"the same with{how}" if how else f"{subject.in_flight} in flight, beside the sum of costs"
                rate, limit = subject.median(f"rate{how}"), subject.sum_of_costs(how)
                rows.append(compared(f"{name}, {what}", "calls/s", rate, limit, target))
    if subject.reused and subject.in_flight > 1:
        one, several = (subject.median(f"rate{how}") for how in WAYS)
        rows.append(compared(f"{name}, {WORKERS} workers beside one", "calls/s", several, one, 1.15))
    if subject.alone and subject.in_flight > 1:
        limit = subject.median("empty p50") + subject.median("bare p50")
        work = f"{name}, 1 in flight, p50 beside empty + bare"
        rows.append(compared(work, "ms", subject.median("p50") * MS, limit * MS, 1.3))
    if subject.half:
        p99, p50 = subject.median("half p99") * MS, subject.median("half p50") * MS
        rows.append(compared(f"{name}, p99 at half of the top rate beside p50", "ms", p99, p50, 4))
        rows.append(compared("memory of a server at rest", "MB", subject.median("rest"), AT_REST_MB, 1))
        work = f"memory of each of {WORKERS} workers at rest"
        rows.append(compared(work, "MB", subject.median("rest of a worker"), AT_REST_MB, 1))
        calls = f"{subject.median('calls early'):,.0f} and {subject.median('calls late'):,.0f}"
        rows.append(
            compared(
                f"memory after {calls} calls (short; a million in bench-large)",
                "MB",
                subject.median("late"),
                subject.median("early"),
                FLAT,
            )
        )
    return rows


def of_lookup(subject: Subject) -> list[Result]:
    """Compares a large lookup with its SQL."""
    measured, limit = subject.median("p50") * MS, subject.median("bare p50") * MS
    return [compared(f"{subject.name}, p50 beside bare", "ms", measured, limit, 1.5)]


def of_large(large: Large) -> list[Result]:
    """Compares the large call with its SQL, and the server's memory with what it may take."""
    name = f"UnassignDevices, {SIZE:,} of {2 * SIZE:,} ids"
    return [
        compared(f"{name}, beside bare", "s", large.median("service"), large.median("bare"), 1.15),
        compared(f"{name}, peak memory of the server", "MB", large.median("memory"), PEAK_MB, 1),
    ]


def of_beside(beside: Beside) -> list[Result]:
    """Compares small calls with a long one beside them, with small calls alone."""
    work = f"{RATE} small calls a second, p99 with a call of {SIZE:,} beside them, and without"
    return [compared(work, "ms", beside.p99("with") * MS, beside.p99("without") * MS, 3)]


def parts(subject: Subject) -> str:
    """Says what the lines were computed from."""
    words = [subject.name]
    if subject.in_flight > 1:
        rate, what = subject.database_rate
        empties = ((how, f"empty rate{how}") for how in WAYS)
        empty = ", ".join(f"{subject.median(of):,.0f}/s{how}" for how, of in empties if subject.has(of))
        words.append(
            f"{what} {rate:,.0f}/s, empty {empty}; {subject.in_flight} in flight:"
            f" p50 {subject.median('p50 in flight') * MS:.1f} ms, p99 {subject.median('p99 in flight') * MS:.1f} ms"
        )
    if subject.alone:
        words.append(
            f"1 in flight: p50 {subject.median('p50') * MS:.2f} ms, p99 {subject.median('p99') * MS:.2f} ms;"
            f" p50 of bare {subject.median('bare p50') * MS:.2f} ms, of empty {subject.median('empty p50') * MS:.2f} ms"
        )
    return ": ".join([words[0], "; ".join(words[1:])])
