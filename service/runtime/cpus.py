"""How many CPUs this process may use: those that it may run on, and the time that its control groups allow.

A container's limit of CPUs is a quota of its control group, which `os.cpu_count` does not know.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def allowed() -> int:
    """Returns on how many CPUs this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = Path("/")) -> float | None:
    """Returns how many seconds of CPU time a second the control groups of this process allow; None is no limit.

    Args:
        root: where `/proc` and `/sys` are.
    """
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    """Finds the quota of each control group of this process, and of those above: the smallest one holds."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, perhaps beside version 1
            mounts, read = (mount, mount / "unified"), _version_2
        elif "cpu" in controllers.split(","):
            mounts, read = (mount / controllers, mount / "cpu"), _version_1
        else:
            continue
        # In a container the path may be the host's; then the container's own group is what is mounted.
        group = PurePosixPath(*(part for part in PurePosixPath(path.lstrip("/")).parts if part != ".."))
        for folder in mounts:
            for above in (group, *group.parents):
                yield from read(folder / above)


def _version_2(group: Path) -> Iterator[float]:
    words = _text(group / "cpu.max").split()
    if words and words[0] != "max":
        yield int(words[0]) / int(words[1])


def _version_1(group: Path) -> Iterator[float]:
    used, period = (_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    if used and period and int(used) > 0:
        yield int(used) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
