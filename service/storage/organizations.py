"""Organisations, for the command line."""

from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from service.domain.ids import new_id
from service.storage.database import Database
from service.storage.tables import UNIQUE_NAME, organization


class NameTaken(Exception):
    """There is an organisation of this name."""


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant."""

    id: str
    name: str


class Organizations:
    """The tenants of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str) -> Organization:
        """Adds an organisation. Raises `NameTaken` if there is one of this name."""
        made = Organization(new_id("org"), name)
        values = {"id": made.id, "name": name}
        try:
            with self._database.session() as connection:
                connection.execute(insert(organization).values(created_at=func.clock_timestamp()), values)
        except IntegrityError as error:
            if self._database.backend.violates(error, UNIQUE_NAME):
                raise NameTaken(name) from error
            raise
        return made

    def all(self) -> list[Organization]:
        """Lists the organisations by name."""
        statement = select(organization.c.id, organization.c.name).order_by(organization.c.name)
        with self._database.session(write=False) as connection:
            return [Organization(*row) for row in connection.execute(statement)]

    def named(self, name: str) -> Organization | None:
        """Finds an organisation by its id or its name. An id takes precedence over a name that looks like it."""
        every = self.all()
        by_id = (found for found in every if found.id == name)
        by_name = (found for found in every if found.name == name)
        return next(by_id, None) or next(by_name, None)
