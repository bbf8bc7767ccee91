"""Prepared statements on libpq: values, reuse, pipelines, warnings, errors, cancellation and lost connections."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from service.storage.backend import Failure, Mode
from service.storage.postgresql import errors
from service.storage.postgresql.libpq import Session, Unconfirmed
from service.storage.postgresql.prepared import PreparedStatements
from tests.postgres import Postgres

pytestmark = pytest.mark.postgresql

Connection = psycopg.Connection[Any]


@pytest.fixture
def connect(postgres_server: Postgres) -> Iterator[Callable[[], Connection]]:
    """Opens connections to a database with the empty table `t (id int primary key, name text)`."""
    url = postgres_server.create()
    plain = url.replace("+psycopg", "")
    made: list[Connection] = []

    def opened() -> Connection:
        # Without psycopg's own preparing, as the service connects.
        made.append(psycopg.connect(plain, autocommit=True, prepare_threshold=None))
        return made[-1]

    opened().execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
    yield opened
    for connection in made:
        connection.close()
    postgres_server.drop(url)


@pytest.fixture
def connection(connect: Callable[[], Connection]) -> Connection:
    """The connection of the session."""
    return connect()


@pytest.fixture
def session(connection: Connection) -> Session:
    """A session."""
    return Session(connection, PreparedStatements("auto"))


INSERT = "INSERT INTO t (id, name) VALUES ($1, $2)"
IDS = "SELECT id FROM t ORDER BY id"


def stored(connect: Callable[[], Connection]) -> list[int]:
    return [row[0] for row in connect().execute(IDS)]


def prepared(connection: Connection) -> list[str]:
    found = connection.execute("SELECT statement FROM pg_prepared_statements ORDER BY prepare_time")
    return [row[0] for row in found]


def exchanges(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records the number of statements of each pipeline."""
    run, sent = session._pipeline.run, list[int]()

    def counted(statements: Any) -> Any:
        sent.append(len(statements))
        return run(statements)

    monkeypatch.setattr(session._pipeline, "run", counted)
    return sent


@pytest.mark.parametrize(
    ("cast", "value"),
    [
        ("text", None),
        ("text", ""),
        ("text", "é ☃ \U0001f600 '\" \\ $1 %s {}"),
        ("bigint", -(2**63)),
        ("bytea", b"\x00\xff'\\"),
        ("bytea", b""),
        ("text[]", []),
        ("text[]", [""]),
        ("text[]", ["a", 'b"c', "d\\e", "f,g", "{h}", "NULL", " i ", "é"]),
        ("text[]", ["plain", "words"]),
        ("text[]", ["d\\e", "f\\"]),
        ("text[]", ['"', ""]),
        ("bigint[]", [1, -2, 2**40]),
        ("timestamptz", datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_a_value_comes_back_as_it_was_sent(session: Session, cast: str, value: object) -> None:
    assert session.rows(f"SELECT CAST($1 AS {cast})", [value]) == [(value,)]


def test_columns_are_read_as_psycopg_reads_them(session: Session, connection: Connection) -> None:
    columns = "1, 2::bigint, true, 'x'::text, NULL, now(), 1.5::numeric, ARRAY['a'], 'b'::bytea"
    sql = f"SELECT {columns} FROM generate_series(1, 3)"
    session.begin("BEGIN")
    assert session.rows(sql, ()) == connection.execute(sql).fetchall()


def test_more_rows_than_one_chunk_are_all_read_in_order(session: Session) -> None:
    sql = "SELECT i, i::text FROM generate_series(1, 20000) AS s (i)"
    assert session.rows(sql, ()) == [(i, str(i)) for i in range(1, 20_001)]


@pytest.mark.parametrize("value", [1.5, object(), {"a": 1}])
def test_a_value_of_another_type_is_refused_before_anything_is_sent(session: Session, value: object) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="no parameter is a"):
        session.rows("SELECT $1::text", [value])
    assert session.rows("SELECT 1", ()) == [(1,)]


@pytest.mark.parametrize("value", ["a\0b", ["a", "\0"]])
def test_a_nul_character_is_refused_and_not_cut_off(session: Session, value: object) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        session.rows("SELECT $1::text", [value])


def test_a_statement_is_prepared_once_and_used_again(session: Session, connection: Connection) -> None:
    for number in range(3):
        session.run(INSERT, [number, "x"])
        session.rows(IDS, ())
    assert prepared(connection) == [INSERT, IDS]


def test_prepared_statements_survive_a_rollback(session: Session, connection: Connection) -> None:
    session.begin("BEGIN")
    session.run(INSERT, [1, "x"])
    connection.rollback()
    assert session.rows(IDS, ()) == []
    session.run(INSERT, [1, "x"])
    assert prepared(connection) == [INSERT, IDS]


def names(connection: Connection) -> list[str]:
    found = connection.execute("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")
    return [row[0] for row in found]


def test_the_name_of_a_statement_depends_on_its_text_alone(connect: Callable[[], Connection]) -> None:
    first, second = connect(), connect()
    for connection, statements in ((first, (INSERT, IDS)), (second, (IDS, INSERT))):
        session = Session(connection, PreparedStatements("auto"))
        for sql in statements:
            session._query(sql, [])
    assert names(first) == names(second)[::-1]
    assert len(set(names(first))) == 2


@pytest.mark.parametrize("away", ["missing", "exists already"])
@pytest.mark.parametrize(("mode", "after"), [("auto", []), ("always", [IDS])])
def test_a_statement_that_is_not_where_it_should_be_has_the_transaction_run_again(
    connection: Connection, away: str, mode: Mode, after: list[str]
) -> None:
    session = Session(connection, PreparedStatements(mode))
    session.rows(IDS, ())
    if away == "missing":
        connection.execute("DEALLOCATE ALL")
    else:
        session = Session(connection, session._statements)
    with pytest.raises(psycopg.Error) as caught:
        session.rows(IDS, ())
    assert errors.failure(caught.value) is Failure.RETRY
    connection.execute("DEALLOCATE ALL")
    for _ in range(2):
        assert session.rows(IDS, ()) == []
    assert prepared(connection) == after


def test_nothing_is_prepared_if_that_is_turned_off(connection: Connection) -> None:
    session = Session(connection, PreparedStatements("never"))
    session.begin("BEGIN")
    session.defer(INSERT, [1, "a"])
    assert session.batch([(IDS, ()), ("SELECT $1::text[]", [["b"]])]) == [[(1,)], [(["b"],)]]
    session.commit()
    assert session.rows(IDS, ()) == [(1,)]
    assert prepared(connection) == []


def test_after_a_change_of_a_table_the_connection_is_not_used_again(
    session: Session, connect: Callable[[], Connection]
) -> None:
    everything = "SELECT * FROM t"
    session.rows(everything, ())
    connect().execute("ALTER TABLE t ADD COLUMN more int")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        session.rows(everything, ())
    assert session.broken


ODD = ("datestyle = 'German'", "timezone = 'Asia/Kathmandu'", "bytea_output = escape", "extra_float_digits = -15")
TIME = datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)


def test_values_do_not_depend_on_what_the_session_is_set_to(session: Session, connection: Connection) -> None:
    for setting in ODD:
        connection.execute(f"SET {setting}")
    sql = "SELECT CAST($1 AS timestamptz), CAST($2 AS bytea), CAST('1.2345678901234567' AS float8)"
    ((time, data, number),) = session.rows(sql, [TIME, b"\0\\"])
    assert (time.isoformat(), data, number) == (TIME.isoformat(), b"\0\\", 1.2345678901234567)


def test_a_statement_that_cannot_be_prepared_is_not_taken_for_prepared(session: Session) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            session.rows("SELECT * FROM not_there", ())
    session.run("CREATE TABLE not_there (a int)", ())
    assert session.rows("SELECT * FROM not_there", ()) == []


def test_deferred_statements_are_sent_with_the_next_in_one_round_trip(
    session: Session, monkeypatch: pytest.MonkeyPatch, connect: Callable[[], Connection]
) -> None:
    sent = exchanges(session, monkeypatch)
    session.begin("BEGIN")
    session.defer(INSERT, [1, "a"])
    session.defer(INSERT, [2, "b"])
    assert sent == []
    assert session.rows(IDS, ()) == [(1,), (2,)]
    session.defer(INSERT, [3, "c"])
    session.commit()
    assert sent == [4, 2]
    assert stored(connect) == [1, 2, 3]


def test_a_batch_returns_the_rows_of_its_own_statements_alone(session: Session) -> None:
    session.begin("BEGIN")
    session.defer(INSERT, [1, "a"])
    assert session.batch([(IDS, ()), (INSERT, [2, "b"]), (IDS, ())]) == [[(1,)], [], [(1,), (2,)]]
    session.commit()


def test_a_transaction_without_a_statement_is_never_begun(
    session: Session, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = exchanges(session, monkeypatch)
    session.begin("BEGIN")
    session.commit()
    session.begin()
    session.commit()
    assert sent == []
    assert connection.info.transaction_status == TransactionStatus.IDLE


def test_a_statement_without_a_transaction_commits_by_itself(
    session: Session, connect: Callable[[], Connection]
) -> None:
    session.begin()
    session.run(INSERT, [1, "a"])
    assert stored(connect) == [1]


def test_psycopgs_cursors_can_be_used_in_the_same_transaction_after_a_flush(
    session: Session, connection: Connection, connect: Callable[[], Connection]
) -> None:
    session.begin("BEGIN")
    session.defer(INSERT, [1, "a"])
    session.flush()
    connection.execute("INSERT INTO t (id, name) VALUES (%s, %s)", [2, "b"])
    assert session.rows(IDS, ()) == [(1,), (2,)]
    assert stored(connect) == []
    session.commit()
    assert stored(connect) == [1, 2]


def test_an_error_in_the_middle_of_a_pipeline_ends_the_rest_and_leaves_the_connection_usable(
    session: Session, connection: Connection, connect: Callable[[], Connection]
) -> None:
    session.begin("BEGIN")
    session.defer(INSERT, [1, "a"])
    session.defer(INSERT, [1, "again"])
    session.defer(INSERT, [2, "never run"])
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        session.rows(IDS, ())
    assert caught.value.diag.constraint_name == "t_pkey"
    assert not session.broken
    assert connection.info.transaction_status == TransactionStatus.INERROR
    connection.rollback()
    assert stored(connect) == []
    session.begin("BEGIN")
    session.defer(INSERT, [3, "c"])
    session.commit()
    assert stored(connect) == [3]


def test_the_commit_of_a_transaction_that_has_failed_is_an_error(session: Session, connection: Connection) -> None:
    session.begin("BEGIN")
    session.run(INSERT, [1, "a"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        session.run(INSERT, [1, "a"])
    with pytest.raises(psycopg.InternalError, match="ROLLBACK"):
        session.commit()
    assert connection.info.transaction_status == TransactionStatus.IDLE


def test_a_new_transaction_forgets_what_the_last_one_deferred(
    session: Session, connect: Callable[[], Connection]
) -> None:
    session.begin("BEGIN")
    session.defer(INSERT, [1, "lost"])
    session.begin("BEGIN")
    session.defer(INSERT, [2, "kept"])
    session.commit()
    assert stored(connect) == [2]


RAISING = """
CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE {} ''not there yet''; RETURN NULL; END';
CREATE CONSTRAINT TRIGGER raising AFTER INSERT ON t DEFERRABLE INITIALLY {} FOR EACH ROW EXECUTE FUNCTION raising()
"""


@pytest.mark.parametrize(
    ("level", "when", "confirmed"),
    [("WARNING", "DEFERRED", False), ("NOTICE", "DEFERRED", True), ("WARNING", "IMMEDIATE", True)],
)
def test_a_commit_with_a_warning_of_its_own_is_not_confirmed(
    session: Session,
    connect: Callable[[], Connection],
    level: str,
    when: str,
    confirmed: bool,  # noqa: FBT001  # a parameter
) -> None:
    connect().execute(RAISING.format(level, when))
    session.begin("BEGIN")
    session.run(INSERT, [1, "a"])
    if confirmed:
        session.commit()
    else:
        with pytest.raises(Unconfirmed, match="not there yet"):
            session.commit()
    assert stored(connect) == [1]
    session.begin("BEGIN")
    session.run("SELECT 1", ())
    session.commit()


@pytest.mark.parametrize("deferred", [False, True])
def test_a_cancelled_statement_ends_in_an_error_and_the_connection_stays(
    session: Session,
    connection: Connection,
    deferred: bool,  # noqa: FBT001  # a parameter
) -> None:
    ended = threading.Event()

    def cancel() -> None:
        while not ended.wait(0.05):
            connection.cancel_safe(timeout=30)

    session.begin(*["BEGIN"] * deferred)
    # Before the thread is started, because preparing can be cancelled too.
    session._prepared("SELECT pg_sleep(600)")
    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    try:
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.run("SELECT pg_sleep(600)", ())
    finally:
        ended.set()
        cancelling.join()
    assert not session.broken
    # A cancel request that was sent last can still arrive.
    for _ in range(100):
        try:
            connection.rollback()
            assert session.rows("SELECT 1", ()) == [(1,)]
            break
        except psycopg.errors.QueryCanceled:
            continue


def test_other_threads_run_while_a_pipeline_waits(session: Session, connect: Callable[[], Connection]) -> None:
    """If the wait held the interpreter's lock, the other thread could not end it."""
    other = connect()
    other.execute("SELECT pg_advisory_lock(1)")
    releasing = threading.Timer(0.2, lambda: other.execute("SELECT pg_advisory_unlock(1)"))
    releasing.start()
    session.begin("BEGIN")
    assert session.rows("SELECT 1 FROM pg_advisory_xact_lock(1)", ()) == [(1,)]
    session.commit()
    releasing.join()


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_connection_that_the_server_has_ended_is_broken(
    session: Session,
    connection: Connection,
    connect: Callable[[], Connection],
    in_pipeline: bool,  # noqa: FBT001  # a parameter
) -> None:
    session.rows(IDS, ())
    pid = connection.info.backend_pid
    assert connect().execute("SELECT pg_terminate_backend(%s, 30000)", [pid]).fetchone() == (True,)
    session.begin(*["BEGIN"] * in_pipeline)
    with pytest.raises(psycopg.OperationalError):
        session.rows(IDS, ())
    assert session.broken
    assert connection.closed
    with pytest.raises(psycopg.OperationalError):
        session.rows(IDS, ())


def test_a_connection_that_ends_during_a_pipeline_is_broken(
    session: Session, connection: Connection, connect: Callable[[], Connection]
) -> None:
    session.begin("BEGIN")
    session.defer("SELECT pg_terminate_backend(pg_backend_pid())", ())
    with pytest.raises(psycopg.OperationalError):
        session.rows(IDS, ())
    assert session.broken
    assert stored(connect) == []


def test_a_pipeline_that_is_interrupted_closes_the_connection(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_statements: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(session._pipeline, "run", interrupted)
    session.begin("BEGIN")
    with pytest.raises(KeyboardInterrupt):
        session.rows(IDS, ())
    assert session.broken


def test_large_parameters_and_large_results_pass_each_other(session: Session) -> None:
    """Both sides would wait for ever if the pipeline only wrote until everything was sent."""
    text = "x" * 4_000_000
    session.begin("BEGIN")
    results = session.batch([("SELECT $1::text", [text])] * 8)
    assert results == [[(text,)]] * 8
    session.commit()


def test_a_session_is_freed_without_the_garbage_collector(connect: Callable[[], Connection]) -> None:
    connection = connect()
    session = Session(connection, PreparedStatements("auto"))
    session.rows(IDS, ())
    gc.collect()
    gc.disable()
    try:
        freed = weakref.ref(session._pipeline)
        del session
        assert freed() is None
    finally:
        gc.enable()
