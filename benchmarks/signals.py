"""Lets SIGTERM end a run as Ctrl-C does, so that servers and temporary folders go with it."""

import signal
from types import FrameType


def interrupt_on_sigterm() -> None:
    """Turns SIGTERM into `KeyboardInterrupt`."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
