"""The tour of the documents, as a newcomer runs it: every command, and every answer compared with the printed one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^```(sh tour|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = re.compile(r"\b(?:cust|dev|op|rev|key|org)_\w+|\d{4}-\d\d-\d\dT[\d:.]+Z|\bWyJ[\w-]+")
_END = "=== end of the answer ==="


def _tour() -> list[tuple[str, object]]:
    """Returns the commands of the tour, each with the printed answer, or None."""
    text = (ROOT / "docs" / "tour.md").read_text()
    steps: list[tuple[str, object]] = []
    for kind, body in _BLOCK.findall(text):
        if kind == "json":
            steps[-1] = (steps[-1][0], json.loads(body))
        else:
            steps.append((body, None))
    return steps


class _Names:
    """Names ids and times by the order of their appearance, so that two runs can be compared."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def of(self, answer: object) -> str:
        def name(match: re.Match[str]) -> str:
            return self._names.setdefault(match[0], f"<{len(self._names)}>")

        return _VARYING.sub(name, json.dumps(answer, sort_keys=True))


def test_the_tour_gives_the_printed_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    steps = _tour()
    assert sum(printed is not None for _, printed in steps) == 7
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clone, temporary = tmp_path / "clone", tmp_path / "temporary"
    temporary.mkdir()
    (clone / ".venv").mkdir(parents=True)
    (clone / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    commands = "".join(f"{command.replace('50061', str(port))}\necho '{_END}'\n" for command, _ in steps)
    script = f"set -eu\n{commands}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DEVICE_ASSIGNMENT_")}
    environment["TMPDIR"] = str(temporary)
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Not `communicate`: where the tour fails, the server in the background holds the pipe open.
        assert shell.stdout is not None
        output = ""
        while output.count(_END) < len(steps):
            line = shell.stdout.readline()
            assert line, f"the tour ended early:\n{output}\n{[log.read_text() for log in temporary.rglob('*.log')]}"
            output += line
        assert shell.wait(120) == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(shell.pid, 0)  # the server has ended, too
        assert list(temporary.iterdir()) == []
        assert [path.name for path in clone.iterdir()] == [".venv"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
    printed_names, given_names = _Names(), _Names()
    for (command, printed), given in zip(steps, output.split(_END), strict=False):
        if printed is not None:
            assert given_names.of(json.loads(given)) == printed_names.of(printed), command
