"""Customers in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from service.domain.email import Email
from service.domain.ids import new_id
from service.domain.values import Customer, CustomerRecord
from service.storage.backend import Backend
from service.storage.connection import Connection
from service.storage.numbers import CustomerNumbers
from service.storage.replies import Retry
from service.storage.statement import Statement
from service.storage.tables import UNIQUE_EMAIL, customer
from service.storage.types import TextArray, among

_CUSTOMER = select(
    customer.c.number, customer.c.id, customer.c.email, customer.c.revision, customer.c.device_count
).where(customer.c.organization_number == bindparam("organization_number"))
_OF_EMAIL = _CUSTOMER.where(customer.c.email_key == bindparam("email_key"))
_BY_EMAIL = Statement(_OF_EMAIL)
_BY_ID = Statement(_CUSTOMER.where(customer.c.id == bindparam("customer_id")))
# `FOR NO KEY UPDATE`: it keeps other writers of the customer out and lets foreign keys refer to the row.
# It must be a statement of its own: a statement that also read more would read the state from before it waited for the
# lock. SQLite ignores it: a write transaction has locked the whole database.
LOCK = Statement(_OF_EMAIL.with_for_update(key_share=True))
# Ordered by an expression: for a column SQLite would read all the organisation's customers in that order.
_LOCK_ALL = Statement(
    _CUSTOMER.add_columns(customer.c.email_key)
    .where(among(customer.c.email_key, bindparam("email_keys", type_=TextArray)))
    .order_by(customer.c.number + 0)
    .with_for_update(key_share=True)
)

_RECORD = _CUSTOMER.add_columns(
    customer.c.name, customer.c.phone, customer.c.address, customer.c.metadata, customer.c.created_at
)
_RECORD_BY_EMAIL = _RECORD.where(customer.c.email_key == bindparam("email_key"))
_RECORD_BY_ID = _RECORD.where(customer.c.id == bindparam("customer_id"))
_RECORDS = _RECORD.where(customer.c.id > bindparam("after")).order_by(customer.c.id).limit(bindparam("limit"))


class Customers:
    """See `unit_of_work.Customers`."""

    def __init__(self, connection: Connection, numbers: CustomerNumbers, backend: Backend) -> None:
        self._connection = connection
        self._numbers = numbers
        self._backend = backend

    def lock(self, email: Email) -> Customer | None:
        """Finds a customer and locks the customer's assignments until the transaction ends."""
        return self._one(LOCK, email_key=email.key)

    def lock_all(self, emails: Sequence[Email]) -> dict[str, Customer]:
        """Locks several customers, in the order of their numbers. Returns those that exist, by key."""
        parameters = {"organization_number": self._numbers.organization, "email_keys": [email.key for email in emails]}
        return {row[5]: self._customer(row) for row in self._connection.rows(_LOCK_ALL, parameters)}

    def create(self, emails: Sequence[Email]) -> tuple[dict[str, Customer], set[str]]:
        """Adds a customer for each address that has none, and locks the customers of all the addresses.

        They are added in the order of the keys, so that two of these cannot deadlock. Customers that another
        transaction has added meanwhile are locked afterwards, perhaps out of order. If that leads to a deadlock, the
        database detects it, and this transaction runs again.

        Raises:
            Retry: a customer who had one of the addresses at the insert has another one now.
        """
        ids = [new_id("cust") for _ in emails]
        created = self._backend.create_customers(self._connection, self._numbers.organization, emails, ids)
        locked = self.lock_all(emails)
        if any(email.key not in locked for email in emails):
            raise Retry
        return locked, created

    def update(self, customer_id: str, email: Email, fields: Mapping[str, str]) -> bool:
        """Sets the address and the named fields. An address with the same key keeps its first spelling."""
        mine = (customer.c.organization_number == self._numbers.organization, customer.c.id == customer_id)
        try:
            # In a savepoint: a transaction of PostgreSQL that has failed runs no more statements, but the use case
            # looks for the answer of the request id again after a refusal.
            with self._connection.core.begin_nested():
                if fields:
                    self._connection.core.execute(update(customer).where(*mine).values(dict(fields)))
                self._connection.core.execute(
                    update(customer)
                    .where(*mine, customer.c.email_key != email.key)
                    .values(email=email.given, email_key=email.key)
                )
        except IntegrityError as error:
            if self._backend.violates(error, UNIQUE_EMAIL):
                return False
            raise
        return True

    def find_record(self, *, email: Email | None = None, customer_id: str = "") -> CustomerRecord | None:
        """Finds everything that is stored of a customer."""
        if email is not None:
            return next(iter(self._records(_RECORD_BY_EMAIL, email_key=email.key)), None)
        if "\0" in customer_id:
            return None
        return next(iter(self._records(_RECORD_BY_ID, customer_id=customer_id)), None)

    def list_records(self, after: str, limit: int) -> list[CustomerRecord]:
        """Lists customers in the order of their ids, after a given id."""
        return self._records(_RECORDS, after=after, limit=limit)

    def _records(self, statement: Select[Any], **parameters: Any) -> list[CustomerRecord]:
        rows = self._connection.core.execute(
            statement, {"organization_number": self._numbers.organization, **parameters}
        )
        return [CustomerRecord(self._customer(row), *row[5:]) for row in rows]

    def find(self, *, email: Email | None = None, customer_id: str | None = None) -> Customer | None:
        """Finds a customer by address or id, without a lock."""
        if email is not None:
            return self._one(_BY_EMAIL, email_key=email.key)
        # The syntax of ids is not checked, but PostgreSQL refuses NUL characters, and no id has one.
        if customer_id is None or "\0" in customer_id:
            return None
        return self._one(_BY_ID, customer_id=customer_id)

    def _one(self, statement: Statement, **parameters: str) -> Customer | None:
        rows = self._connection.rows(statement, {"organization_number": self._numbers.organization, **parameters})
        return self._customer(rows[0]) if rows else None

    def _customer(self, row: Sequence[Any]) -> Customer:
        self._numbers.add(row[1], row[0])
        return Customer(*row[1:5])
