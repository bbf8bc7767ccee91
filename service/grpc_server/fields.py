"""Reads a request's fields into values, and reports all violations at once."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Protocol, TypeVar

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from service.domain import identifiers
from service.domain.email import Email
from service.domain.errors import InvalidFields, Violation
from service.domain.options import Options
from service.domain.pages import DEFAULT_PAGE_SIZE
from service.grpc_server import structs
from service.runtime.chunks import chunks

MAX_NOTE_CHARACTERS = 500

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NANOS = 1_000_000_000
_NOWHERE = Email("", "")

E = TypeVar("E", bound=IntEnum)
T = TypeVar("T")


class Write(Protocol):
    """The fields that the requests of all writes have."""

    request_id: str
    validate_only: bool


class Fields:
    """Reads fields and collects violations. Each method returns a value of its type, valid or not; `check` raises."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._total = 0

    def wrong(self, field: str, description: str) -> None:
        """Adds a violation."""
        self._violations.append(Violation(field, description))
        self._total += 1

    def check(self) -> None:
        """Raises `InvalidFields` with all violations, if there are any."""
        if self._total:
            raise InvalidFields(self._violations, self._total)

    def options(self, request: Write, key_id: str, *, expected_revision: str = "") -> Options:
        """Reads the options of a write. Only writes that record an operation have a note."""
        return Options(
            key_id=key_id,
            request_id=self.request_id(request.request_id),
            validate_only=request.validate_only,
            note=self.text("note", getattr(request, "note", ""), MAX_NOTE_CHARACTERS),
            expected_revision=expected_revision,
        )

    def email(self, field: str, text: str) -> Email:
        """Reads a required e-mail address."""
        try:
            return Email.parse(text)
        except ValueError as error:
            self.wrong(field, str(error) if text else "is required")
            return _NOWHERE

    def identifiers(self, field: str, values: Sequence[str]) -> list[str]:
        """Reads a required list of device identifiers."""
        listed: list[str] = []
        for chunk in chunks(values):
            listed += chunk
        violations, total = identifiers.check(listed, field)
        self._violations += violations
        self._total += total
        return listed

    def emails(self, field: str, texts: Sequence[str], most: int) -> list[Email]:
        """Reads a required list of e-mail addresses, with at most this many members."""
        if not texts:
            self.wrong(field, "must name at least one customer")
        if len(texts) > most:
            self.wrong(field, f"must have at most {most} members, but has {len(texts)}")
            return []
        return [self.email(f"{field}[{index}]", text) for index, text in enumerate(texts)]

    def identifier(self, field: str, text: str) -> str:
        """Reads a required device identifier."""
        if (problem := identifiers.problem(text)) is not None:
            self.wrong(field, problem if text else "is required")
        return text

    def most(self, field: str, listed: list[str], most: int) -> list[str]:
        """Checks a list against the rpc's own limit of members."""
        if len(listed) > most:
            self.wrong(field, f"must have at most {most} members, but has {len(listed)}")
        return listed

    def device_type(self, field: str, text: str) -> str:
        """Reads an optional type of a device, which is checked as an identifier is."""
        if text and (problem := identifiers.problem(text)) is not None:
            self.wrong(field, problem)
        return text

    def type_of_new_devices(self, text: str, *, required: bool) -> str:
        """Reads the type that devices get if they are created."""
        if required and not text:
            self.wrong("device_type", "is required when devices may be created")
        return self.device_type("device_type", text)

    def text(self, field: str, text: str, most: int = 255) -> str:
        """Reads a text of at most this many characters."""
        if len(text) > most:
            self.wrong(field, f"must have at most {most} characters, but has {len(text)}")
        if "\0" in text:
            self.wrong(field, "must not contain the character U+0000")
        return text

    def required(self, field: str, text: str) -> str:
        """Reads a required id, which is not checked further."""
        if not text:
            self.wrong(field, "is required")
        return text

    def token(self, text: str, read: Callable[[str], T], otherwise: T, field: str = "page_token") -> T:
        """Reads an optional token."""
        try:
            return read(text) if text else otherwise
        except ValueError:
            self.wrong(
                field,
                "must be the next_page_token of an earlier answer to the same request, unchanged"
                if field == "page_token"
                else "must be the resume_token of an earlier answer, unchanged",
            )
            return otherwise

    def struct(self, field: str, value: Struct) -> str:
        """Reads a Struct, as JSON."""
        try:
            return structs.to_json(value)
        except ValueError as error:
            self.wrong(field, str(error))
            return "{}"

    def request_id(self, text: str) -> str:
        """Reads an optional UUID, in lower case."""
        if text and not _UUID.fullmatch(text):
            self.wrong("request_id", "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000")
        return text.lower()

    def choice(self, field: str, number: int, kind: type[E], otherwise: E) -> E:
        """Reads an enum value; unspecified is `otherwise`."""
        if number == 0:
            return otherwise
        try:
            return kind(number)
        except ValueError:
            self.wrong(field, "has a value that this version does not know")
            return otherwise

    def page_size(self, number: int) -> int:
        """Reads a page size; 0 is the default."""
        if number < 0:
            self.wrong("page_size", "must not be negative")
        return number or DEFAULT_PAGE_SIZE

    def instant(self, field: str, present: bool, value: Timestamp) -> datetime | None:  # noqa: FBT001  # HasField's answer
        """Reads an optional timestamp, truncated to microseconds."""
        if not present:
            return None
        try:
            moment = _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
        except OverflowError:
            moment = None
        if moment is None or not 0 <= value.nanos < _SECOND_NANOS:
            self.wrong(field, "must be a timestamp between the years 1 and 9999")
        return moment
