"""Whose turn it is to compute, where a call works on a long list beside others that are short.

One thread at a time has the interpreter. Python takes it away after 5 ms if others wait for it. That suits small calls,
which are done sooner; but each waits for it a dozen times, and beside a long one would wait so long each time. So while
there is a long call, turns are short; and a long call gives way between the parts of its lists, for as long as there
are others.
"""

import sys
import threading
import time
from contextvars import ContextVar

_USUAL_SECONDS = 0.005
_SHORT_SECONDS = 0.0002
_AWAY_SECONDS = 0.0003

_SHORT, _LONG, _STREAM = range(3)

_lock = threading.Lock()
# How many calls there are of each kind.
_counts = [0, 0, 0]
# The kind of the call in this context; None where there is no call, or a stream that waits for what is new.
_kind: ContextVar[int | None] = ContextVar("kind", default=None)


def begin() -> None:
    """Notes that a call begins in this context."""
    _change(_SHORT)


def end() -> None:
    """Notes the end of the call that is in this context, if there is one."""
    _change(None)


def lengthen() -> None:
    """Notes that the call in this context, if there is one, is a long one."""
    if _kind.get() == _SHORT:
        _change(_LONG)


def catch_up() -> None:
    """Notes that the stream in this context reads what is past, until `end`.

    It is a long call, but turns stay as they are: each of its steps is shorter than a turn, and many streams that wait
    for short turns would wake up all the time.
    """
    _change(_STREAM)


def give_way() -> None:
    """Lets others compute, if there are any that are short.

    The more long calls there are, the longer each is away, so that there are moments when all of them are.
    """
    kind = _kind.get()
    if kind is not None and kind != _SHORT and _counts[_SHORT]:
        time.sleep(_AWAY_SECONDS * (_counts[_LONG] + _counts[_STREAM]))


def _change(kind: int | None) -> None:
    before = _kind.get()
    if before == kind:
        return
    _kind.set(kind)
    with _lock:
        if before is not None:
            _counts[before] -= 1
        if kind is not None:
            _counts[kind] += 1
        if _LONG in {before, kind}:
            sys.setswitchinterval(_SHORT_SECONDS if _counts[_LONG] else _USUAL_SECONDS)
