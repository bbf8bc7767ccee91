"""Schemathesis finds no difference between the OpenAPI document and the real gateway and server."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import Tenant
from tests.rest_gateway.conftest import Begin, Launch

FOLDER = Path(__file__).parent


def test_schemathesis_finds_nothing(begin: Begin, launch: Launch, tenant: Tenant, tmp_path: Path) -> None:
    """All its phases and all its checks; streams end soon, so that they are read to their end."""
    _, port = begin(stream_seconds=0.05)
    gateway = launch(port)
    found = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis",
            f"--config-file={FOLDER / 'schemathesis.toml'}",
            "--no-color",
            "run",
            f"http://127.0.0.1:{gateway.port}/openapi.json",
        ],
        env=os.environ | {"API_KEY": tenant.api_key, "PYTHONPATH": str(FOLDER)},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Tested: 23" in found.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in found.stdout
