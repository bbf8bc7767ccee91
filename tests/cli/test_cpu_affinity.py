"""`serve --cpu-affinity`: each worker on a CPU of its own, for as long as the service runs."""

import os
import signal
from pathlib import Path

from tests.cli.conftest import Command, Launch
from tests.transport.conftest import eventually

USABLE = sorted(os.sched_getaffinity(0))


def cpus(pid: int) -> set[int]:
    """The CPUs that the threads of a process may use, all of them together."""
    return {cpu for task in Path(f"/proc/{pid}/task").iterdir() for cpu in os.sched_getaffinity(int(task.name))}


def test_each_worker_has_a_cpu_of_its_own_also_when_it_has_come_back(sqlite: Command, launch: Launch) -> None:
    count = min(2, len(USABLE))
    server = launch(sqlite, "--cpu-affinity", "--workers", str(count), "--rest-address", "127.0.0.1:0")
    names = [f"worker-{number}" for number in range(1, count + 1)]
    assert [cpus(server.processes[name]) for name in names] == [{cpu} for cpu in USABLE[:count]]
    assert cpus(server.processes["gateway"]) == cpus(server.process.pid) == set(USABLE)
    first = server.processes[names[0]]
    served = len([event for event in server.events if event["event"] == "serving"])
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len([event for event in server.events if event["event"] == "serving"]) > served)
    assert server.processes[names[0]] != first
    assert cpus(server.processes[names[0]]) == {USABLE[0]}


def test_a_single_process_stays_on_one_cpu(sqlite: Command, launch: Launch) -> None:
    assert cpus(launch(sqlite, "--cpu-affinity").process.pid) == {USABLE[0]}


def test_without_it_the_system_is_free(sqlite: Command, launch: Launch) -> None:
    assert cpus(launch(sqlite).process.pid) == set(USABLE)


def test_more_workers_than_cpus_are_refused(plain: Command) -> None:
    answer = plain("serve", "--cpu-affinity", "--workers", str(len(USABLE) + 1))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: {len(USABLE) + 1} workers cannot have a CPU each, because this process may use {len(USABLE)}:"
        " give --workers fewer, or leave --cpu-affinity out\n"
    )
