"""Devices in SQL."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from service.domain.ids import new_id
from service.domain.values import DeviceRecord
from service.storage.backend import Backend
from service.storage.connection import Connection
from service.storage.replies import Retry
from service.storage.statement import Statement
from service.storage.tables import device
from service.storage.types import TextArray, among

_KNOWN = Statement(
    select(device.c.identifier, device.c.id).where(
        device.c.organization_number == bindparam("organization_number"),
        among(device.c.identifier, bindparam("identifiers", type_=TextArray)),
    )
)
_RECORD = select(device.c.identifier, device.c.id, device.c.type, device.c.properties, device.c.created_at).where(
    device.c.organization_number == bindparam("organization_number")
)
_ONE = _RECORD.where(device.c.identifier == bindparam("identifier"))
_PAGE = _RECORD.where(device.c.identifier > bindparam("after")).order_by(device.c.identifier).limit(bindparam("limit"))


class Devices:
    """See `unit_of_work.Devices`."""

    def __init__(self, connection: Connection, organization_number: int, backend: Backend) -> None:
        self._connection = connection
        self._organization_number = organization_number
        self._backend = backend

    def known(self, identifiers: Sequence[str]) -> dict[str, str]:
        """Returns the ids of the devices that exist, by identifier."""
        parameters = {"organization_number": self._organization_number, "identifiers": list(identifiers)}
        return {row[0]: row[1] for row in self._connection.rows(_KNOWN, parameters)}

    def create(self, identifiers: Sequence[str], device_type: str) -> tuple[dict[str, str], set[str]]:
        """Adds a device of a type for each identifier that has none."""
        ids = {identifier: new_id("dev") for identifier in identifiers}
        self._backend.create_devices(self._connection, self._organization_number, device_type, ids)
        # A device that another transaction has added meanwhile has another id.
        known = self.known(identifiers)
        if len(known) < len(ids):
            raise Retry
        return known, {identifier for identifier, id_ in ids.items() if known[identifier] == id_}

    def find_record(self, identifier: str) -> DeviceRecord | None:
        """Finds everything that is stored of a device."""
        row = self._connection.core.execute(
            _ONE, {"organization_number": self._organization_number, "identifier": identifier}
        ).one_or_none()
        return None if row is None else DeviceRecord(*row)

    def list_records(self, after: str, limit: int) -> list[DeviceRecord]:
        """Lists devices in the order of their identifiers, after a given one."""
        parameters = {"organization_number": self._organization_number, "after": after, "limit": limit}
        return [DeviceRecord(*row) for row in self._connection.core.execute(_PAGE, parameters)]

    def update(self, identifier: str, device_type: str, properties: str | None) -> None:
        """Sets the type, unless it is empty, and the properties, unless they are None."""
        values = {"type": device_type} if device_type else {}
        if properties is not None:
            values["properties"] = properties
        if values:
            self._connection.core.execute(
                update(device)
                .where(device.c.organization_number == self._organization_number, device.c.identifier == identifier)
                .values(values)
            )
