"""Reads the lines of an import: a customer, a device that the customer has, and the device's type."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from service.domain import identifiers
from service.domain.email import Email
from service.runtime.operator_error import OperatorError

COLUMNS = ("customer_email", "device_identifier", "device_type")


class NotAnImport(OperatorError):
    """The file cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One valid line. `number` counts the file's lines from 1, the header included."""

    number: int
    customer: Email
    identifier: str
    device_type: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """One invalid line, and all that is wrong with it."""

    number: int
    problem: str


@dataclass(slots=True)
class _Known:
    """The addresses and the types of devices of the lines so far."""

    emails: dict[str, Email | None] = field(default_factory=dict)
    types: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_lines(text: Iterable[str]) -> Iterator[Line | BadLine]:
    """Reads a CSV file, line by line, and checks each.

    A line with another type of a device than an earlier line is invalid. White space around a value is removed.

    Args:
        text: the file's lines.

    Raises:
        NotAnImport: the header is missing or has other columns, or the file is not CSV in UTF-8.
    """
    reader = csv.reader(_without_mark(text), strict=True)
    known = _Known()
    try:
        header = next(reader, None)
        order = _order(header)
        for values in reader:
            if len(values) == len(COLUMNS):
                yield _read(reader.line_num, [values[index].strip() for index in order], known)
            elif values:
                yield BadLine(reader.line_num, f"has {len(values)} values instead of {len(COLUMNS)}")
    except csv.Error as error:
        raise NotAnImport(f"line {reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise NotAnImport(f"not UTF-8 text, after line {reader.line_num}") from error


def _without_mark(text: Iterable[str]) -> Iterator[str]:
    """Removes the byte order mark that spreadsheets write: before a quoted name it would be part of the name."""
    lines = iter(text)
    for first in lines:
        yield first.removeprefix("\ufeff")
        yield from lines


def _order(header: list[str] | None) -> list[int]:
    found = [name.strip() for name in header or []]
    if sorted(found) != sorted(COLUMNS):
        raise NotAnImport(f"the first line must name the columns {','.join(COLUMNS)}")
    return [found.index(column) for column in COLUMNS]


def _read(number: int, values: list[str], known: _Known) -> Line | BadLine:
    email_text, identifier, device_type = values
    problems = []
    if email_text not in known.emails:
        try:
            known.emails[email_text] = Email.parse(email_text)
        except ValueError:
            known.emails[email_text] = None
    email = known.emails[email_text]
    if email is None:
        problems.append("customer_email must be an e-mail address such as name@example.com")
    for column, value in (("device_identifier", identifier), ("device_type", device_type)):
        if (problem := identifiers.problem(value)) is not None:
            problems.append(f"{column} {problem}")
    if not problems:
        first_type, first_number = known.types.setdefault(identifier, (device_type, number))
        if first_type != device_type:
            problems.append(f"device_type differs from the device's type on line {first_number}")
    if email is None or problems:
        return BadLine(number, "; ".join(problems))
    return Line(number, email, identifier, device_type)
