"""The CPUs that a process may use are those that it may run on, within the quota of its control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.runtime import cpus

QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Writes the files of a system with control groups."""
    for name, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        # The smallest of the groups above each other holds.
        ("0::/a/b\n", {"cpu.max": "800000 100000\n", "a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        # Beside version 1.
        ("2:memory:/x\n0::/a\n", {"unified/a/cpu.max": "300000 100000\n"}, 3),
        # Version 1.
        ("4:cpu,cpuacct:/a\n", {f"cpu,cpuacct/a/{QUOTA}": "250000\n", f"cpu,cpuacct/a/{PERIOD}": "100000\n"}, 2.5),
        ("4:cpu:/a\n", {f"cpu/a/{QUOTA}": "-1\n", f"cpu/a/{PERIOD}": "100000\n"}, None),
        ("7:cpuset:/a\n", {f"cpuset/a/{QUOTA}": "1\n", f"cpuset/a/{PERIOD}": "1\n"}, None),
        # In a container that sees the host's path, its own group is what is mounted.
        ("4:cpu:/docker/1\n", {f"cpu/{QUOTA}": "200000\n", f"cpu/{PERIOD}": "100000\n"}, 2),
        ("0::/../elsewhere\n", {"cpu.max": "100000 100000\n"}, 1),
    ],
)  # fmt: skip
def test_the_quota_is_the_smallest_of_the_groups(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpus.quota(system(tmp_path, groups, files)) == quota


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpus.quota(tmp_path) is None


def test_the_quota_of_this_machine_can_be_read() -> None:
    assert (cpus.quota() or 1) > 0


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_only_cpus_that_the_process_may_run_on_count() -> None:
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from service.runtime import cpus; "
    done = subprocess.run(
        [sys.executable, "-c", script + "print(cpus.allowed())"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
