"""Tells who owns devices, now or at a past moment: the question that telemetry asks for every message."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from service.domain import answer_size
from service.domain.identifiers import unique
from service.domain.unit_of_work import Owner, UnitOfWork

MAX_DEVICES = 1_000
MAX_OWNERS = 100

# What an owner takes in an answer beside the e-mail address: an id, a time, tags and lengths.
_OWNER_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class LookupOwners:
    """A validated wish. `at` None asks for now."""

    identifiers: list[str]
    at: datetime | None = None
    max_answer_bytes: int = 4 * 1024 * 1024


class DeviceOwners(NamedTuple):
    """A device's owners, the listed ones and the number of all."""

    identifier: str
    found: bool
    owners: list[Owner]
    owner_count: int


def lookup_owners(uow: UnitOfWork, wish: LookupOwners) -> list[DeviceOwners]:
    """Finds the owners of each device, in the order of the request; with one statement."""
    wanted = unique(wish.identifiers)
    owners = uow.assignments.owners(wanted, wish.at, MAX_OWNERS)
    listed = _most_that_fit(owners, wish.max_answer_bytes - answer_size.FIELDS_BYTES - answer_size.size_of(wanted, 16))
    return [
        DeviceOwners(
            identifier,
            identifier in owners,
            owners.get(identifier, [])[:listed],
            owners[identifier][0].owner_count if owners.get(identifier) else 0,
        )
        for identifier in wanted
    ]


def _most_that_fit(owners: Mapping[str, list[Owner]], room: int) -> int:
    """Chooses how many owners of each device can be listed; the same for all, and one always."""
    most = MAX_OWNERS
    while most > 1:
        emails = (owner.email for each in owners.values() for owner in each[:most])
        size = answer_size.size_of(emails, _OWNER_OVERHEAD)
        if size <= room:
            return most
        most //= 2
    return most
