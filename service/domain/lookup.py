"""Tells who owns devices, now or at a past moment: the question that telemetry asks for every message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain import answer_size
from service.domain.identifiers import unique
from service.domain.unit_of_work import Owner, UnitOfWork

MAX_DEVICES = 1_000
MAX_OWNERS = 100

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
    """

    identifiers: list[str]
    owners: Mapping[str, Sequence[Owner]]
    listed: int


def lookup_owners(uow: UnitOfWork, wish: LookupOwners) -> Owners:
    """Finds the owners of each device, with one statement."""
    wanted = unique(wish.identifiers)
    owners = uow.assignments.owners(wanted, wish.at, MAX_OWNERS)
    room = wish.max_answer_bytes - answer_size.FIELDS_BYTES - answer_size.size_of(wanted, 16)
    return Owners(wanted, owners, _most_that_fit(owners, room))


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
