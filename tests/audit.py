"""Asks whether a pinned package has a known vulnerability: `python -m tests.audit`, part of `make check`.

Where the service with the data cannot be asked, one line says that nothing was looked at, and the check goes on.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCKS = ("requirements.lock", "requirements-tracing.lock", "requirements-dev.lock", "requirements-build.lock")

_MAX_SECONDS = 180

# How pip-audit's output ends where it was the service that failed, and not the lock files or pip-audit itself.
_NOT_ANSWERED = ("requests.exceptions.", "pip_audit._service.interface.")


def audit(url: str = "") -> tuple[int, str]:
    """Looks every pinned package up in the OSV database.

    Args:
        url: a service that speaks OSV's API, if not OSV's own.

    Returns:
        The exit status and the text to print. The status is 1 if a package has a vulnerability.
    """
    command = [str(Path(sys.executable).parent / "pip-audit"), "--require-hashes", "--disable-pip"]
    command += [word for lock in LOCKS for word in ("--requirement", lock)]
    command += ["--vulnerability-service", "osv", *(["--osv-url", url] if url else [])]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=_MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 0, f"audit: looked at nothing: the OSV database did not answer within {_MAX_SECONDS} s"
    if not done.stdout:
        reason = done.stderr.strip().rpartition("\n")[2][:200]
        if reason.startswith(_NOT_ANSWERED):
            return 0, f"audit: looked at nothing: the OSV database could not be asked ({reason.partition(':')[0]})"
        return 1, f"audit: pip-audit failed: {reason}"
    packages = json.loads(done.stdout)["dependencies"]
    looked_at = [package for package in packages if "vulns" in package]
    problems = [
        f"audit: {package['name']} {package['version']} has the vulnerability {vulnerability['id']},"
        f" fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for package in looked_at
        for vulnerability in package["vulns"]
    ]
    skipped = len(packages) - len(looked_at)
    summary = f"audit: {len(looked_at)} packages looked at, {skipped} not known, {len(problems)} vulnerabilities"
    return bool(problems), "\n".join([*problems, summary])


if __name__ == "__main__":
    status, text = audit()
    print(text)  # noqa: T201  # the check's answer
    sys.exit(status)
