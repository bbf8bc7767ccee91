"""LookupOwners."""

from collections.abc import Iterable, Sequence
from itertools import islice

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.lookup_owners import MAX_DEVICES, LookupOwners, Owners, lookup_owners
from service.domain.values import Owner
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.messages import write_instant
from service.grpc_server.owner_lookup import OwnerLookup
from service.runtime.chunks import weighed


def handle(lookup: OwnerLookup, max_answer_bytes: int, request: pb.LookupOwnersRequest) -> pb.LookupOwnersResponse:
    """Serves LookupOwners."""
    fields = Fields()
    identifiers = fields.identifiers("device_identifiers", request.device_identifiers)
    query = LookupOwners(
        identifiers=fields.most("device_identifiers", identifiers, MAX_DEVICES),
        at=fields.instant("at", request.HasField("at"), request.at),
        max_answer_bytes=max_answer_bytes,
        with_emails=call.has_optional_scopes(),
    )
    fields.check()
    result = lookup_owners(lookup.find, query)
    call.count(requested=len(query.identifiers), found=len(result.owners))
    return _answer(result)


def _answer(result: Owners) -> pb.LookupOwnersResponse:
    answer = pb.LookupOwnersResponse()
    # Field by field, which takes two thirds of the time that naming them to `add` does. Devices that stand side by side
    # often have the same owners, and a copy takes half the time again.
    add, owners_of = answer.results.add, result.owners.get
    before: Sequence[Owner] | None = None  # as of a device that does not exist
    device_before = pb.DeviceOwners()
    identifiers: Iterable[str] = result.identifiers
    if result.is_long:
        identifiers = weighed(identifiers, lambda identifier: len(owners_of(identifier, ())))
    for identifier in identifiers:
        device = add()
        owners = owners_of(identifier)
        if owners == before:
            device.MergeFrom(device_before)
        else:
            _add_owners(device, owners, result)
            before, device_before = owners, device
        device.device_identifier = identifier
    write_instant(answer.as_of, result.as_of)
    return answer


def _add_owners(device: pb.DeviceOwners, owners: Sequence[Owner] | None, result: Owners) -> None:
    if owners is None:
        return
    device.found = True
    if owners:
        device.owner_count = owners[0].owner_count
    for customer_id, email, assigned_at, _ in islice(owners, result.listed):
        owner = device.owners.add()
        owner.customer_id = customer_id
        if result.with_emails:
            owner.email = email
        write_instant(owner.assigned_at, assigned_at)
