"""One transaction of one organisation: `unit_of_work.UnitOfWork` in SQL."""

from functools import cached_property

from service.storage.assignments import Assignments
from service.storage.backend import Backend
from service.storage.connection import Connection
from service.storage.customers import Customers
from service.storage.devices import Devices
from service.storage.numbers import CustomerNumbers, organization_number
from service.storage.operations import Operations
from service.storage.replies import Replies, Retry

__all__ = ["Retry", "Transaction"]


class Transaction:
    """What use cases read and write in a transaction, restricted to one organisation."""

    def __init__(self, connection: Connection, organization_id: str, backend: Backend) -> None:
        self.connection = connection
        self.backend = backend
        self._organization_id = organization_id

    @cached_property
    def numbers(self) -> CustomerNumbers:
        """The number of the organisation, and those of its customers."""
        return CustomerNumbers(self.connection, organization_number(self.connection, self._organization_id))

    @cached_property
    def customers(self) -> Customers:
        r"""The organisation's customers."""
        return Customers(self.connection, self.numbers, self.backend)

    @cached_property
    def devices(self) -> Devices:
        r"""The organisation's devices."""
        return Devices(self.connection, self.numbers.organization, self.backend)

    @cached_property
    def assignments(self) -> Assignments:
        r"""The organisation's assignments."""
        return Assignments(self.connection, self.numbers, self.backend)

    @cached_property
    def operations(self) -> Operations:
        r"""The organisation's operations."""
        return Operations(self.connection, self.numbers, self.backend)

    @cached_property
    def replies(self) -> Replies:
        r"""The organisation's replies."""
        return Replies(self.connection, self.numbers.organization)
