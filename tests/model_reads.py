"""The model's reads: what each rpc that tells of assignments and operations answers, page by page."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from tests.model import CUSTOMER_NOT_FOUND, DEVICE_NOT_FOUND, INVALID, Customer, Operation, Organization, Refusal

PAGE_SIZE = 1_000
# What is further ahead of the last operation is further ahead of the clock too than is taken for now.
FAR_AHEAD = timedelta(days=1)

Question = tuple[Any, ...]


@dataclass(frozen=True)
class DevicesToken:
    """What a page token of a customer's devices stands for; `as_of` is what the service has told on its first page."""

    customer: str
    revision: int
    after: str
    at: datetime | None = None
    as_of: datetime | None = None

    @property
    def time(self) -> datetime:
        """A moment that is the question's own, if it has one."""
        return self.at or self.as_of or datetime(2026, 1, 31, tzinfo=UTC)


@dataclass(frozen=True)
class OperationsToken:
    """What a page token of operations stands for: the last one shown, and the question."""

    operation: str
    at: datetime
    question: Question


@dataclass(frozen=True)
class ChangesToken:
    """What a page token of an operation's changes stands for: the last one shown, and the question."""

    customer: str
    device: str
    question: Question


Token = DevicesToken | OperationsToken | ChangesToken


def read(model: Organization, request: Any, token: Token | None = None, most: int = PAGE_SIZE) -> Any:
    """Answers any read: with a message and what its next page's token stands for, or with `Refused`.

    Args:
        model: whom it is asked of.
        request: the message.
        token: what the request's page token stands for.
        most: how many members the answer has room for.
    """
    try:
        return _READS[type(request)](model, request, token, most)
    except Refusal as refusal:
        return refusal.refused


def moment(timestamp: Timestamp) -> datetime:
    """Reads a moment."""
    return timestamp.ToDatetime(tzinfo=UTC)


def asked_at(model: Organization, request: Any) -> datetime | None:
    """Reads the moment that is asked for, if there is one; one that is too far ahead is refused."""
    if not request.HasField("at"):
        return None
    at = moment(request.at)
    if any(at > operation.time + FAR_AHEAD for operation in model.operations[-1:]):
        raise Refusal(INVALID)
    return at


def question(request: Any) -> Question:
    """Returns what a page token holds of a request: all fields but the page."""
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("page_size")
    same.ClearField("page_token")
    if isinstance(same, pb.ListOperationsRequest):
        same.customer_email = same.customer_email.lower()
    return type(same), same.SerializeToString(deterministic=True)


def _listed_customer(
    model: Organization, request: pb.ListAssignedDevicesRequest, token: DevicesToken | None
) -> Customer:
    """Returns the customer whose devices are listed; with a token, of the same question."""
    by_id = {customer.name: customer for customer in model.customers.values()}
    if request.customer_email:
        customer = model.find(request.customer_email)
    elif request.customer_id:
        customer = by_id.get(model.names.model(request.customer_id))
    else:
        customer = by_id.get(token.customer) if token else None
    if customer is None:
        raise Refusal(CUSTOMER_NOT_FOUND)
    if token is not None:
        alone = not (request.customer_email or request.customer_id or request.HasField("at"))
        asked = moment(request.at) if request.HasField("at") else None
        if token.customer != customer.name or not (alone or token.at == asked):
            raise Refusal(INVALID)
    return customer


def _assigned_devices(
    model: Organization, request: pb.ListAssignedDevicesRequest, token: DevicesToken | None, most: int
) -> tuple[pb.ListAssignedDevicesResponse, Token | None]:
    at = asked_at(model, request) if token is None else None
    customer = _listed_customer(model, request, token)
    revision = len(customer.history) - 1
    if token is not None:
        revision = token.revision
    elif at is not None:
        revision = customer.revision_at(at)
    devices = customer.history[revision]
    rest = sorted(device for device in devices if token is None or device > token.after)
    listed = rest[: min(request.page_size or PAGE_SIZE, most)]
    answer = pb.ListAssignedDevicesResponse(total_count=len(devices), revision=customer.revision(revision))
    for identifier in listed:
        device = answer.devices.add(device_identifier=identifier, device_id=model.devices[identifier])
        device.assigned_at.FromDatetime(customer.since(identifier, revision))
    if token is not None:
        answer.as_of.FromDatetime(token.as_of or customer.made_by[revision - 1].time)
    if len(listed) == len(rest):
        return answer, None
    if token is not None:
        return answer, replace(token, after=listed[-1])
    return answer, DevicesToken(customer.name, revision, listed[-1], at)


def _lookup_owners(
    model: Organization, request: pb.LookupOwnersRequest, _token: None, _most: int
) -> tuple[pb.LookupOwnersResponse, None]:
    answer = pb.LookupOwnersResponse()
    at = asked_at(model, request)
    for device in dict.fromkeys(request.device_identifiers):
        owners = []
        for customer in model.customers.values():
            revision = customer.revision_at(at) if at else -1
            if device in customer.history[revision]:
                owners.append((customer.since(device, revision), model.names.real(customer.name), customer))
        told = answer.results.add(device_identifier=device, found=device in model.devices, owner_count=len(owners))
        for since, _, customer in sorted(owners, key=lambda owner: owner[:2]):
            told.owners.add(customer_id=customer.name, email=customer.email).assigned_at.FromDatetime(since)
    return answer, None


def _list_operations(
    model: Organization, request: pb.ListOperationsRequest, token: OperationsToken | None, most: int
) -> tuple[pb.ListOperationsResponse, Token | None]:
    if token is not None and token.question != question(request):
        raise Refusal(INVALID)
    customer = model.customer(request.customer_email) if request.customer_email else None
    if request.device_identifier and request.device_identifier not in model.devices:
        raise Refusal(DEVICE_NOT_FOUND)

    def wanted(operation: Operation) -> bool:
        return (
            any(
                customer in {None, step.customer} and request.device_identifier in {"", step.device}
                for step in operation.steps
            )
            and (not request.key_id or operation.key == model.names.model(request.key_id))
            and (not request.HasField("since") or operation.time >= moment(request.since))
            and (not request.HasField("until") or operation.time < moment(request.until))
            and (token is None or place(operation) < (token.at, model.names.real(token.operation)))
        )

    def place(operation: Operation) -> tuple[datetime, str]:
        return operation.time, model.names.real(operation.name)

    rest = sorted(filter(wanted, model.operations), key=place, reverse=True)
    listed = rest[: min(request.page_size or PAGE_SIZE, most)]
    answer = pb.ListOperationsResponse(operations=[_told(model, operation) for operation in listed])
    more = len(listed) < len(rest)
    return answer, OperationsToken(listed[-1].name, listed[-1].time, question(request)) if more else None


def _get_operation(
    model: Organization, request: pb.GetOperationRequest, _token: None, _most: int
) -> tuple[pb.GetOperationResponse, None]:
    return pb.GetOperationResponse(operation=_told(model, model.operation(request.operation_id))), None


def _list_changes(
    model: Organization, request: pb.ListOperationChangesRequest, token: ChangesToken | None, most: int
) -> tuple[pb.ListOperationChangesResponse, Token | None]:
    if token is not None and token.question != question(request):
        raise Refusal(INVALID)
    operation = model.operation(request.operation_id)
    changes = {(model.names.real(step.customer.name), step.device): step for step in operation.steps}
    after = (model.names.real(token.customer), token.device) if token else ("", "")
    rest = [changes[place] for place in sorted(changes) if place > after]
    listed = rest[: min(request.page_size or PAGE_SIZE, most)]
    answer = pb.ListOperationChangesResponse(
        changes=[
            pb.OperationChange(device_identifier=step.device, customer_id=step.customer.name, change=step.change)
            for step in listed
        ]
    )
    more = len(listed) < len(rest)
    if not more:
        return answer, None
    return answer, ChangesToken(listed[-1].customer.name, listed[-1].device, question(request))


_READS: dict[type, Callable[[Organization, Any, Any, int], Any]] = {
    pb.ListAssignedDevicesRequest: _assigned_devices,
    pb.LookupOwnersRequest: _lookup_owners,
    pb.ListOperationsRequest: _list_operations,
    pb.GetOperationRequest: _get_operation,
    pb.ListOperationChangesRequest: _list_changes,
}


def _told(model: Organization, operation: Operation) -> pb.Operation:
    message = pb.Operation(
        operation_id=operation.name,
        kind=pb.OperationKind.Value(f"OPERATION_KIND_{operation.kind.upper()}"),
        key_id=operation.key,
        note=operation.note,
        customer_ids=sorted({step.customer.name for step in operation.steps}, key=model.names.real),
        assigned_count=operation.count(pb.CHANGE_ASSIGNED),
        unassigned_count=operation.count(pb.CHANGE_UNASSIGNED),
        reverts_operation_id=operation.reverts,
    )
    message.occurred_at.FromDatetime(operation.time)
    return message
