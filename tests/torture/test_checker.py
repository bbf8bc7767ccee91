"""The checker finds each kind of wrong record, and leaves good ones alone."""

import pytest

from tests.torture.records import ADA, BOB, CY, CY_TOO, NOON, Record, at


@pytest.fixture
def record() -> Record:
    """A record of some good calls, the customers' ids being cust_1 to cust_3."""
    made = Record()
    made.assign(ADA, "D1", "D2", "D3")
    made.transfer(ADA, BOB, "D1")
    made.unassign(ADA, "D2")
    return made


def refused(record: Record, rpc: str, reason: str, **request: object) -> dict[str, object]:
    return record.call(rpc, dict(request), status="FAILED_PRECONDITION", reason=f"ERROR_REASON_{reason}")


def test_a_good_record_passes(record: Record) -> None:
    record.listed(ADA)
    record.lookup("D1")
    record.lookup("D2", at=at(1))["answer"]["results"][0]["owners"] = [
        {"customer_id": "cust_1", "email": ADA, "assigned_at": at(1)}
    ]
    record.rename("cust_3", CY_TOO)
    record.rename("cust_3", CY)
    refused(record, "UnassignDevice", "DEVICE_NOT_ASSIGNED", customer_email=ADA, device_identifier="D1")
    refused(record, "ListAssignedDevices", "CUSTOMER_NOT_FOUND", customer_email=CY_TOO)
    refused(record, "CreateOrUpdateCustomer", "EMAIL_TAKEN", email=CY)
    assert record.check() == []


def test_calls_without_an_answer_may_have_been_done_or_not_and_long_after_they_were_made(record: Record) -> None:
    record.assign(BOB, "D4", answered=False)  # done
    late = record.unassign(BOB, "D4", answered=False)
    late["start"], late["end"] = 1, 2  # made at first, and done when D4 was there
    record.call("UnassignDevices", {"customer_email": ADA, "device_identifiers": ["D3"]}, status="DEADLINE_EXCEEDED")
    record.call("CreateOrUpdateCustomer", {"email": CY_TOO, "telemetron_customer_id": "cust_3"}, status="CANCELLED")
    refused(record, "ListAssignedDevices", "CUSTOMER_NOT_FOUND", customer_email=CY)
    record.listed(ADA)
    assert record.check() == []


def test_a_call_that_is_answered_at_the_second_attempt_may_have_been_done_at_the_first(record: Record) -> None:
    call = record.unassign(ADA, "D3")
    first = {**call, "status": "UNAVAILABLE", "answer": {}, "digest": ""}
    record.entries.insert(record.entries.index(call), first)
    record.listed(ADA)
    call["start"], call["end"] = record.now, record.now + 1
    assert record.check() == []


def test_a_gap_in_the_revisions_is_found(record: Record) -> None:
    row = record.rows("customer_revision")[-1]
    row["revision"] += 1
    assert "rows" in record.kinds()


def test_overlapping_spans_of_an_assignment_are_found(record: Record) -> None:
    record.current["cust_1"].pop("D3")
    record.assign(ADA, "D3")
    assert "rows" in record.kinds()


def test_a_current_assignment_that_the_operations_do_not_lead_to_is_found(record: Record) -> None:
    del record.current["cust_1"]["D3"]
    assert record.kinds() == {"rows"}


def test_a_time_that_goes_back_for_a_customer_is_found(record: Record) -> None:
    record.rows("operation")[-1]["occurred_at"] = NOON
    record.rows("customer_revision")[-1]["occurred_at"] = NOON
    assert "rows" in record.kinds()


def test_an_answer_that_claims_what_was_not_there_is_found(record: Record) -> None:
    answer = record.unassign(ADA, "D3")["answer"]
    answer["skipped"], answer["skip_reasons"] = ["D1"], ["SKIP_REASON_NOT_ASSIGNED"]
    assert record.kinds() == {"customer"}


def test_a_list_of_what_remains_that_is_not_exact_is_found(record: Record) -> None:
    record.unassign(ADA, "D3")["answer"]["devices_remaining"] = ["D3"]
    assert record.kinds() == {"customer"}


def test_a_read_that_is_older_than_a_change_acknowledged_before_is_found(record: Record) -> None:
    stale = record.listed(ADA)
    record.unassign(ADA, "D3")
    stale["start"], stale["end"] = record.now, record.now + 1
    assert record.kinds() == {"customer", "order"}


def test_a_read_of_a_change_that_began_later_is_found(record: Record) -> None:
    record.unassign(ADA, "D3")
    early = record.listed(ADA)
    early["start"], early["end"] = 0, 1
    assert "customer" in record.kinds()


def test_changes_in_another_order_than_time_allows_are_found(record: Record) -> None:
    first, second = record.assign(ADA, "D4"), record.assign(ADA, "D5")
    for name in ("start", "end"):
        first[name], second[name] = second[name], first[name]
    assert record.kinds() == {"customer", "order"}


def test_two_customers_that_are_each_in_order_but_not_together_are_found(record: Record) -> None:
    # Two transfers at once, of which one came first for the one customer and the other for the other.
    before_ada, before_bob = record.listed(ADA), record.listed(BOB)
    record.transfer(ADA, BOB, "D3")
    after_ada, after_bob = record.listed(ADA), record.listed(BOB)
    # One caller sees the source after and then the target before it; every customer alone allows that.
    late = max(entry["end"] for entry in record.entries if entry["kind"] == "call")
    transfer = record.calls[max(number for number, call in record.calls.items() if call["rpc"] == "TransferDevices")]
    transfer["end"] = late + 10
    after_ada["start"], after_ada["end"] = late + 1, late + 2
    before_bob["start"], before_bob["end"] = late + 3, late + 4
    before_ada["end"], after_bob["start"], after_bob["end"] = late, late + 5, late + 6
    assert record.kinds() == {"order"}


def test_a_lookup_that_fits_no_moment_of_its_call_is_found(record: Record) -> None:
    lookup = record.lookup("D3")
    record.unassign(ADA, "D3")
    lookup["start"], lookup["end"] = record.now, record.now + 1
    assert record.kinds() == {"customer"}


def test_a_refusal_that_fits_no_moment_of_its_call_is_found(record: Record) -> None:
    refused(record, "UnassignDevice", "DEVICE_NOT_ASSIGNED", customer_email=ADA, device_identifier="D3")
    assert record.kinds() == {"customer"}


def test_a_refused_call_that_was_done_is_found(record: Record) -> None:
    call = record.unassign(ADA, "D3")
    call |= {"status": "ABORTED", "reason": "ERROR_REASON_CONFLICT", "answer": {}}
    assert record.kinds() == {"answer"}


def test_a_call_that_was_done_twice_is_found(record: Record) -> None:
    call = record.unassign(ADA, "D3")
    record.assign(ADA, "D3")
    record.operation("unassign", call["number"], [("cust_1", "D3", 2)])
    assert "answer" in record.kinds()


def test_an_acknowledged_change_that_is_lost_is_found(record: Record) -> None:
    call = record.call("AssignDevices", {"customer_email": ADA, "device_identifiers": ["D4"]})
    answer = {
        "customer_id": "cust_1",
        "assigned_devices": [{"identifier": "D4", "device_id": "dev_D4"}],
        "device_count": 2,
        "operation_id": "op_99",
        "revision": "rev_1_4",
    }
    call |= {"status": "OK", "answer": answer, "digest": "x"}
    assert record.kinds() == {"answer", "customer"}


def test_an_assignment_that_never_happened_to_a_customer_without_a_name_is_found(record: Record) -> None:
    call = record.call("AssignDevices", {"customer_email": CY, "device_identifiers": ["D4"]})
    answer = {"assigned_devices": [{"identifier": "D4", "device_id": "dev_D4"}], "device_count": 1}
    call |= {"status": "OK", "answer": answer, "digest": "x"}
    assert record.kinds() == {"answer"}


def test_an_operation_that_no_call_made_is_found(record: Record) -> None:
    record.operation("assign", 999, [("cust_1", "D4", 1)])
    assert record.kinds() == {"rows"}


def test_another_organisations_customer_in_an_answer_is_found(record: Record) -> None:
    record.listed(ADA)["answer"]["revision"] = "rev_other_0"
    assert "answer" in record.kinds()


def test_an_address_that_was_free_while_a_customer_held_it_is_found(record: Record) -> None:
    refused(record, "ListAssignedDevices", "CUSTOMER_NOT_FOUND", customer_email=CY)
    assert record.kinds() == {"address"}


def test_an_address_that_answers_for_a_customer_who_had_left_it_is_found(record: Record) -> None:
    stale = record.listed(CY)
    record.rename("cust_3", CY_TOO)
    stale["start"], stale["end"] = record.now, record.now + 1
    assert record.kinds() == {"address"}


def test_an_address_that_two_customers_were_created_with_is_found(record: Record) -> None:
    record.create(CY)
    assert record.kinds() == {"address"}


def test_a_device_that_is_unknown_after_it_was_seen_is_found(record: Record) -> None:
    call = record.listed(ADA)
    call |= {"rpc": "UnassignDevices", "request": {"customer_email": ADA, "device_identifiers": ["D5"]}}
    call["answer"] = {
        "skipped": ["D5"],
        "skip_reasons": ["SKIP_REASON_UNKNOWN_DEVICE"],
        "devices_remaining": ["D3"],
        "remaining_count": 1,
        "revision": call["answer"]["revision"],
    }
    assert record.kinds() == {"device"}


def test_a_device_that_is_lost_is_found(record: Record) -> None:
    record.entries = [entry for entry in record.entries if entry.get("row", {}).get("identifier") != "D5"]
    assert {"answer", "device"} <= record.kinds()


def test_an_answer_about_the_past_that_has_changed_is_found(record: Record) -> None:
    record.lookup("D2", at=at(1))  # it answers as of now
    record.listed(ADA, at=at(1))
    assert record.kinds() == {"past"}


def test_answers_about_a_time_that_the_clock_was_set_back_to_are_left_out(record: Record) -> None:
    record.listed(ADA, at=at(1))
    fault = {"unstable_seconds": 10, "start": 0, "end": 1_000, "wall": NOON + 5_000_000}
    assert record.kinds(fault) == set()


def test_a_repeat_with_another_answer_is_found(record: Record) -> None:
    call = record.unassign(ADA, "D3")
    call["request"]["request_id"] = "r"
    record.row("reply", request_id="r", answer=call["digest"])
    assert record.check() == []
    record.repeat(call, digest="other")
    assert record.kinds() == {"repeat"}


def test_an_answer_that_the_database_does_not_keep_is_found(record: Record) -> None:
    record.unassign(ADA, "D3")["request"]["request_id"] = "r"
    assert record.kinds() == {"repeat"}


@pytest.mark.parametrize("wrong", ["missing", "twice", "order", "content", "invented"])
def test_a_stream_that_is_not_the_operation_table_is_found(record: Record, wrong: str) -> None:
    told = [entry for entry in record.entries if entry["kind"] == "watched"]
    match wrong:
        case "missing":
            record.entries.remove(told[1])
        case "twice":
            record.entries.append(told[1])
        case "order":
            told[0]["operation"], told[1]["operation"] = told[1]["operation"], told[0]["operation"]
        case "content":
            told[1]["operation"]["assigned_count"] = 7
        case "invented":
            record.entries.append({"kind": "watched", "operation": {**told[1]["operation"], "operation_id": "op_99"}})
    assert record.kinds() == {"stream"}


def test_a_defect_is_found(record: Record) -> None:
    record.call("ListAssignedDevices", {"customer_email": ADA}, status="INTERNAL", reason="ERROR_REASON_INTERNAL")
    assert record.kinds() == {"status"}


def test_a_refusal_for_a_key_that_is_good_is_found(record: Record) -> None:
    record.call("ListAssignedDevices", {"customer_email": ADA}, status="UNAUTHENTICATED", reason="ERROR_REASON_X")
    assert record.kinds() == {"status"}
