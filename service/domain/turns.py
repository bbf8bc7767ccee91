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

_lock = threading.Lock()
_calls = 0
_long_calls = 0
# Whether the call in this context is a long one; None where there is no call, or a stream, which mostly waits.
_long: ContextVar[bool | None] = ContextVar("long", default=None)


def begin() -> None:
    """Notes that a call begins in this context."""
    _long.set(False)
    _count(1, 0)


def end() -> None:
    """Notes the end of the call that is in this context, if there is one."""
    if _long.get() is None:
        return
    _count(-1, -1 if _long.get() else 0)
    _long.set(None)


def lengthen() -> None:
    """Notes that the call in this context, if there is one, is a long one."""
    if _long.get() is False:
        _long.set(True)
        _count(0, 1)


def give_way() -> None:
    """Lets others compute, if there are any that are short."""
    if _long.get() and _calls > _long_calls:
        time.sleep(_AWAY_SECONDS)


def _count(calls: int, long_calls: int) -> None:
    global _calls, _long_calls  # noqa: PLW0603  # there is one interpreter
    with _lock:
        _calls += calls
        if long_calls:
            _long_calls += long_calls
            sys.setswitchinterval(_SHORT_SECONDS if _long_calls else _USUAL_SECONDS)
