"""Which devices a write skips, why, and the refusal of a write that must not skip any."""

from enum import IntEnum

from service.domain.errors import DevicesSkipped, Violation
from service.storage.unit_of_work import UnitOfWork


class SkipReason(IntEnum):
    """Why a device was skipped."""

    NOT_ASSIGNED = 1
    UNKNOWN_DEVICE = 2


def skip_reasons(uow: UnitOfWork, skipped: list[str]) -> list[SkipReason]:
    """Returns, for each device that a customer does not have, whether the device exists at all."""
    known = uow.devices.known(skipped) if skipped else {}
    return [SkipReason.NOT_ASSIGNED if identifier in known else SkipReason.UNKNOWN_DEVICE for identifier in skipped]


def refusal(identifiers: list[str], skipped: list[str], reasons: list[SkipReason]) -> DevicesSkipped:
    """Makes the error of a call with `require_all`: the places in the request, and why each would be skipped."""
    reason_of = dict(zip(skipped, reasons, strict=True))
    violations = [
        Violation(f"device_identifiers[{index}]", f"SKIP_REASON_{reason_of[identifier].name}")
        for index, identifier in enumerate(identifiers)
        if identifier in reason_of
    ]
    return DevicesSkipped(violations)
