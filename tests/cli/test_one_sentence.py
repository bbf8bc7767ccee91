"""Whatever goes wrong, a command says it in one line and ends with an exit code, and no traceback is shown."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from service.storage.database import Database
from tests.cli.conftest import EXECUTABLE, Answer, Command
from tests.conftest import HEADER, new_tenant
from tests.postgres import Postgres

pytestmark = pytest.mark.process

_ROLE = "da_test_role"


def one_line(answer: Answer, *, code: int = 1) -> str:
    """Checks that a command has failed with one line, and gives it."""
    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "should not happen" not in answer.err
    return answer.err.removeprefix("error: ").rstrip()


def in_shell(command: Command, line: str, **variables: str) -> Answer:
    """Runs a line of shell in which $D is the command."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=command.folder,
        env=command.environment(D=str(EXECUTABLE), **variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def roled(postgres_server: Postgres, tmp_path: Path) -> Iterator[Command]:
    """The command as a role with no more rights than everybody has, in a database of another's."""
    url = postgres_server.fresh()
    owner = Database(url)
    new_tenant(owner)
    run(owner, f"CREATE ROLE {_ROLE} LOGIN PASSWORD 'hunter2'")
    as_role = make_url(url).set(username=_ROLE, password="hunter2")
    yield Command(tmp_path, as_role.render_as_string(hide_password=False))
    run(owner, f"DROP OWNED BY {_ROLE}", f"DROP ROLE {_ROLE}")
    owner.close()
    postgres_server.drop(url)


@pytest.fixture
def owner(roled: Command, postgres_server: Postgres) -> Iterator[Database]:
    """The same database as its owner has it."""
    other = postgres_server.create()
    found = Database(make_url(other).set(database=make_url(roled.url).database).render_as_string(hide_password=False))
    yield found
    found.close()
    postgres_server.drop(other)


def run(owner: Database, *statements: str) -> None:
    """Runs statements."""
    with owner.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_privileges_that_are_missing_are_named(roled: Command, owner: Database) -> None:
    serve = ("serve", "--grpc-address", "127.0.0.1:0")
    for answer in roled.each(("db", "check"), ("org", "list"), serve, (*serve, "--workers", "2")):
        assert "does not allow this: permission denied for table alembic_version" in one_line(answer)
    name = make_url(roled.url).database
    everything = f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {_ROLE}"
    run(owner, everything, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    file = roled.file(HEADER, "ada@example.com,A,thermostat")
    assert "permission denied to create temporary tables" in one_line(roled("import", "--org", "acme", file))
    run(owner, "DROP TABLE alembic_version")
    assert "permission denied for schema public" in one_line(roled("db", "upgrade"))
    run(owner, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    assert "permission denied for database" in one_line(roled("db", "check"))


def test_a_role_or_a_database_that_is_not_there_and_an_option_of_another_driver_are_named(roled: Command) -> None:
    url = make_url(roled.url)
    urls = {
        url.set(username="da_nobody"): 'role "da_nobody" does not exist',
        url.set(database="da_nothing"): 'database "da_nothing" does not exist',
        url.update_query_dict({"pgbouncer": "true"}): "does not know: pgbouncer",
        url.update_query_dict({"sslmode": "zz"}): 'invalid sslmode value: "zz"',
    }
    for wrong, problem in urls.items():
        other = Command(roled.folder, wrong.render_as_string(hide_password=False))
        for answer in other.each(("db", "check"), ("db", "upgrade")):
            assert problem in one_line(answer)
            assert "hunter2" not in answer.err


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("folder", "unable to open database file"),
        ("none/x.db", "No such file or directory"),
        ("file/x.db", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("loop/x.db", "Too many levels of symbolic links"),
        ("dangling", "unable to open database file"),
        ("text", "file is not a database"),
        ("a%00b", "NUL"),
    ],
)
def test_an_sqlite_path_that_cannot_be_is_named(tmp_path: Path, path: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "text").write_text("no database at all, but text " * 100)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    command = Command(tmp_path, f"sqlite:///{tmp_path}/{path}")
    upgrade, check, serve = command.each(("db", "upgrade"), ("db", "check"), ("serve", "--grpc-address", "127.0.0.1:0"))
    assert problem in one_line(upgrade)
    assert one_line(check) == one_line(serve)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read and write everything")
def test_an_sqlite_file_that_this_user_may_not_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in one_line(Command(tmp_path, f"sqlite:///{tmp_path}/x.db")("db", "upgrade"))
    tmp_path.chmod(0o700)


def test_output_that_cannot_be_written_is_told_and_is_no_success(sqlite: Command) -> None:
    for words in ("org list", "org list --json", "key list --json", "export --org acme", "--help"):
        closed = in_shell(sqlite, f"$D {words} >&-")
        assert one_line(closed) == "standard output cannot be written: Bad file descriptor"
        full = in_shell(sqlite, f"$D {words} >/dev/full")
        assert "No space left on device" in one_line(full)


def test_a_reader_that_has_enough_gets_no_complaint(sqlite: Command) -> None:
    for words in ("org list", "export --org acme", "--help"):
        answer = in_shell(sqlite, f"($D {words}; echo $? >&2) | :")
        assert (answer.out, answer.err) == ("", "1\n")


def test_without_standard_error_work_is_done_and_a_failure_is_an_exit_code(sqlite: Command) -> None:
    assert in_shell(sqlite, "$D org create other --json 2>&-").json["name"] == "other"
    assert in_shell(sqlite, "$D org create other 2>&-") == Answer(1, "", "")
    assert in_shell(sqlite, "$D org create other 2>/dev/full") == Answer(1, "", "")
    assert in_shell(sqlite, "$D org create other 2>&- >&- <&-") == Answer(1, "", "")


def test_a_server_without_any_stream_serves_and_no_file_gets_their_numbers(sqlite: Command) -> None:
    line = (
        "$D serve --grpc-address 127.0.0.1:0 {} <&- >&- 2>&- & pid=$!\n"
        "for i in $(seq 300); do [ -e test.db-wal ] && break; sleep 0.1; done; sleep 1\n"
        "for fd in 0 1 2; do readlink /proc/$pid/fd/$fd; done; kill $pid; wait $pid; echo $?"
    )
    for workers in ("", "--workers 2"):
        answer = in_shell(sqlite, line.format(workers))
        assert answer.out == "/dev/null\n/dev/null\n/dev/null\n0\n"


def test_a_key_file_may_begin_with_a_byte_order_mark(sqlite: Command) -> None:
    key = "da_00000000_" + "0" * 40
    files = {"bom": b"\xef\xbb\xbf" + key.encode(), "utf16": f"{key}\r\n".encode("utf-16")}
    for name, content in files.items():
        (sqlite.folder / name).write_bytes(content)
        answer = sqlite(
            "devices", "ada@example.com", "--api-key-file", name, "--address", "127.0.0.1:1", "--timeout", "0.1"
        )
        assert "cannot be reached" in one_line(answer)
    (sqlite.folder / "bad").write_bytes(b"da_\xff\xfe")
    answer = sqlite("devices", "ada@example.com", "--api-key-file", "bad")
    assert (answer.code, "a key is one line of ASCII characters" in answer.err) == (2, True)


def test_text_that_is_not_utf8_and_standard_input_that_is_closed_are_told(sqlite: Command) -> None:
    assert "cannot be written as utf-8" in one_line(in_shell(sqlite, "$D org create $'\\xff'"))
    assert "as ascii" in in_shell(sqlite, "$D org create Gerät", PYTHONIOENCODING="ascii").err
    assert "must name the columns" in one_line(in_shell(sqlite, "$D import --org acme - <&-"))
    bad = Command(sqlite.folder, "postgresql://\udcff@127.0.0.1:1/x")
    assert "cannot be read" in one_line(bad("db", "check"))


def test_a_defect_is_one_line_too_and_shows_where_it_is_when_asked(sqlite: Command) -> None:
    (sqlite.folder / "sitecustomize.py").write_text(
        "import service.cli.admin as admin\n"
        "def check(database): raise RuntimeError('lost ada@example.com\\nin two lines')\n"
        "admin.schema.check = check\n"
    )
    found = {"PYTHONPATH": str(sqlite.folder)}
    answer = sqlite("db", "check", **found)
    assert answer == Answer(
        1, "", "error: RuntimeError: lost [e-mail] (this should not happen; PYTHONDEVMODE=1 shows where it did)\n"
    )
    shown = sqlite("db", "check", **found, PYTHONDEVMODE="1", PYTHONWARNINGS="ignore")
    assert "Traceback" in shown.err
    assert "ada@" not in shown.err
