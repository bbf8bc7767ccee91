"""Device identifiers: opaque strings, checked by the hundred thousand without a loop where all is well."""

import re
from collections.abc import Iterator, Sequence

from service.domain.errors import SHOWN_VIOLATIONS, Violation
from service.runtime.chunks import parts

MAX_CHARACTERS = 255
MAX_IN_CALL = 100_000
MAX_BYTES_IN_CALL = 3 * 1024 * 1024

_ASCII_SPACE_OR_CONTROL = bytes([*range(0x21), 0x7F])
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
    size, well_formed = 0, True
    for part in parts(identifiers):
        joined = "".join(part)
        written = joined.encode()
        size += len(written)
        well_formed = well_formed and _well_formed(part, joined, written)
    if size > MAX_BYTES_IN_CALL:
        text = f"must have at most {MAX_BYTES_IN_CALL} bytes in all (UTF-8), but has {size}"
        return [Violation(field, text)], 1
    if well_formed:
        return [], 0
    return _violations(identifiers, field)


def gathered(identifiers: Sequence[str]) -> set[str]:
    """Gives a list as a set."""
    found: set[str] = set()
    for part in parts(identifiers):
        found.update(part)
    return found


def divided(identifiers: list[str], touched: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divides a list without repetitions into those that are in another such list, which has no others, and the rest.

    Both keep the list's order.
    """
    if len(touched) == len(identifiers):
        return identifiers, []
    found = gathered(touched)
    return [i for i in identifiers if i in found], [i for i in identifiers if i not in found]


def _well_formed(identifiers: Sequence[str], joined: str, written: bytes) -> bool:
    """Tells at once that all is well, without a loop in Python. A no is only a perhaps.

    Nearly always all is ASCII and has no space in it. Otherwise, where no identifier has white space in it, splitting
    at white space gives the list back; and what can be printed has no control character.
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
    """Names each identifier once, in the order of its first appearance."""
    return list(identifiers) if len(gathered(identifiers)) == len(identifiers) else list(dict.fromkeys(identifiers))
