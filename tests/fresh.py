"""Checks that what is made from something else is up to date: `python -m tests.fresh`, part of `make check`."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

from service.storage import schema
from service.storage.database import Database
from tests import postgres
from tools import docs
from tools.openapi import files as openapi_files
from tools.openapi.document import DocumentError


def stale_generated() -> list[str]:
    """Names the files of `generated/` that differ from what `make proto` makes.

    Raises:
        DocumentError: a call has no example.
    """
    with tempfile.TemporaryDirectory() as folder:
        protos = sorted(str(path) for path in Path("protos/deviceassignment/v1").glob("*.proto"))
        plugins = Path(sys.executable).parent
        descriptors = Path(folder) / "deviceassignment" / "v1" / "descriptors.binpb"
        descriptors.parent.mkdir(parents=True)
        protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos"]
        subprocess.run(
            [
                *protoc,
                f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
                f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
                f"--python_out={folder}",
                f"--grpc_python_out={folder}",
                f"--mypy_out=quiet:{folder}",
                f"--mypy_grpc_out=quiet:{folder}",
                *protos,
            ],
            check=True,
        )
        subprocess.run(
            [
                *protoc,
                "--include_imports",
                "--include_source_info",
                f"--descriptor_set_out={descriptors}",
                *protos,
                "protos/grpc/reflection/v1/reflection.proto",
            ],
            check=True,
        )
        openapi_files.write(descriptors.parent)
        made, kept = _files(Path(folder)), _files(Path("generated"))
        same = filecmp.cmpfiles(folder, "generated", [str(path) for path in made & kept], shallow=False)[0]
        return sorted(str(path) for path in made | kept if str(path) not in same)


def _files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def drifted() -> list[str]:
    """Names the differences between the migrations' tables and the code's, on both databases."""
    with postgres.running() as server, tempfile.TemporaryDirectory() as folder:
        found = []
        for url in (f"sqlite:///{folder}/drift.db", server.create()):
            database = Database(url)
            schema.upgrade(database)
            found += [f"{database.engine.dialect.name}: {difference}" for difference in schema.drift(database)]
            database.close()
        return found


def main() -> None:
    """Prints what is stale and how to mend it; exits with 1 if anything is."""
    try:
        problems = [f"generated/{name} is out of date; run: make proto" for name in stale_generated()]
    except DocumentError as error:
        problems = [str(error)]
    problems += [f"{name} is not what tools/docs.py makes; run: make docs" for name in docs.stale()]
    problems += [f"the migrations do not lead to tables.py: {difference}" for difference in drifted()]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
