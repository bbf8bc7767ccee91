"""Reads the owners of devices; small lookups of one organisation that come at the same time share one statement."""

from datetime import datetime

from service.domain.cancellation import Cancellation
from service.domain.lookup_owners import MAX_OWNERS
from service.domain.values import Ownership
from service.grpc_server import call
from service.runtime.coalescing import Coalescer
from service.storage.unit_of_work import Storage, UnitOfWork

# With more devices the way to the database and back is no longer most of the cost.
_MAX_SHARED = 10


class OwnerLookup:
    """Reads the owners of devices for the call that the thread serves.

    Args:
        storage: runs transactions.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._shared = Coalescer(self._read_now)

    def find(self, identifiers: list[str], at: datetime | None) -> Ownership:
        """Reads the owners of devices, now or at an instant, with one statement. May return other devices' too.

        Raises:
            DatabaseUnavailable, Conflict, Cancelled, DeadlineExceeded: see `Storage.read`.
        """
        current, principal = call.current()
        organization_id, cancellation = principal.organization_id, current.cancellation
        if at is not None:
            return self._read(organization_id, cancellation, identifiers, at)
        if len(identifiers) > _MAX_SHARED:
            return self._read_now(organization_id, cancellation, identifiers)
        return self._shared.find(organization_id, cancellation, identifiers)

    def _read_now(self, organization_id: str, cancellation: Cancellation, identifiers: list[str]) -> Ownership:
        return self._read(organization_id, cancellation, identifiers, None)

    def _read(
        self, organization_id: str, cancellation: Cancellation, identifiers: list[str], at: datetime | None
    ) -> Ownership:
        def work(uow: UnitOfWork) -> Ownership:
            return uow.assignments.owners(identifiers, at, MAX_OWNERS)

        return self._storage.read(organization_id, cancellation, work, one_statement=True)
