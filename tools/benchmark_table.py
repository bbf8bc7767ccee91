"""Makes the table of benchmarks from `benchmarks/results.json`, which `make bench` writes."""

import json
import re
from pathlib import Path
from typing import Any

_RESULTS = Path(__file__).parent.parent / "benchmarks" / "results.json"
_WORK = re.compile(r"(.*) \(([^()]+)\)")
# Three digits are enough to compare.
_DIGITS = ((100, 0), (10, 1), (0, 2))


_SHORT = {
    "LookupOwners, 1 id, 64 in flight, beside the sum of costs": "`LookupOwners` of one device, 64 in flight",
    "LookupOwners, 1 id, 64 in flight --workers 2, beside the sum of costs": "the same with two workers",
    "LookupOwners, 1,000 ids, 1 in flight, p50 beside bare": "`LookupOwners` of 1,000 devices, median",
    "UnassignDevices, 10 ids, 64 in flight, beside the sum of costs": "`UnassignDevices` of ten devices, 64 in flight",
    "UnassignDevices, 10 ids, 1 in flight, p50 beside empty + bare": "the same, one in flight, median",
    "SQLite: UnassignDevices, 10 ids, 16 in flight, beside the sum of costs": "the same on SQLite, 16 in flight",
    "UnassignDevices, 100,000 of 200,000 ids, beside bare": "`UnassignDevices` of 100,000 devices",
    "AssignDevices, 10 ids, 64 in flight, beside the sum of costs": "`AssignDevices` of ten devices, 64 in flight",
    "TransferDevices, 10 ids, 64 in flight, beside the sum of costs": "`TransferDevices` of ten devices, 64 in flight",
    "memory of a server at rest": "memory of a server at rest",
}
"""The rows of the README: names in the results, and shorter ones."""


def short_rows() -> list[str]:
    """Returns the lines of the README's table.

    Raises:
        KeyError: the results lack a row.
    """
    found = {}
    for result in json.loads(_RESULTS.read_text()):
        work, unit = _split(result["work"])
        found[work] = (_amount(result["measured"], unit), _amount(result["limit"], unit), f"{result['ratio']:.2f}")
    lines = ["| work | measured | limit | ratio |", "|---|---|---|---|"]
    return lines + [f"| {' | '.join((short, *found[work]))} |" for work, short in _SHORT.items()]


def rows() -> list[str]:
    """Returns the lines of the table, in Markdown."""
    lines = ["| work | measured | limit | ratio | target | reached |", "|---|---|---|---|---|---|"]
    return lines + [_row(result) for result in json.loads(_RESULTS.read_text())]


def _row(result: dict[str, Any]) -> str:
    work, unit = _split(result["work"])
    is_rate = unit == "calls/s"
    target = f"{'at least' if is_rate else 'at most'} {result['target']:g}"
    cells = (
        work,
        _amount(result["measured"], unit),
        _amount(result["limit"], unit),
        f"{result['ratio']:.2f}",
        target,
        "yes" if result["holds"] else "**no**",
    )
    return f"| {' | '.join(cells)} |"


def _split(work: str) -> tuple[str, str]:
    """Splits the name of a row into the work and its unit."""
    match = _WORK.fullmatch(work)
    if match is None:
        raise ValueError(f"{work!r} does not end with a unit in parentheses")
    return match[1], match[2]


def _amount(value: float, unit: str) -> str:
    digits = next(digits for least, digits in _DIGITS if value >= least)
    return f"{value:,.{digits}f}" + ("/s" if unit == "calls/s" else f" {unit}")
