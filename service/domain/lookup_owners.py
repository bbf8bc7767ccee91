"""Tells who owns devices, now or at a past moment: the question that telemetry asks for every message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain import answer_size
from service.domain.as_of import as_of
from service.domain.cancellation import Cancellation
from service.domain.identifiers import unique
from service.domain.values import Owner, Ownership
from service.runtime.coalescing import Coalescer
from service.storage.unit_of_work import Storage, UnitOfWork

MAX_DEVICES = 1_000
MAX_OWNERS = 100
# Of more devices the way to the database and back is no longer most of the cost.
_MAX_SHARED = 10

# What an owner takes in an answer beside the e-mail address: an id, a time, tags and lengths.
_OWNER_OVERHEAD = 64
# 254 characters (RFC 5321) of four bytes at most (RFC 6531), and a little.
_MAX_EMAIL_BYTES = 1024


@dataclass(frozen=True, slots=True)
class LookupOwners:
    """A validated wish. `at` None asks for now."""

    identifiers: list[str]
    at: datetime | None = None
    max_answer_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose devices are. It is not an object for each device, of which there may be a thousand.

    Attributes:
        identifiers: the devices, each once, in the order of the request.
        owners: of each that exists; each knows how many there are in all.
        listed: how many owners of each device to list at most.
        as_of: the moment that is shown.
    """

    identifiers: list[str]
    owners: Mapping[str, Sequence[Owner]]
    listed: int
    as_of: datetime


class OwnerLookup:
    """Finds the owners of devices.

    Args:
        storage: where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._shared = Coalescer(self._now)

    def find(self, organization_id: str, cancellation: Cancellation, wish: LookupOwners) -> Owners:
        """Finds the owners of each device, with one statement.

        Raises:
            InvalidFields: `at` is too far ahead.
            DatabaseUnavailable, Conflict, Cancelled, DeadlineExceeded: see `Storage.read`.
        """
        wanted = unique(wish.identifiers)
        if wish.at is not None:
            owners, now = self._ask(organization_id, cancellation, wanted, wish.at)
        elif len(wanted) > _MAX_SHARED:
            owners, now = self._now(organization_id, cancellation, wanted)
        else:
            found, now = self._shared.find(organization_id, cancellation, wanted)
            owners = {identifier: found[identifier] for identifier in wanted if identifier in found}
        moment = as_of(wish.at, now)
        room = wish.max_answer_bytes - answer_size.FIELDS_BYTES - answer_size.size_of(wanted, 16)
        return Owners(wanted, owners, _most_that_fit(owners, room), moment)

    def _now(self, organization_id: str, cancellation: Cancellation, wanted: list[str]) -> Ownership:
        return self._ask(organization_id, cancellation, wanted, None)

    def _ask(
        self, organization_id: str, cancellation: Cancellation, wanted: list[str], at: datetime | None
    ) -> Ownership:
        def work(uow: UnitOfWork) -> Ownership:
            return uow.assignments.owners(wanted, at, MAX_OWNERS)

        return self._storage.read(organization_id, cancellation, work, one_statement=True)


def _most_that_fit(owners: Mapping[str, list[Owner]], room: int) -> int:
    """Chooses how many owners of each device can be listed; the same for all, and one always."""
    most = MAX_OWNERS
    if sum(map(len, owners.values())) * (_OWNER_OVERHEAD + _MAX_EMAIL_BYTES) <= room:
        return most  # nearly always
    while most > 1:
        emails = (owner.email for each in owners.values() for owner in each[:most])
        size = answer_size.size_of(emails, _OWNER_OVERHEAD)
        if size <= room:
            return most
        most //= 2
    return most
