"""Device identifiers: opaque texts. A list of 100,000 valid ones is checked without a loop in Python."""

import re
from collections.abc import Iterator, Sequence

from service.domain.errors import SHOWN_VIOLATIONS, Violation
from service.runtime.chunks import chunks

MAX_CHARACTERS = 255
MAX_IN_CALL = 100_000
MAX_BYTES_IN_CALL = 3 * 1024 * 1024

_ASCII_SPACE_OR_CONTROL = bytes([*range(0x21), 0x7F])
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def problem(identifier: str) -> str | None:
    """Returns what is wrong with one identifier, or None."""
    if not identifier:
        return "must not be empty"
    if len(identifier) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters"
    if _CONTROL.search(identifier):
        return "must not contain control characters"
    if identifier != identifier.strip():
        return "must not begin or end with white space"
    return None


def check(identifiers: list[str], field: str = "device_identifiers") -> tuple[list[Violation], int]:
    """Checks a list of identifiers.

    Returns:
        The first violations, by index, and how many there are in all. A list that breaks a limit of its own (empty,
        over 100,000 members or over 3 MiB) has that one violation, and its members are not checked.
    """
    if not identifiers:
        return [Violation(field, "must name at least one device")], 1
    if len(identifiers) > MAX_IN_CALL:
        return [Violation(field, f"must have at most {MAX_IN_CALL} members, but has {len(identifiers)}")], 1
    size, well_formed = 0, True
    for chunk in chunks(identifiers):
        joined = "".join(chunk)
        written = joined.encode()
        size += len(written)
        well_formed = well_formed and _well_formed(chunk, joined, written)
    if size > MAX_BYTES_IN_CALL:
        text = f"must have at most {MAX_BYTES_IN_CALL} bytes in all (UTF-8), but has {size}"
        return [Violation(field, text)], 1
    if well_formed:
        return [], 0
    return _violations(identifiers, field)


def gathered(identifiers: Sequence[str]) -> set[str]:
    """Returns the members of a list as a set."""
    found: set[str] = set()
    for chunk in chunks(identifiers):
        found.update(chunk)
    return found


def divided(identifiers: list[str], touched: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divides a list into the members that `touched` has, and the others. `touched` has no other members.

    Neither list has a member twice. Both results keep the order.
    """
    if len(touched) == len(identifiers):
        return identifiers, []
    found = gathered(touched)
    return [i for i in identifiers if i in found], [i for i in identifiers if i not in found]


def _well_formed(identifiers: Sequence[str], joined: str, written: bytes) -> bool:
    """Returns True if all identifiers are valid. False says only that they must be checked one by one.

    Nearly all lists are ASCII without white space. Otherwise, where no identifier has white space, splitting the joined
    text at white space returns the same list; and printable text has no control characters.
    """
    lengths = list(map(len, identifiers))
    if min(lengths) == 0 or max(lengths) > MAX_CHARACTERS:
        return False
    if joined.isascii() and len(written.translate(None, _ASCII_SPACE_OR_CONTROL)) == len(written):
        return True
    if not joined.isprintable() and _CONTROL.search(joined):
        return False
    return "\n".join(identifiers).split() == identifiers


def _violations(identifiers: Sequence[str], field: str) -> tuple[list[Violation], int]:
    def found() -> Iterator[Violation]:
        for index, identifier in enumerate(identifiers):
            if (text := problem(identifier)) is not None:
                yield Violation(f"{field}[{index}]", text)

    shown: list[Violation] = []
    total = 0
    for violation in found():
        total += 1
        if len(shown) < SHOWN_VIOLATIONS:
            shown.append(violation)
    return shown, total


def unique(identifiers: Sequence[str]) -> list[str]:
    """Returns each identifier once, in the order of the first appearance."""
    return list(identifiers) if len(gathered(identifiers)) == len(identifiers) else list(dict.fromkeys(identifiers))
