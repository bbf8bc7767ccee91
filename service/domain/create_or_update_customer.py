"""Creates or updates a customer's record."""

from dataclasses import dataclass

from service.domain.email import Email
from service.domain.errors import CustomerNotFound, EmailTaken
from service.domain.options import Options
from service.domain.replay import Request
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class CreateOrUpdateCustomer:
    """The command, validated. An empty `customer_id` creates; a field that is None keeps its value."""

    email: Email
    customer_id: str
    options: Options
    name: str | None = None
    phone: str | None = None
    address: str | None = None
    metadata: str | None = None

    def request(self) -> Request:
        """Returns what the request id stands for."""
        content = (self.email.key, self.customer_id, self.name, self.phone, self.address, self.metadata)
        return self.options.request("CreateOrUpdateCustomer", *content)


def create_or_update_customer(uow: UnitOfWork, command: CreateOrUpdateCustomer) -> str:
    """Creates or updates a customer. Returns the id, which is empty in a preview of a new one.

    Raises:
        EmailTaken: another customer has the address.
        CustomerNotFound: there is no customer to update.
    """
    other = uow.customers.find(email=command.email)
    customer_id = command.customer_id
    if not command.customer_id:
        if other is not None:
            raise EmailTaken
        if command.options.validate_only:
            return ""
        added, created = uow.customers.create([command.email])
        if not created:
            raise EmailTaken
        customer_id = added[command.email.key].id
    elif uow.customers.find(customer_id=command.customer_id) is None:
        raise CustomerNotFound
    elif other is not None and other.id != command.customer_id:
        raise EmailTaken
    if command.options.validate_only:
        return customer_id
    # A new customer's name is the local part of the address unless another one is given.
    name = command.name if command.customer_id else (command.name or None)
    fields = {"name": name, "phone": command.phone, "address": command.address, "metadata": command.metadata}
    changed = {field: value for field, value in fields.items() if value is not None}
    if not uow.customers.update(customer_id, command.email, changed):
        raise EmailTaken
    return customer_id
