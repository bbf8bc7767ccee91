"""Checks that the protos break no client: `python -m tests.contract`, part of `make check`.

They are compared with the contract of the newest release, and before the first one with `protos/contract.yaml`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

CONTRACT = Path("protos/contract.yaml")

_BUF = str(Path(sys.executable).parent / "buf")
_RENEW = f"run `make contract`, commit {CONTRACT}, and write a line in CHANGELOG.md"


def build(path: Path) -> None:
    """Writes the contract that the protos make, without comments."""
    subprocess.run([_BUF, "build", "--exclude-source-info", "-o", path], check=True)


def problems() -> list[str]:
    """Names each change that breaks clients, and what to do."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "--exclude", "*rc*").strip()
    released = _git("show", f"{tag}:{CONTRACT}") if tag else ""
    against = released or CONTRACT.read_text()
    compared = subprocess.run(
        [_BUF, "breaking", "--against", "-#format=yaml"], input=against, check=False, capture_output=True, text=True
    )
    found = [*compared.stdout.splitlines(), *compared.stderr.splitlines()]
    if compared.returncode and released:
        found.append(f"clients of {tag} would break; add fields, rpcs or a package instead")
    elif compared.returncode:
        found.append(f"clients would break; if that is intended, {_RENEW}")
    elif _is_stale():
        found.append(f"{CONTRACT} is not what the protos make; {_RENEW}")
    return found


def _git(*arguments: str) -> str:
    """Returns what git prints: nothing if it has no answer, or if there is no repository."""
    return subprocess.run(["git", *arguments], check=False, capture_output=True, text=True).stdout


def _is_stale() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / CONTRACT.name
        build(made)
        return made.read_text() != CONTRACT.read_text()


def main() -> None:
    """Prints what breaks clients; exits with 1 if anything does. With `--renew`, writes the contract instead."""
    if sys.argv[1:] == ["--renew"]:
        build(CONTRACT)
        return
    found = problems()
    for problem in found:
        sys.stderr.write(f"{problem}\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
