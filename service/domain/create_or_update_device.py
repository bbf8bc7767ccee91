"""Creates or updates a device's record."""

from dataclasses import dataclass

from service.domain.errors import DeviceNotFound, InvalidFields, Violation
from service.domain.options import Options
from service.domain.replay import Request
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateOrUpdateDevice:
    """The command, validated. An empty type and properties that are None keep their values."""

    identifier: str
    device_type: str
    properties: str | None
    options: Options

    def request(self) -> Request:
        """Returns what the request id stands for."""
        return self.options.request("CreateOrUpdateDevice", self.identifier, self.device_type, self.properties)


@dataclass(frozen=True, slots=True)
class DeviceSaved:
    """The result. The id is empty in a preview of a new device."""

    device_id: str
    device_type: str
    was_created: bool


def create_or_update_device(uow: UnitOfWork, command: CreateOrUpdateDevice) -> DeviceSaved:
    """Creates or updates a device.

    Raises:
        InvalidFields: a new device needs a type.
    """
    record = uow.devices.find_record(command.identifier)
    if record is None and not command.device_type:
        raise InvalidFields([Violation("type", "is required for a new device")])
    if command.options.validate_only:
        device_type = command.device_type or (record.type if record else "")
        return DeviceSaved(record.id if record else "", device_type, record is None)
    created = record is None and bool(uow.devices.create([command.identifier], command.device_type)[1])
    uow.devices.update(command.identifier, command.device_type, command.properties)
    saved = uow.devices.find_record(command.identifier)
    if saved is None:
        raise DeviceNotFound
    return DeviceSaved(saved.id, saved.type, created)
