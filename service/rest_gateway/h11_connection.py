"""h11's connection with limits that h11 does not have. `test_protocol.py` tests what is used of h11's inner parts."""

import re
from typing import Any

import h11

MAX_HEAD_BYTES = 16 * 1024
MAX_HEAD_LINES = 100

# A chunk takes as long to read as a kilobyte, so a body may not have many more chunks than kilobytes.
_FREE_CHUNKS = 1_000
_CHUNK_BYTES = 1_024
_END_OF_HEAD = re.compile(rb"\n\r?\n")


class BoundedConnection(h11.Connection):
    """Ignores a blank line in front of a request (RFC 9112, 2.2), and limits heads and the number of chunks."""

    _chunks = 0
    _bytes = 0

    def next_event(self) -> Any:
        """Returns the next event. Raises `h11.RemoteProtocolError` if the input is not HTTP, or exceeds a limit."""
        if self.their_state is h11.IDLE:
            self._chunks = self._bytes = 0
            if not self._check_head():
                return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes // _CHUNK_BYTES:
                raise h11.RemoteProtocolError("the body has too many small chunks")
        return event

    def _check_head(self) -> bool:
        """Checks the limits before the head is parsed. Returns whether there is anything to parse."""
        received, _ = self.trailing_data
        if received.startswith((b"\r\n", b"\n")):
            self._receive_buffer.maybe_extract_lines()  # removes one blank line
            received, _ = self.trailing_data
        if received == b"\r":
            return False  # the rest of a blank line has not arrived
        end = _END_OF_HEAD.search(received)
        head = received if end is None else received[: end.start()]
        if len(head) > MAX_HEAD_BYTES or head.count(b"\n") > MAX_HEAD_LINES:
            raise h11.RemoteProtocolError("the head is too long")
        return True
