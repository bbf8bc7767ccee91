"""Names a run of many calls, so that a broken one can be taken up again.

A run id is a UUID (version 8) of three parts: when the run began, chance, and a digest of what it does. Each call's
request id is derived from it: a repeat with the same run id gets the first answers to calls that were made and makes
the others. By the digest a repeat is distinguished from another run before anything is sent; by the time, a run whose
request ids the server may have deleted is refused.
"""

import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta

from service.domain.identifiers import MAX_BYTES_IN_CALL

REMEMBERED = timedelta(hours=24)
"""How long every server keeps request ids, at least (the lower bound of the setting REQUEST_ID_HOURS)."""

_VERSION = 8 << 76
_VARIANT = 2 << 62
_DIGEST_BITS = 40
_CHANCE_LOW_BITS = 22


class NotThisRun(Exception):
    """A run id that cannot be taken up with this command; the text says why."""


def begin(content: Sequence[object], now: Callable[[], float] = time.time) -> uuid.UUID:
    """Names a new run of a command with this content."""
    high = secrets.randbits(12) << 64
    low = secrets.randbits(_CHANCE_LOW_BITS) << _DIGEST_BITS
    return uuid.UUID(int=int(now() * 1000) << 80 | _VERSION | high | _VARIANT | low | _digest(content))


def take_up(text: str, content: Sequence[object], now: Callable[[], float] = time.time) -> uuid.UUID:
    """Reads the id of a run to go on with.

    Raises:
        NotThisRun: it is no run id, or the run did something else, or began too long ago.
    """
    try:
        run = uuid.UUID(text)
    except ValueError:
        raise NotThisRun("must be the run id that the broken run printed") from None
    if run.int & ((1 << _DIGEST_BITS) - 1) != _digest(content):
        raise NotThisRun(
            "that run was another one: the command, the customer, the devices or their order, the note or an option "
            "differs; repeat the command exactly as it was, with --resume added"
        )
    if now() - (run.int >> 80) / 1000 > REMEMBERED.total_seconds():
        raise NotThisRun("that run began more than 24 hours ago, and the server may have forgotten it: begin a new one")
    return run


def request_id(run: uuid.UUID, index: int) -> str:
    """Names a call of a run."""
    return str(uuid.uuid5(run, str(index)))


def chunks(identifiers: Sequence[str], size: int) -> list[list[str]]:
    """Divides a list into calls of so many devices each, or fewer where they are too many bytes for one call."""
    cut: list[list[str]] = [[]]
    bytes_left = MAX_BYTES_IN_CALL
    for identifier in identifiers:
        bytes_ = len(identifier.encode())
        if len(cut[-1]) >= size or bytes_ > bytes_left:
            cut.append([])
            bytes_left = MAX_BYTES_IN_CALL
        cut[-1].append(identifier)
        bytes_left -= bytes_
    return cut


def _digest(content: Sequence[object]) -> int:
    digest = hashlib.sha256(json.dumps(list(content)).encode()).digest()
    return int.from_bytes(digest) >> (256 - _DIGEST_BITS)
