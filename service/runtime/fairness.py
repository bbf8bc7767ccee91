"""Lets short calls run beside long ones, which work on long lists.

One thread at a time holds Python's interpreter lock, and releases it after the switch interval, 5 ms, if others wait. A
short call needs the lock a dozen times, and beside a long call waits 5 ms each time. So while there is a long call, the
interval is 0.2 ms, and the long call sleeps between the chunks of its lists while there are short ones.

The figures are in docs/decisions/long-calls.md. To measure it again, run `python -m benchmarks.fairness`. To do without
it, have `give_way` return and `_change` not set the interval.
"""

import sys
import threading
import time
from contextvars import ContextVar

_USUAL_INTERVAL_SECONDS = 0.005
_SHORT_INTERVAL_SECONDS = 0.0002
_SLEEP_SECONDS = 0.0003
_MAX_SLEEPS = 16

_SHORT, _LONG, _STREAM = range(3)

_lock = threading.Lock()
# The number of calls of each kind.
_counts = [0, 0, 0]
# The kind of the call in this context; None without a call, and for a stream that waits for new operations.
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
    """Notes that the stream in this context reads old operations, until `end`.

    It yields to short calls like a long call, but does not shorten the switch interval: each of its steps is shorter
    than that, and many waiting threads would ask for the lock all the time.
    """
    _change(_STREAM)


def give_way() -> None:
    """Sleeps for a moment if there are short calls and this one is not.

    The more long calls there are, the longer each sleeps, so that there are moments when all of them do; up to
    `_MAX_SLEEPS` times as long.
    """
    kind = _kind.get()
    if kind is not None and kind != _SHORT and _counts[_SHORT]:
        time.sleep(_SLEEP_SECONDS * min(_counts[_LONG] + _counts[_STREAM], _MAX_SLEEPS))


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
            sys.setswitchinterval(_SHORT_INTERVAL_SECONDS if _counts[_LONG] else _USUAL_INTERVAL_SECONDS)
