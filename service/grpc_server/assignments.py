"""The DeviceAssignmentService's writes and listings: messages to wishes, results to messages."""

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.assign import AssignDevice, AssignDevices, assign_device, assign_devices
from service.domain.list_assigned_devices import ListAssignedDevices, list_assigned_devices
from service.domain.lookup_owners import MAX_DEVICES, LookupOwners, OwnerLookup
from service.domain.revert_operation import RevertOperation, revert_operation
from service.domain.tokens import PageToken
from service.domain.transfer_devices import TransferDevices, transfer_devices
from service.domain.unassign_all_devices import UnassignAllDevices, unassign_all_devices
from service.domain.unassign_devices import RemainingView, UnassignDevices, unassign_device, unassign_devices
from service.grpc_server import answers, call
from service.grpc_server.fields import Fields
from service.grpc_server.writing import answer, count, read
from service.storage.unit_of_work import Storage

MAX_ASSIGNED_DEVICES = 20_000
MAX_ASSIGNED_CUSTOMERS = 1_000

_TYPE_REQUIRED = "is required when devices may be created"


class Assignments:
    """Changes assignments and tells them.

    Args:
        storage: runs the use cases.
        max_answer_bytes: where a list in an answer stops, because clients would refuse a larger one.
    """

    def __init__(self, storage: Storage, max_answer_bytes: int) -> None:
        self._storage = storage
        self._owner_lookup = OwnerLookup(storage)
        self._max_answer_bytes = max_answer_bytes

    def UnassignDevices(
        self, request: pb.UnassignDevicesRequest, _context: grpc.ServicerContext
    ) -> pb.UnassignDevicesResponse:
        """Ends assignments of one customer."""
        fields = Fields()
        wish = UnassignDevices(
            customer=fields.email("customer_email", request.customer_email),
            identifiers=fields.identifiers("device_identifiers", request.device_identifiers),
            options=fields.options(request, _key_id(), expected_revision=request.expected_revision),
            require_all=request.require_all,
            remaining_view=fields.choice("remaining_view", request.remaining_view, RemainingView, RemainingView.FULL),
            max_answer_bytes=self._max_answer_bytes,
        )
        fields.check()
        done = answer(self._storage, pb.UnassignDevicesResponse, wish, unassign_devices, answers.unassigned)
        count(requested=len(wish.identifiers), unassigned=len(done.unassigned_devices), skipped=len(done.skipped))
        return done

    def UnassignDevice(
        self, request: pb.UnassignDeviceRequest, _context: grpc.ServicerContext
    ) -> pb.UnassignDeviceResponse:
        """Ends one assignment."""
        fields = Fields()
        wish = UnassignDevices(
            customer=fields.email("customer_email", request.customer_email),
            identifiers=[fields.identifier("device_identifier", request.device_identifier)],
            options=fields.options(request, _key_id(), expected_revision=request.expected_revision),
            remaining_view=fields.choice("remaining_view", request.remaining_view, RemainingView, RemainingView.FULL),
            max_answer_bytes=self._max_answer_bytes,
            method="UnassignDevice",
        )
        fields.check()
        return answer(self._storage, pb.UnassignDeviceResponse, wish, unassign_device, answers.unassigned_one)

    def AssignDevices(
        self, request: pb.AssignDevicesRequest, _context: grpc.ServicerContext
    ) -> pb.AssignDevicesResponse:
        """Assigns devices to one customer."""
        fields = Fields()
        identifiers = fields.identifiers("device_identifiers", request.device_identifiers)
        wish = AssignDevices(
            customer=fields.email("customer_email", request.customer_email),
            identifiers=fields.most("device_identifiers", identifiers, MAX_ASSIGNED_DEVICES),
            options=fields.options(request, _key_id(), expected_revision=request.expected_revision),
            auto_create_devices=request.auto_create_devices,
            device_type=fields.device_type(
                "device_type", request.device_type, required=request.auto_create_devices, why=_TYPE_REQUIRED
            ),
            require_existing_customer=request.require_existing_customer,
        )
        fields.check()
        done = answer(self._storage, pb.AssignDevicesResponse, wish, assign_devices, answers.devices_assigned)
        count(requested=len(wish.identifiers), assigned=len(done.assigned_devices), skipped=len(done.skipped))
        return done

    def AssignDevice(self, request: pb.AssignDeviceRequest, _context: grpc.ServicerContext) -> pb.AssignDeviceResponse:
        """Assigns one device to customers."""
        fields = Fields()
        wish = AssignDevice(
            identifier=fields.identifier("device_identifier", request.device_identifier),
            customers=fields.emails("customer_emails", request.customer_emails, MAX_ASSIGNED_CUSTOMERS),
            options=fields.options(request, _key_id()),
            auto_create_device=request.auto_create_device,
            device_type=fields.device_type(
                "device_type", request.device_type, required=request.auto_create_device, why=_TYPE_REQUIRED
            ),
            require_existing_customer=request.require_existing_customer,
        )
        fields.check()
        done = answer(self._storage, pb.AssignDeviceResponse, wish, assign_device, answers.device_assigned)
        count(requested=len(wish.customers), assigned=len(done.assigned_customers) - len(done.already_assigned))
        return done

    def TransferDevices(
        self, request: pb.TransferDevicesRequest, _context: grpc.ServicerContext
    ) -> pb.TransferDevicesResponse:
        """Moves devices from one customer to another."""
        fields = Fields()
        wish = TransferDevices(
            source=fields.email("from_customer_email", request.from_customer_email),
            target=fields.email("to_customer_email", request.to_customer_email),
            identifiers=fields.identifiers("device_identifiers", request.device_identifiers),
            options=fields.options(request, _key_id(), expected_revision=request.from_expected_revision),
            require_existing_customer=request.require_existing_customer,
            require_all=request.require_all,
        )
        if wish.source.key and wish.source.key == wish.target.key:
            fields.wrong("to_customer_email", "must be another customer than from_customer_email")
        fields.check()
        done = answer(self._storage, pb.TransferDevicesResponse, wish, transfer_devices, answers.transferred)
        count(requested=len(wish.identifiers), transferred=len(done.transferred_devices), skipped=len(done.skipped))
        return done

    def UnassignAllDevices(
        self, request: pb.UnassignAllDevicesRequest, _context: grpc.ServicerContext
    ) -> pb.UnassignAllDevicesResponse:
        """Ends all assignments of a customer."""
        fields = Fields()
        if not request.HasField("expected_count"):
            fields.wrong("expected_count", "is required; 0 is a value")
        elif request.expected_count < 0:
            fields.wrong("expected_count", "must not be negative")
        wish = UnassignAllDevices(
            customer=fields.email("customer_email", request.customer_email),
            expected_count=request.expected_count,
            options=fields.options(request, _key_id(), expected_revision=request.expected_revision),
        )
        fields.check()
        done = answer(self._storage, pb.UnassignAllDevicesResponse, wish, unassign_all_devices, answers.all_unassigned)
        count(unassigned=done.unassigned_count)
        return done

    def RevertOperation(
        self, request: pb.RevertOperationRequest, _context: grpc.ServicerContext
    ) -> pb.RevertOperationResponse:
        """Undoes an operation."""
        fields = Fields()
        wish = RevertOperation(
            operation_id=fields.required("operation_id", request.operation_id),
            options=fields.options(request, _key_id()),
        )
        fields.check()
        done = answer(self._storage, pb.RevertOperationResponse, wish, revert_operation, answers.reverted)
        count(reverted=done.reverted_count, left=done.not_reverted_count)
        return done

    def LookupOwners(self, request: pb.LookupOwnersRequest, _context: grpc.ServicerContext) -> pb.LookupOwnersResponse:
        """Tells who owns devices."""
        fields = Fields()
        identifiers = fields.identifiers("device_identifiers", request.device_identifiers)
        wish = LookupOwners(
            identifiers=fields.most("device_identifiers", identifiers, MAX_DEVICES),
            at=fields.instant("at", request.HasField("at"), request.at),
            max_answer_bytes=self._max_answer_bytes,
        )
        fields.check()
        current, principal = call.current()
        found = self._owner_lookup.find(principal.organization_id, current.cancellation, wish)
        count(requested=len(wish.identifiers), found=len(found.owners))
        return answers.owners(found)

    def ListAssignedDevices(
        self, request: pb.ListAssignedDevicesRequest, _context: grpc.ServicerContext
    ) -> pb.ListAssignedDevicesResponse:
        """Gives one page of a customer's devices."""
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
            page_token=fields.token(request.page_token, PageToken.decode, None),
            max_answer_bytes=self._max_answer_bytes,
        )
        fields.check()
        page = read(self._storage, lambda uow: list_assigned_devices(uow, wish))
        count(listed=len(page.devices))
        return answers.assigned_devices(page)


def _key_id() -> str:
    return call.current()[1].key_id
