"""UnassignDevices through a real server and client: CONTRACT.md, "UnassignDevices, exactly"."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.conftest import Client, Tenant


def test_devices_are_unassigned_in_the_order_of_the_request_and_each_is_named_once(
    client: Client, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C", "D"])
    answer = client.unassign(tenant, "ada@example.com", ["C", "X", "A", "C", "X"])
    assert answer.success
    assert answer.message == "Successfully unassigned 2 device(s) from customer"
    assert list(answer.unassigned_devices) == ["C", "A"]
    assert list(answer.skipped) == ["X"]
    assert list(answer.skip_reasons) == [pb.SKIP_REASON_UNKNOWN_DEVICE]
    assert list(answer.devices_remaining) == ["B", "D"]
    assert answer.devices_remaining_count == 2
    assert answer.operation_id.startswith("op_")
    assert answer.next_page_token == ""
