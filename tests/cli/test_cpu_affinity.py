"""`serve --cpu-affinity`: each worker on a CPU of its own, for as long as the service runs."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from service import affinity
from tests.cli.conftest import Command, Launch, Server
from tests.transport.conftest import eventually

USABLE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

several_cpus = pytest.mark.skipif(len(USABLE) < 2, reason="needs Linux and two CPUs to tell one from the other")
linux = pytest.mark.skipif(not USABLE, reason="needs Linux")


def cpus(pid: int) -> set[int]:
    """The CPUs that the threads of a process may use, all of them together."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            found |= os.sched_getaffinity(int(task.name))
    return found


def serving(server: Server, name: str) -> int:
    return len([event for event in server.events if event["event"] == "serving" and event["process"] == name])


@several_cpus
def test_each_worker_has_a_cpu_of_its_own_also_when_it_has_come_back(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, "--cpu-affinity", "--workers", "2", "--rest-address", "127.0.0.1:0")
    eventually(lambda: all(serving(server, name) for name in ("worker-1", "worker-2")))
    assert [cpus(server.processes[f"worker-{number}"]) for number in (1, 2)] == [{USABLE[0]}, {USABLE[1]}]
    assert cpus(server.processes["gateway"]) == cpus(server.process.pid) == set(USABLE)
    first = server.processes["worker-2"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: serving(server, "worker-2") == 2)
    assert server.processes["worker-2"] != first
    assert cpus(server.processes["worker-2"]) == {USABLE[1]}


@several_cpus
def test_a_single_process_stays_on_one_cpu(sqlite: Command, launch: Launch) -> None:
    assert cpus(launch(sqlite, "--cpu-affinity").process.pid) == {USABLE[0]}


@several_cpus
def test_without_it_the_system_is_free(sqlite: Command, launch: Launch) -> None:
    assert cpus(launch(sqlite).process.pid) == set(USABLE)


@several_cpus
def test_a_worker_whose_cpu_was_taken_away_comes_back_all_the_same(sqlite: Command, launch: Launch) -> None:
    """As when a container's CPUs become fewer: the supervisor's own are what its next child inherits."""
    server = launch(sqlite, "--cpu-affinity", "--workers", "2")
    eventually(lambda: serving(server, "worker-2") == 1)
    os.sched_setaffinity(server.process.pid, {USABLE[0]})
    os.kill(server.processes["worker-2"], signal.SIGKILL)
    eventually(lambda: serving(server, "worker-2") == 2)
    assert cpus(server.processes["worker-2"]) == {USABLE[0]}
    [warning] = [event for event in server.events if event["event"] == "no CPU of its own for a worker"]
    assert (warning["process"], warning["usable"]) == ("worker-2", [USABLE[0]])


@linux
def test_more_workers_than_cpus_are_refused_before_anything_is_done(plain: Command) -> None:
    many = str(len(USABLE) + 1)
    answer = plain("serve", "--example", "--cpu-affinity", "--workers", many)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"error: {many} workers cannot have a CPU each, because this process may use {len(USABLE)}:"
        " give --workers fewer, or leave --cpu-affinity out\n"
    )


def test_a_system_that_holds_no_process_to_a_cpu_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pytest.raises(affinity.NoCpus, match="leave --cpu-affinity out"):
        affinity.check(1)
