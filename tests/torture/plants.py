"""Bugs to plant into a server process, so that the torture can prove that it finds them.

Each is a function that replaces a part of the service. They are for PostgreSQL: SQLite has one writer at a time.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy import bindparam

from service.domain import assign_devices as assign
from service.domain import transfer_devices as transfer
from service.domain.assign_devices import AssignDevices, DeviceAssigned, DevicesAssigned
from service.domain.errors import CustomerNotFound, RequestIdReused
from service.domain.identifiers import unique
from service.domain.ids import new_id
from service.domain.values import Reply
from service.grpc_server import use_cases
from service.grpc_server.rpcs import assign_devices as assign_devices_rpc
from service.storage import assignments, customers, tables
from service.storage.backend import View
from service.storage.database import Database
from service.storage.statement import Statement
from service.storage.transaction import Transaction
from service.storage.types import TextArray, among

# Long enough for an address to change hands meanwhile.
_PAUSE_SECONDS = 0.02


def no_lock() -> None:
    """Reads a customer's row where it has to be locked."""
    table = tables.customer
    read = Statement(customers._OF_EMAIL)
    among_them = among(table.c.email_key, bindparam("email_keys", type_=TextArray))
    read_all = customers._CUSTOMER.add_columns(table.c.email_key).where(among_them)
    cast("Any", customers).LOCK = cast("Any", assignments).LOCK = read
    cast("Any", customers)._LOCK_ALL = Statement(read_all)


def operation_outside() -> None:
    """Commits the change first, and records its operation in a transaction of its own."""

    def run(self: Any, organization_id: str, cancellation: Any, work: Callable[[Any], Any], view: View) -> Any:
        with self._connected(cancellation, view, again=True) as connection:
            changing = Transaction(connection, organization_id, self.backend)
            result = work(changing)
            cancellation.check()
        if view is View.WRITE and changing.operations._noted is not None:
            with self._connected(cancellation, view, again=False) as connection:
                recording = Transaction(connection, organization_id, self.backend)
                recording.operations.record(changing.operations._noted)
                recording.operations.finish(cancellation)
        return result

    cast("Any", Database)._run = run


def replay_behind() -> None:
    """Looks for the answer of a request id only when the work has been done again."""

    def answer_once(uow: Any, request: Any, codec: Any, work: Callable[[], Any]) -> tuple[Any, bool]:
        answer = work()
        if not request.request_id:
            return answer, False
        fingerprint = request.fingerprint()
        if (reply := uow.replies.find(request.request_id)) is not None:
            if reply.fingerprint != fingerprint:
                raise RequestIdReused
            return codec.decode(reply.answer), True
        uow.replies.keep(request.request_id, Reply(fingerprint, codec.encode(answer)))
        return answer, False

    cast("Any", use_cases).answer_once = answer_once


# What the first step of a call has locked, for the rest of it.
_kept = threading.local()


def _create(uow: Any, emails: list[Any]) -> set[str]:
    ids = [new_id("cust") for _ in emails]
    return cast("set[str]", uow.backend.create_customers(uow.connection, uow.numbers.organization, emails, ids))


def _lock_or_create(uow: Any, emails: list[Any], *, must_exist: bool, validate_only: bool) -> tuple[Any, set[str]]:
    if getattr(_kept, "locked", None) is not None:
        return cast("tuple[Any, set[str]]", _kept.locked)
    found = uow.customers.lock_all(emails)
    missing = [email for email in {e.key: e for e in reversed(emails)}.values() if email.key not in found]
    if not missing:
        return found, set()
    if must_exist:
        raise CustomerNotFound
    if validate_only:
        return found, {email.key for email in missing}
    # The address is taken in the first pause, and left again in the second.
    time.sleep(_PAUSE_SECONDS)
    created = _create(uow, missing)
    time.sleep(_PAUSE_SECONDS)
    return found | uow.customers.lock_all(missing), created


def customer_missing() -> None:
    """Goes on without a customer whose address changed while it was being created, and answers as if all were done."""
    real = assign.assign_devices

    def assign_devices(uow: Any, command: AssignDevices) -> DevicesAssigned:
        must_exist, validate_only = command.require_existing_customer, command.options.validate_only
        _kept.locked = None
        locked = _lock_or_create(uow, [command.customer], must_exist=must_exist, validate_only=validate_only)
        if validate_only or command.customer.key in locked[0]:
            _kept.locked = locked
            try:
                return real(uow, command)
            finally:
                _kept.locked = None
        known = uow.devices.known(unique(command.identifiers))
        assigned = [DeviceAssigned(identifier, known[identifier], was_created=False) for identifier in known]
        return DevicesAssigned(
            customer_id="",
            customer_was_created=False,
            assigned=assigned,
            already_assigned=[],
            skipped=[],
            device_count=len(assigned),
            operation_id="",
            revision="",
        )

    for module in (assign, transfer):
        cast("Any", module).lock_or_create = _lock_or_create
    for module_ in (assign, assign_devices_rpc):
        cast("Any", module_).assign_devices = assign_devices


PLANTS: dict[str, Callable[[], None]] = {
    "no-lock": no_lock,
    "operation-outside": operation_outside,
    "replay-behind": replay_behind,
    "customer-missing": customer_missing,
}
