"""Lists the devices, ordered by identifier."""

from service.domain import answer_size, tokens
from service.domain.pages import PageLimits, read_page
from service.domain.values import DeviceRecord
from service.storage.unit_of_work import UnitOfWork

# What a device takes in an answer beside the texts: an id, a time, tags and lengths.
_RECORD_OVERHEAD = 96


def list_devices(uow: UnitOfWork, after: str, limits: PageLimits) -> tuple[list[DeviceRecord], str]:
    """Returns one page of devices, and a token for the next.

    Args:
        uow: the transaction.
        after: the identifier after which the page begins.
        limits: where it ends.
    """
    page, more = read_page(uow.devices.list_records, after, limits, key=lambda record: record.identifier, size=_size)
    return page, tokens.pack("all-devices", page[-1].identifier) if more else ""


def read_token(text: str) -> str:
    """Reads a page token: the identifier after which the page begins. Raises `ValueError` if it is another text."""
    (after,) = tokens.unpack(text, "all-devices", str)
    return str(after)


def _size(record: DeviceRecord) -> int:
    texts = answer_size.size_of((record.identifier, record.type))
    return texts + answer_size.struct_size(record.properties) + _RECORD_OVERHEAD
