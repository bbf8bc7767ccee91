"""Device identifiers: opaque strings, checked by the hundred thousand without a loop where all is well."""

import re
from collections.abc import Iterator, Sequence

from service.domain.errors import SHOWN_VIOLATIONS, Violation

MAX_CHARACTERS = 255
MAX_IN_CALL = 100_000
MAX_BYTES_IN_CALL = 3 * 1024 * 1024

_PART = 2_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def problem(identifier: str) -> str | None:
    """Says what is wrong with one identifier, or nothing (CONTRACT.md, "Identifiers")."""
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
        over 100,000 members or over 3 MiB) has that one violation, and its members are not looked at.
    """
    if not identifiers:
        return [Violation(field, "must name at least one device")], 1
    if len(identifiers) > MAX_IN_CALL:
        return [Violation(field, f"must have at most {MAX_IN_CALL} members, but has {len(identifiers)}")], 1
    size = sum(len("".join(part).encode()) for part in _parts(identifiers))
    if size > MAX_BYTES_IN_CALL:
        text = f"must have at most {MAX_BYTES_IN_CALL} bytes in all (UTF-8), but has {size}"
        return [Violation(field, text)], 1
    if all(_well_formed(part) for part in _parts(identifiers)):
        return [], 0
    return _violations(identifiers, field)


def _parts(identifiers: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cuts a long list, so that no single step keeps the interpreter from the threads of other calls for long."""
    for first in range(0, len(identifiers), _PART):
        yield identifiers[first : first + _PART]


def _well_formed(identifiers: Sequence[str]) -> bool:
    """Tells at once that all is well, without a loop in Python. A no is only a perhaps.

    Where no identifier has white space in it, which is nearly always, splitting at white space gives the list back.
    What can be printed has no control character.
    """
    joined = "".join(identifiers)
    if not joined.isprintable() and _CONTROL.search(joined):
        return False
    return "\n".join(identifiers).split() == identifiers and max(map(len, identifiers)) <= MAX_CHARACTERS


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
    """Names each identifier once, in the order of its first appearance."""
    found: set[str] = set()
    for part in _parts(identifiers):
        found.update(part)
    return list(identifiers) if len(found) == len(identifiers) else list(dict.fromkeys(identifiers))
