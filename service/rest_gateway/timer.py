"""A timer of the event loop that can be restarted."""

import asyncio
from collections.abc import Callable


class Timer:
    """Calls a function once after some time, unless it is stopped or restarted before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, callback: Callable[[], object]) -> None:
        """Starts the timer anew."""
        self.stop()
        self._handle = self._loop.call_later(seconds, callback)

    def stop(self) -> None:
        """Stops the timer, if it runs."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
