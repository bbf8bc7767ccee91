"""Devices in SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from service.storage.tables import device
from service.storage.types import TextArray, among

_KNOWN = select(device.c.identifier).where(
    device.c.organization_id == bindparam("organization_id"),
    among(device.c.identifier, bindparam("identifiers", type_=TextArray())),
)


class Devices:
    """See `domain.unit_of_work.Devices`."""

    def __init__(self, connection: Connection, organization_id: str) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def known(self, identifiers: Sequence[str]) -> set[str]:
        """Tells which of the identifiers have a device."""
        parameters = {"organization_id": self._organization_id, "identifiers": list(identifiers)}
        return set(self._connection.execute(_KNOWN, parameters).scalars())
