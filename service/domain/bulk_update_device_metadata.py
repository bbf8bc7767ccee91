"""Replaces the properties of many devices."""

from dataclasses import dataclass

from service.domain.options import Options
from service.domain.replay import Request
from service.storage.unit_of_work import UnitOfWork

MAX_DEVICES = 1_000


@dataclass(frozen=True, slots=True)
class BulkUpdateDeviceMetadata:
    """The command, validated: the new properties, by device."""

    properties: dict[str, str]
    options: Options

    def request(self) -> Request:
        """Returns what the request id stands for."""
        return self.options.request("BulkUpdateDeviceMetadata", list(self.properties.items()))


def bulk_update_device_metadata(uow: UnitOfWork, command: BulkUpdateDeviceMetadata) -> dict[str, bool]:
    """Replaces the properties of every device that exists. Returns, for each device, whether it exists."""
    known = uow.devices.known(list(command.properties))
    if not command.options.validate_only:
        # In the order of the identifiers, so that two of these calls cannot deadlock.
        for identifier in sorted(known):
            uow.devices.update(identifier, "", command.properties[identifier])
    return {identifier: identifier in known for identifier in command.properties}
