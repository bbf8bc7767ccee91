"""Reads a request's fields into values, and names everything that is wrong with them at once."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from service.domain import identifiers
from service.domain.email import Email
from service.domain.errors import InvalidFields, Violation
from service.domain.list_assigned import DEFAULT_PAGE_SIZE
from service.domain.tokens import PageToken

MAX_NOTE_CHARACTERS = 500

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NANOS = 1_000_000_000
_NOWHERE = Email("", "")

E = TypeVar("E", bound=IntEnum)


class Fields:
    """Collects what is wrong. Each reader gives a value of the right type whatever it was given; `check` tells."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._total = 0

    def wrong(self, field: str, description: str) -> None:
        """Notes a violation."""
        self._violations.append(Violation(field, description))
        self._total += 1

    def check(self) -> None:
        """Raises `InvalidFields` with all that was wrong, if anything was."""
        if self._total:
            raise InvalidFields(self._violations, self._total)

    def email(self, field: str, text: str) -> Email:
        """Reads a required e-mail address."""
        try:
            return Email.parse(text)
        except ValueError as error:
            self.wrong(field, str(error) if text else "is required")
            return _NOWHERE

    def identifiers(self, field: str, values: Iterable[str]) -> list[str]:
        """Reads a required list of device identifiers."""
        listed = list(values)
        violations, total = identifiers.check(listed, field)
        self._violations += violations
        self._total += total
        return listed

    def request_id(self, text: str) -> str:
        """Reads an optional UUID, in lower case."""
        if text and not _UUID.fullmatch(text):
            self.wrong("request_id", "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000")
        return text.lower()

    def note(self, text: str) -> str:
        """Reads an optional note."""
        if len(text) > MAX_NOTE_CHARACTERS:
            self.wrong("note", f"must have at most {MAX_NOTE_CHARACTERS} characters, but has {len(text)}")
        if "\0" in text:
            self.wrong("note", "must not contain the character U+0000")
        return text

    def choice(self, field: str, number: int, kind: type[E], otherwise: E) -> E:
        """Reads an enum; unspecified is `otherwise`."""
        if number == 0:
            return otherwise
        try:
            return kind(number)
        except ValueError:
            self.wrong(field, "has a value that this version does not know")
            return otherwise

    def page_size(self, number: int) -> int:
        """Reads a page size; 0 is the usual one."""
        if number < 0:
            self.wrong("page_size", "must not be negative")
        return number or DEFAULT_PAGE_SIZE

    def page_token(self, text: str) -> PageToken | None:
        """Reads an optional page token."""
        if not text:
            return None
        try:
            return PageToken.decode(text)
        except ValueError:
            self.wrong("page_token", "must be the next_page_token of an earlier answer, unchanged")
            return None

    def instant(self, field: str, present: bool, value: Timestamp) -> datetime | None:  # noqa: FBT001  # HasField's answer
        """Reads an optional moment. What is finer than a microsecond is left out."""
        if not present:
            return None
        try:
            moment = _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
        except OverflowError:
            moment = None
        if moment is None or not 0 <= value.nanos < _SECOND_NANOS:
            self.wrong(field, "must be a timestamp between the years 1 and 9999")
        return moment
