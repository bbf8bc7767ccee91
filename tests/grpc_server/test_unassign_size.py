"""UnassignDevices at its limits: long requests, and answers that would grow too long."""

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.conftest import Client, Serve, Tenant, failure
from tests.grpc_server.conftest import code_of

THREE_MIB = 3 * 1024 * 1024
FOUR_MIB = 4 * 1024 * 1024


def test_100_000_identifiers_work_and_one_more_is_refused_naming_the_limit(client: Client, tenant: Tenant) -> None:
    wanted = [f"SN-{n}" for n in range(100_000)]
    tenant.assign("ada@example.com", [*wanted[::200], "stays"])
    refused = failure(lambda: client.unassign(tenant, "ada@example.com", [*wanted, "one more"]))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    [(field, text)] = refused.violations
    assert field == "device_identifiers"
    assert "100000" in text
    answer = client.unassign(tenant, "ada@example.com", wanted)
    assert list(answer.unassigned_devices) == wanted[::200]
    assert len(answer.skipped) == len(answer.skip_reasons) == 99_500
    assert list(answer.devices_remaining) == ["stays"]


def test_3_mib_of_identifiers_work_and_one_byte_more_is_refused_naming_the_limit(
    client: Client, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    wanted = [f"{n:0255d}" for n in range(THREE_MIB // 255)]
    wanted.append("x" * (THREE_MIB - sum(map(len, wanted))))
    assert sum(map(len, wanted)) == THREE_MIB
    answer = client.unassign(tenant, "ada@example.com", wanted)
    assert list(answer.skipped) == wanted
    assert list(answer.devices_remaining) == ["A"]
    refused = failure(lambda: client.unassign(tenant, "ada@example.com", [*wanted[:-1], wanted[-1] + "x"]))
    [(field, text)] = refused.violations
    assert field == "device_identifiers"
    assert str(THREE_MIB) in text


def test_past_4_mib_grpc_itself_refuses(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    refused = code_of(lambda: client.unassign(tenant, "ada@example.com", ["x" * FOUR_MIB, "A"]))
    assert refused is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.devices(tenant, "ada@example.com") == ["A"]


def test_an_identifier_has_1_to_255_characters_no_controls_and_no_outer_space(client: Client, tenant: Tenant) -> None:
    good = ["\U0001f600" * 255, "in side", "\u200b", "'; --", "%", "\\", '"', "\ufeff"]
    tenant.assign("ada@example.com", good)
    bad = ["", "\U0001f600" * 256, "a\0", "a\nb", "\x7f", "\x85", " a", "a\u00a0", "\u3000a"]
    mixed = [text for pair in zip(good, bad, strict=False) for text in pair] + bad[len(good) :]
    refused = failure(lambda: client.unassign(tenant, "ada@example.com", mixed))
    assert [field for field, _ in refused.violations] == [
        f"device_identifiers[{index}]" for index, text in enumerate(mixed) if text in bad
    ]
    assert len(refused.violations) == len(bad)
    answer = client.unassign(tenant, "ada@example.com", good)
    assert list(answer.unassigned_devices) == good


def test_the_remaining_view_says_how_much_to_return(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C", "D", "E", "F"])
    expected = {
        pb.REMAINING_VIEW_UNSPECIFIED: (["B", "C", "D", "E", "F"], 5),
        pb.REMAINING_VIEW_FULL: (["C", "D", "E", "F"], 4),
        pb.REMAINING_VIEW_COUNT: ([], 3),
        pb.REMAINING_VIEW_NONE: ([], 0),
    }
    for (view, (listed, count)), identifier in zip(expected.items(), "ABCD", strict=True):
        for validate_only in (True, False):
            answer = client.unassign(
                tenant, "ada@example.com", [identifier], remaining_view=view, validate_only=validate_only
            )
            assert (list(answer.devices_remaining), answer.remaining_count) == (listed, count)
            assert list(answer.unassigned_devices) == [identifier]
            assert answer.next_page_token == ""
    assert client.devices(tenant, "ada@example.com") == ["E", "F"]


def test_a_long_list_goes_on_in_pages_of_the_moment_of_the_operation(serve: Serve, tenant: Tenant) -> None:
    client = serve(max_answer_bytes=65536)
    identifiers = [f"{n:0200d}" for n in range(1000)]
    tenant.assign("ada@example.com", identifiers)
    gone = [identifiers[0], identifiers[500], identifiers[999]]
    answer = client.unassign(tenant, "ada@example.com", gone)
    assert answer.ByteSize() <= 65536
    assert answer.ByteSize() > 50_000  # as much as fits
    assert answer.remaining_count == 997
    listed, token = list(answer.devices_remaining), answer.next_page_token
    for change in range(100):
        # Behind the page and ahead of it, old devices end and begin again, and new ones come.
        client.unassign(tenant, "ada@example.com", [identifiers[10 + change], identifiers[-10 - change]])
        tenant.assign("ada@example.com", [f"{change}new", identifiers[500], identifiers[10 + change]][change % 3 :])
        page = client.page(tenant, "ada@example.com" if change % 2 else "", page_token=token, page_size=170)
        assert page.ByteSize() <= 65536
        assert (page.total_count, page.revision) == (997, answer.revision)
        listed += [device.device_identifier for device in page.devices]
        token = page.next_page_token
        if not token:
            break
    assert listed == [identifier for identifier in identifiers if identifier not in gone]
    assert client.page(tenant, "ada@example.com").revision != answer.revision


def test_where_the_other_lists_fill_the_answer_the_whole_remaining_list_is_in_the_pages(
    serve: Serve, tenant: Tenant
) -> None:
    client = serve(max_answer_bytes=65536)
    identifiers = [f"{n:0200d}" for n in range(500)]
    tenant.assign("ada@example.com", identifiers)
    answer = client.unassign(tenant, "ada@example.com", identifiers[:400])
    assert list(answer.unassigned_devices) == identifiers[:400]
    assert list(answer.devices_remaining) == []
    assert answer.remaining_count == 100
    assert client.devices(tenant, page_token=answer.next_page_token) == identifiers[400:]


def test_an_answer_stays_within_what_clients_take(client: Client, tenant: Tenant) -> None:
    identifiers = [chr(0x10000 + n) * 255 for n in range(4_300)]
    tenant.assign("ada@example.com", [*identifiers, "gone"])
    answer = client.unassign(tenant, "ada@example.com", ["gone"])
    assert FOUR_MIB - 16_384 < answer.ByteSize() <= FOUR_MIB
    assert answer.remaining_count == 4_300
    rest = client.devices(tenant, page_token=answer.next_page_token, page_size=10_000)
    assert [*answer.devices_remaining, *rest] == identifiers
    page = client.page(tenant, "ada@example.com", page_size=10_000)
    assert page.ByteSize() <= FOUR_MIB
    assert page.next_page_token
