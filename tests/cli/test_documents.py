"""The documents: their commands and programs work, and their links lead somewhere."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Launch

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_PYTHON = re.compile(r"^```python client\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_the_python_of_the_clients_page_works_and_its_watch_outlives_restarts(
    tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
    server = launch(command, "--example")
    monkeypatch.setenv("API_KEY", (tmp_path / "example.api-key").read_text().strip())
    monkeypatch.chdir(ROOT)
    blocks = _PYTHON.findall((ROOT / "docs" / "clients.md").read_text())
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("50051", str(server.port)), names)  # noqa: S102  # as a reader pastes it
    assert capsys.readouterr().out == (
        "SN-9999 SKIP_REASON_UNKNOWN_DEVICE\n"
        "StatusCode.INVALID_ARGUMENT ERROR_REASON_INVALID_FIELDS"
        " {'customer_email': 'must be an e-mail address such as name@example.com',"
        " 'device_identifiers': 'must name at least one device'}\n"
    )

    # Twice, as it may be pasted twice: a fixed request id would be refused or answered as before.
    exec(blocks[1], names)  # noqa: S102  # as above
    assert names["answer"].skipped == ["SN-1001", "SN-1002", "SN-9999"]

    watch = names["watch"]()
    seen = [next(watch)[0].operation_id for _ in range(2)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        server.stop(number)
        server = launch(command, "--grpc-address", f"127.0.0.1:{server.port}")
        pb = names["pb"]
        made = names["stub"].AssignDevice(
            pb.AssignDeviceRequest(device_identifier="SN-1001", customer_emails=[f"{number}@example.com"]),
            metadata=names["metadata"],
        )
        seen.append(next(watch)[0].operation_id)
        assert seen[-1] == made.operation_id
    assert len(set(seen)) == len(seen)
    watch.close()
    for channel in ("channel", "streams"):
        names[channel].close()


def test_the_readme_and_the_check_of_health_work_when_pasted_twice(
    tmp_path: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
    server = launch(command, "--example", "--rest-address", "127.0.0.1:0")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)

    def ported(text: str) -> str:
        for written, port in (("50051", server.port), ("8080", server.rest_port)):
            text = text.replace(written, str(port))
        return text.replace("/opt/device-assignment/bin/python", sys.executable)

    def paste(text: str) -> str:
        return subprocess.run(["bash", "-ec", text], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    readme, operate = ((ROOT / name).read_text() for name in ("README.md", "docs/operate.md"))
    [rest] = [block for block in _SHELL.findall(readme) if "deviceAssignment/unassign" in block]
    [buf] = [block for block in _SHELL.findall(readme) if "buf curl" in block]
    [health] = [block for block in _SHELL.findall(operate) if "HealthStub" in block]
    [ready] = [block for block in _SHELL.findall(readme) if "readyz" in block]
    [python] = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("API_KEY", (tmp_path / "example.api-key").read_text().strip())
    for unassigned in (["SN-1001", "SN-1002"], []):
        answer = json.loads(paste(ported(rest)))
        assert (answer["unassignedDevices"], answer["devicesRemaining"]) == (unassigned, ["SN-1003"])
        assert json.loads(paste(ported(buf)))["devicesRemaining"] == ["SN-1003"]
        exec(ported(python), {})  # noqa: S102  # as above
        assert 'devices_remaining: "SN-1003"' in capsys.readouterr().out
        assert paste(ported(health)) == "SERVING\n"
        assert paste(ported(ready)) == '{"status":"ready"}\n'


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for link in _LINK.findall(re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)):
        if link.startswith(("http:", "https:")):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _anchors(document: Path) -> set[str]:
    """Returns the anchors of a document's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(document.read_text())
    }
