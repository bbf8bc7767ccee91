"""The README's tour, run as a newcomer would: every command, and every answer compared with the printed one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"^```(sh tour|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = re.compile(r"\b(?:cust|dev|op|rev|key|org)_\w+|\d{4}-\d\d-\d\dT[\d:.]+Z|\bWyJ[\w-]+")
_END = "=== end of the answer ==="


def _tour() -> list[tuple[str, object]]:
    """Gives the tour's commands, each with the answer that the README prints, or None."""
    text = (ROOT / "README.md").read_text()
    text = text[text.index("## A tour") : text.index("## Retry it safely")]
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


def test_the_tour_of_the_readme_gives_the_printed_answers(tmp_path: Path) -> None:
    steps = _tour()
    assert sum(printed is not None for _, printed in steps) == 7
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    commands = "".join(f"{command.replace('50051', str(port))}\necho '{_END}'\n" for command, _ in steps)
    script = f"set -eu\n{commands}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DEVICE_ASSIGNMENT_")}
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Not `communicate`: the server in the background holds the pipe open.
        assert shell.stdout is not None
        output = ""
        while output.count(_END) < len(steps):
            line = shell.stdout.readline()
            assert line, f"the tour broke off:\n{output}\n{(tmp_path / 'server.log').read_text()}"
            output += line
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
    printed_names, given_names = _Names(), _Names()
    for (command, printed), given in zip(steps, output.split(_END), strict=False):
        if printed is not None:
            assert given_names.of(json.loads(given)) == printed_names.of(printed), command
