"""Gets a device."""

from service.domain.errors import DeviceNotFound
from service.domain.values import DeviceRecord
from service.storage.unit_of_work import UnitOfWork


def get_device(uow: UnitOfWork, identifier: str) -> DeviceRecord:
    """Returns a device.

    Raises:
        DeviceNotFound: the organisation has no such device.
    """
    record = uow.devices.find_record(identifier)
    if record is None:
        raise DeviceNotFound
    return record
