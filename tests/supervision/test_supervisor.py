"""The supervisor, with real processes: what dies, hangs or will not stop, and who is told."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
IN_A_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")


class Running:
    """A supervisor, what its children tell, and what it logs."""

    def __init__(self, names: tuple[str, ...], within: tuple[str, ...] = (), **seconds: str) -> None:
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "tests.supervision.children", *names],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "generated", **seconds},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line) if line.startswith("{") else {"text": line})

    def told(self, **what: object) -> list[dict[str, Any]]:
        """The lines that say all of this."""
        return [line for line in list(self.lines) if what.items() <= line.items()]

    def wait_for(self, count: int = 1, **what: object) -> list[dict[str, Any]]:
        """Waits until so many lines say all of this."""
        eventually(lambda: len(self.told(**what)) >= count, lambda: f"{what} in {self.lines}")
        return self.told(**what)

    def pids(self, name: str) -> list[int]:
        """The processes that this child has been, the last one last."""
        return [line["pid"] for line in self.told(event="process started", name=name)]

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the supervisor."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Waits for its end and gives its exit code."""
        code = self.process.wait(120)
        self._reader.join(120)
        return code


def eventually(condition: Callable[[], object], what: Callable[[], str], limit: float = 120) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


Supervise = Callable[..., Running]


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Starts supervisors: `supervise("serves", "crashes", HEARTBEAT_SECONDS="5")`."""
    started: list[Running] = []

    def start(*names: str, within: tuple[str, ...] = (), **seconds: str) -> Running:
        started.append(Running(names, within, **seconds))
        return started[-1]

    yield start
    for running in started:
        left = [line["pid"] for line in running.told(event="process started")] if not within_namespace(running) else []
        if running.process.poll() is None:
            running.process.kill()
            running.ended()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert running.process.stdout is not None
        running.process.stdout.close()


def within_namespace(running: Running) -> bool:
    return running.process.args[0] == IN_A_NAMESPACE[0]  # type: ignore[index]  # it is a list


def test_it_ends_with_0_when_all_have_ended_as_asked(supervise: Supervise) -> None:
    running = supervise("serves", "serves")
    running.wait_for(all_serve=True, name="serves-1")
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert {line["name"] for line in running.told(ended=True)} == {"serves-0", "serves-1"}
    assert len([line for line in running.told(all_serve=True) if "name" not in line]) == 1


def test_a_process_that_ends_owes_the_log_nothing(supervise: Supervise) -> None:
    running = supervise("owes")
    running.wait_for(all_serve=True)
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert [line["number"] for line in running.told(event="call")] == [0, 1, 2, 3, 4]


def test_a_dead_process_is_started_again_and_the_others_hear_of_it(supervise: Supervise) -> None:
    running = supervise("serves", "serves")
    running.wait_for(all_serve=True, name="serves-1")
    os.kill(running.pids("serves-0")[0], signal.SIGKILL)
    running.wait_for(all_serve=False, name="serves-1")
    running.wait_for(2, all_serve=True, name="serves-1")
    assert len(running.pids("serves-0")) == 2
    assert running.told(event="process died", signal="SIGKILL", name="serves-0")
    running.send(signal.SIGTERM)
    assert running.ended() == 0


def test_processes_that_die_before_any_serves_are_given_up_and_the_others_stopped(supervise: Supervise) -> None:
    running = supervise("starts", "crashes")
    assert running.ended() == 2
    assert running.told(gave_up="crashes-1 died 5 times before it served; the log says why")
    assert running.told(name="starts-0", ended=True)
    delays = [line["again_in_seconds"] for line in running.told(event="process died", exit_code=3)]
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]


def test_a_front_alone_keeps_nobody_from_giving_up(supervise: Supervise) -> None:
    running = supervise("client:serves", "crashes")
    assert running.ended() == 2
    assert running.told(gave_up="crashes-1 died 5 times before it served; the log says why")


def test_a_process_that_cannot_start_is_tried_for_as_long_as_another_serves(supervise: Supervise) -> None:
    running = supervise("serves", "crashes")
    running.wait_for(6, event="process died", name="crashes-1")
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert len(running.pids("serves-0")) == 1
    assert not running.told(all_serve=True)


def test_a_process_that_hangs_is_replaced(supervise: Supervise) -> None:
    running = supervise("serves", "serves", HEARTBEAT_SECONDS="5")
    running.wait_for(all_serve=True, name="serves-1")
    os.kill(running.pids("serves-0")[0], signal.SIGSTOP)
    running.wait_for(event="process hangs", name="serves-0")
    running.wait_for(2, all_serve=True, name="serves-1")
    assert len(running.pids("serves-1")) == 1
    running.send(signal.SIGTERM)
    assert running.ended() == 0


def test_a_process_that_does_not_stop_is_killed_and_the_exit_code_tells(supervise: Supervise) -> None:
    running = supervise("serves", "stubborn", STOP_SECONDS="5")
    running.wait_for(all_serve=True)
    running.send(signal.SIGTERM)
    assert running.ended() == 1
    assert running.told(event="process does not stop", name="stubborn-1")
    assert running.told(name="serves-0", ended=True)
    assert not alive(running.pids("stubborn-1")[0])


def test_a_front_has_stopped_before_those_it_calls_are_asked_to(supervise: Supervise) -> None:
    running = supervise("serves", "client:slow", "serves")
    running.wait_for(all_serve=True)
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    order = [line["name"] for line in running.lines if "slowly" in line or "ended" in line]
    assert order[:2] == ["slow-1", "slow-1"]
    assert sorted(order[2:]) == ["serves-0", "serves-2"]


def test_more_signals_change_nothing(supervise: Supervise) -> None:
    running = supervise("slow", "slow")
    running.wait_for(all_serve=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        running.send(number)
        time.sleep(0.2)
    assert running.ended() == 0
    assert len(running.told(slowly=True)) == 2


def test_sighup_ends_nothing_and_goes_to_every_process(supervise: Supervise) -> None:
    running = supervise("serves", "hears")
    running.wait_for(name="hears-1", all_serve=True)
    pids = [*running.pids("serves-0"), *running.pids("hears-1")]
    running.send(signal.SIGHUP)
    running.wait_for(name="hears-1", heard="SIGHUP")
    for _ in range(50):
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        running.send(signal.SIGHUP)
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert len(pids) == len(running.told(event="process started"))


def test_a_signal_at_its_very_start_is_heeded(supervise: Supervise) -> None:
    running = supervise("serves", "serves")
    running.wait_for(event="process started")
    running.send(signal.SIGTERM)
    assert running.ended() == 0
    assert not any(alive(line["pid"]) for line in running.told(event="process started"))


def test_nobody_outlives_a_supervisor_that_was_killed(supervise: Supervise) -> None:
    running = supervise("serves", "stubborn", STOP_SECONDS="5")
    running.wait_for(all_serve=True)
    pids = [*running.pids("serves-0"), *running.pids("stubborn-1")]
    assert all(map(alive, pids))
    running.send(signal.SIGKILL)
    eventually(lambda: not any(map(alive, pids)), lambda: f"{pids} live on")
    assert running.told(name="serves-0", ended=True)


def test_as_the_first_process_of_a_container_it_stops_and_buries_strangers(supervise: Supervise) -> None:
    if subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make a process namespace")
    running = supervise("leaves", "serves", within=IN_A_NAMESPACE)
    running.wait_for(all_serve=True)
    [first] = children_of(running.process.pid)
    eventually(lambda: len(children_of(first)) == 2, lambda: f"a stranger is left: {children_of(first)}")
    os.kill(first, signal.SIGTERM)
    assert running.ended() == 0
    assert len(running.told(ended=True)) == 2


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
