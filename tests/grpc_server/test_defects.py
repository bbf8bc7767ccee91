"""A defect: the caller gets a generic text and an id, the log the cause under that id, and nobody anything personal."""

import grpc
from sqlalchemy import text

from service.runtime.redaction import redact
from service.storage.database import Database
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import Log

REQUEST_ID = "123e4567-e89b-12d3-a456-426614174000"


def change(database: Database, *statements: str) -> None:
    """Changes the tables behind the server's back."""
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_an_unexpected_error_is_internal_and_its_cause_stands_in_the_log_under_the_call_id(
    logged: Log, client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    change(database, "ALTER TABLE reply RENAME TO reply_gone")
    broken = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], request_id=REQUEST_ID, note="geheim"))
    assert (broken.code, broken.reason) == (grpc.StatusCode.INTERNAL, "ERROR_REASON_INTERNAL")
    assert broken.text == "Something went wrong inside the service; quote the call_id when you report it"
    [defect] = [event for event in logged.events("defect") if event["call_id"] == broken.metadata["call_id"]]
    assert "reply" in defect["exception"]
    assert "Traceback" in defect["exception"]
    for private in ("ada@example.com", "geheim", tenant.api_key, REQUEST_ID):
        assert private not in logged.text
    change(database, "ALTER TABLE reply_gone RENAME TO reply")
    answer = client.unassign(tenant, "ada@example.com", ["A"], request_id=REQUEST_ID)
    assert list(answer.unassigned_devices) == ["A"]


def test_a_defect_in_the_middle_of_the_work_leaves_nothing_half_done(
    logged: Log, client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    change(database, "ALTER TABLE customer_revision RENAME TO customer_revision_gone")
    assert failure(lambda: client.unassign(tenant, "ada@example.com", ["A"])).reason == "ERROR_REASON_INTERNAL"
    change(database, "ALTER TABLE customer_revision_gone RENAME TO customer_revision")
    assert client.devices(tenant, "ada@example.com") == ["A", "B"]
    assert list(client.unassign(tenant, "ada@example.com", ["A"]).devices_remaining) == ["B"]


def test_a_row_that_the_database_quotes_does_not_reach_the_log(
    logged: Log, client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    if database.engine.dialect.name == "postgresql":
        change(database, "ALTER TABLE operation ADD CONSTRAINT broken CHECK (note = '') NOT VALID")
    else:
        change(
            database,
            "CREATE TRIGGER broken BEFORE INSERT ON operation BEGIN "
            "SELECT RAISE(ABORT, 'broken for ada@example.com'); END",
        )
    note = "geheim, line one\nverborgen, line two\n\nheimlich, line four"
    broken = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], note=note))
    assert broken.reason == "ERROR_REASON_INTERNAL"
    [defect] = logged.events("defect")
    assert "broken" in defect["exception"]
    for private in ("geheim", "verborgen", "heimlich", "ada@example.com", tenant.api_key):
        assert private not in logged.text


def test_redaction_takes_out_addresses_keys_and_rows_and_leaves_the_cause() -> None:
    key = "da_AbCd1234_" + "x" * 40
    told = (
        f'IntegrityError: duplicate key for "ada@example.com" <Ada.B+c@bücher.example>, key {key}, x=ü@localhost\n'
        "DETAIL:  Failing row contains (org_1, a note\nof two lines, 2026).\n"
        "[SQL: INSERT INTO operation]\n"
        "CONTEXT:  while inserting Ada\n"
        '  File "service/app.py", line 3'
    )
    clean = redact(told)
    for private in ("ada@", "Ada", "bücher", "localhost", key, "da_AbCd1234", "org_1", "note", "two lines"):
        assert private not in clean
    for kept in ("IntegrityError: duplicate key for", "[SQL: INSERT INTO operation]"):
        assert kept in clean
