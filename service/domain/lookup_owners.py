"""Finds the owners of devices, now or at a past instant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain import answer_size
from service.domain.as_of import as_of
from service.domain.identifiers import unique
from service.domain.values import Owner, Ownership

MAX_DEVICES = 1_000
MAX_OWNERS = 100
_LONG = 2_000

# What an owner takes in an answer beside the e-mail address: an id, a time, tags and lengths.
_OWNER_OVERHEAD = 64
# 254 characters (RFC 5321) of four bytes at most (RFC 6531), and a little.
_MAX_EMAIL_BYTES = 1024


@dataclass(frozen=True, slots=True)
class LookupOwners:
    """The query, validated.

    Attributes:
        at: the instant to show; None for now.
        with_emails: whether the answer has the owners' e-mail addresses.
    """

    identifiers: list[str]
    at: datetime | None
    max_answer_bytes: int
    with_emails: bool


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners of devices. It has no object for each device, of which there may be a thousand.

    Attributes:
        identifiers: the devices, each once, in the order of the request.
        owners: the owners of each device that exists; each of them has the number of all owners.
        listed: how many owners of each device to list at most.
        as_of: the instant that is shown.
        with_emails: whether to show the owners' e-mail addresses.
    """

    identifiers: list[str]
    owners: Mapping[str, Sequence[Owner]]
    listed: int
    as_of: datetime
    with_emails: bool

    @property
    def is_long(self) -> bool:
        """Whether there are so many owners that the answer takes long to build."""
        return sum(map(len, self.owners.values())) > _LONG


def lookup_owners(find: Callable[[list[str], datetime | None], Ownership], query: LookupOwners) -> Owners:
    """Finds the owners of each device.

    Args:
        find: reads the owners of devices, each named once, now or at an instant. It may return other devices' too.
        query: the query.

    Raises:
        InvalidFields: `at` is too far ahead.
        HistoryPruned: `at` lies before the kept history.
    """
    wanted = unique(query.identifiers)
    found, now, kept_since = find(wanted, query.at)
    owners = found
    if len(found) > len(wanted):  # it has other devices too
        owners = {identifier: found[identifier] for identifier in wanted if identifier in found}
    shown = as_of(query.at, now, kept_since)
    bytes_left = query.max_answer_bytes - answer_size.FIELDS_BYTES - answer_size.size_of(wanted, 16)
    listed = _most_that_fit(owners, bytes_left, with_emails=query.with_emails)
    return Owners(wanted, owners, listed, shown, query.with_emails)


def _most_that_fit(owners: Mapping[str, list[Owner]], max_bytes: int, *, with_emails: bool) -> int:
    """Returns how many owners of each device can be listed: the same number for all devices, and at least one."""
    most = MAX_OWNERS
    if sum(map(len, owners.values())) * (_OWNER_OVERHEAD + _MAX_EMAIL_BYTES) <= max_bytes:
        return most  # nearly always
    while most > 1:
        emails = (owner.email if with_emails else "" for each in owners.values() for owner in each[:most])
        size = answer_size.size_of(emails, _OWNER_OVERHEAD)
        if size <= max_bytes:
            return most
        most //= 2
    return most
