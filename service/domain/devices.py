"""Devices as records: create, update, read."""

from dataclasses import dataclass

from service.domain import answer_size, tokens
from service.domain.errors import DeviceNotFound, InvalidFields, Violation
from service.domain.list_assigned_devices import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import DeviceRecord
from service.storage.unit_of_work import UnitOfWork

MAX_BULK_DEVICES = 1_000

# What a device takes in an answer beside the texts: an id, a time, tags and lengths.
_RECORD_OVERHEAD = 96


@dataclass(frozen=True, slots=True)
class SaveDevice:
    """A validated wish. An empty type and properties that are None keep what there is."""

    identifier: str
    device_type: str
    properties: str | None
    options: Options

    def request(self) -> Request:
        """Tells what the request id stands for."""
        return self.options.request("CreateOrUpdateDevice", self.identifier, self.device_type, self.properties)


@dataclass(frozen=True, slots=True)
class SaveProperties:
    """A validated wish: new properties for many devices, each named once."""

    properties: dict[str, str]
    options: Options

    def request(self) -> Request:
        """Tells what the request id stands for."""
        return self.options.request("BulkUpdateDeviceMetadata", list(self.properties.items()))


@dataclass(frozen=True, slots=True)
class DeviceSaved:
    """The device, and whether it is new. The id is empty in a preview of a new one."""

    device_id: str
    device_type: str
    was_created: bool


def save_device(uow: UnitOfWork, wish: SaveDevice) -> DeviceSaved:
    """Creates or updates a device.

    Raises:
        InvalidFields: a new device needs a type.
    """
    record = uow.devices.record(wish.identifier)
    if record is None and not wish.device_type:
        raise InvalidFields([Violation("type", "is required for a new device")])
    if wish.options.validate_only:
        device_type = wish.device_type or (record.type if record else "")
        return DeviceSaved(record.id if record else "", device_type, record is None)
    created = record is None and bool(uow.devices.create([wish.identifier], wish.device_type)[1])
    uow.devices.update(wish.identifier, wish.device_type, wish.properties)
    saved = uow.devices.record(wish.identifier)
    if saved is None:
        raise DeviceNotFound
    return DeviceSaved(saved.id, saved.type, created)


def save_properties(uow: UnitOfWork, wish: SaveProperties) -> dict[str, bool]:
    """Replaces the properties of every device that there is. Tells of each whether there is one."""
    known = uow.devices.known(list(wish.properties))
    if not wish.options.validate_only:
        # In the order of the identifiers, so that two of these cannot deadlock.
        for identifier in sorted(known):
            uow.devices.update(identifier, "", wish.properties[identifier])
    return {identifier: identifier in known for identifier in wish.properties}


def get_device(uow: UnitOfWork, identifier: str) -> DeviceRecord:
    """Gives a device. Raises `DeviceNotFound` if the organisation has no such."""
    record = uow.devices.record(identifier)
    if record is None:
        raise DeviceNotFound
    return record


def list_devices(
    uow: UnitOfWork, after: str, max_answer_bytes: int, page_size: int = DEFAULT_PAGE_SIZE
) -> tuple[list[DeviceRecord], str]:
    """Gives one page of devices, ordered by identifier, and a token for the next."""
    page, more = answer_size.page(
        uow.devices.records,
        after,
        key=lambda record: record.identifier,
        size=_size,
        limit=min(page_size, MAX_PAGE_SIZE),
        room=max_answer_bytes - answer_size.FIELDS_BYTES,
    )
    return page, tokens.pack("all-devices", page[-1].identifier) if more else ""


def _size(record: DeviceRecord) -> int:
    texts = answer_size.size_of((record.identifier, record.type))
    return texts + answer_size.struct_size(record.properties) + _RECORD_OVERHEAD


def read_devices_token(text: str) -> str:
    """Reads a token of a list of devices. Raises `ValueError` if this is none."""
    (after,) = tokens.unpack(text, "all-devices", str)
    return str(after)
