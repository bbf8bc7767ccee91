"""The DeviceAssignmentService: messages to wishes, results to messages."""

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceServicer

from service.domain.list_assigned import ListAssignedDevices, list_assigned_devices
from service.domain.replay import Codec, answer_once
from service.domain.unassign import RemainingView, UnassignDevices, Unassigned, unassign_devices
from service.domain.unit_of_work import Storage, UnitOfWork
from service.transport import call
from service.transport.fields import Fields

_UNASSIGNED = Codec(pb.UnassignDevicesResponse.SerializeToString, pb.UnassignDevicesResponse.FromString)


class DeviceAssignments(DeviceAssignmentServiceServicer):
    """Serves the assignments.

    Args:
        storage: runs the use cases.
        max_answer_bytes: where a list in an answer stops, because clients would refuse a larger one.
    """

    def __init__(self, storage: Storage, max_answer_bytes: int) -> None:
        self._storage = storage
        self._max_answer_bytes = max_answer_bytes

    def UnassignDevices(  # noqa: N802  # the rpc's name
        self,
        request: pb.UnassignDevicesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's signature
    ) -> pb.UnassignDevicesResponse:
        """Ends assignments of one customer."""
        current, principal = call.current()
        fields = Fields()
        wish = UnassignDevices(
            customer=fields.email("customer_email", request.customer_email),
            identifiers=fields.identifiers("device_identifiers", request.device_identifiers),
            key_id=principal.key_id,
            request_id=fields.request_id(request.request_id),
            validate_only=request.validate_only,
            note=fields.note(request.note),
            expected_revision=request.expected_revision,
            require_all=request.require_all,
            remaining_view=fields.choice("remaining_view", request.remaining_view, RemainingView, RemainingView.FULL),
            max_answer_bytes=self._max_answer_bytes,
        )
        fields.check()

        def work(uow: UnitOfWork) -> tuple[pb.UnassignDevicesResponse, bool]:
            return answer_once(uow, wish.request(), _UNASSIGNED, lambda: _unassigned(unassign_devices(uow, wish)))

        answer, replayed = self._storage.write(principal.organization_id, current.interruption, work)
        current.counts.update(
            requested=len(wish.identifiers),
            unassigned=len(answer.unassigned_devices),
            skipped=len(answer.skipped),
            replayed=replayed,
            validate_only=wish.validate_only,
        )
        return answer

    def ListAssignedDevices(  # noqa: N802  # the rpc's name
        self,
        request: pb.ListAssignedDevicesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's signature
    ) -> pb.ListAssignedDevicesResponse:
        """Gives one page of a customer's devices."""
        current, principal = call.current()
        fields = Fields()
        by_email, by_id = bool(request.customer_email), bool(request.customer_id)
        if by_email and by_id:
            fields.wrong("customer_id", "must not be given together with customer_email")
        if not (by_email or by_id or request.page_token):
            fields.wrong("customer_email", "is required, unless customer_id or page_token is given")
        wish = ListAssignedDevices(
            customer=fields.email("customer_email", request.customer_email) if by_email else None,
            customer_id=request.customer_id,
            at=fields.instant("at", request.HasField("at"), request.at),
            page_size=fields.page_size(request.page_size),
            page_token=fields.page_token(request.page_token),
            max_answer_bytes=self._max_answer_bytes,
        )
        fields.check()
        page = self._storage.read(
            principal.organization_id, current.interruption, lambda uow: list_assigned_devices(uow, wish)
        )
        current.counts.update(listed=len(page.devices))
        answer = pb.ListAssignedDevicesResponse(
            next_page_token=page.next_page_token, total_count=page.total_count, revision=page.revision
        )
        for device in page.devices:
            listed = answer.devices.add(device_identifier=device.identifier, device_id=device.device_id)
            listed.assigned_at.FromDatetime(device.assigned_at)
        return answer


def _unassigned(result: Unassigned) -> pb.UnassignDevicesResponse:
    return pb.UnassignDevicesResponse(
        success=True,
        message=f"Successfully unassigned {len(result.unassigned)} device(s) from customer",
        customer_id=result.customer_id,
        unassigned_devices=result.unassigned,
        skipped=result.skipped,
        devices_remaining=result.remaining.identifiers,
        skip_reasons=[pb.SkipReason.ValueType(reason) for reason in result.skip_reasons],
        devices_remaining_count=result.remaining.count,
        next_page_token=result.remaining.next_page_token,
        operation_id=result.operation_id,
        revision=result.revision,
    )
