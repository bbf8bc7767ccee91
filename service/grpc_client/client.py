"""A synchronous client that retries calls and resumes streams."""

from __future__ import annotations  # the names below are imported for the type checker alone

import random
import time
from typing import TYPE_CHECKING, Any

from service.grpc_client.failure import CallFailed
from service.grpc_client.metadata import RESUME_TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.grpc_client.connection import Connection, Values

_ATTEMPTS = 8
_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0


class Client:
    """Calls a server with one API key.

    Args:
        connection: the channel.
        api_key: the key.
        seconds: how long a call may take, with its retries.
        on_retry: is called before each retry with the failure and the delay in seconds.
    """

    def __init__(
        self, connection: Connection, api_key: str, seconds: float, on_retry: Callable[[CallFailed, float], None]
    ) -> None:
        self._connection = connection
        self._api_key = api_key
        self._seconds = seconds
        self._on_retry = on_retry

    def call(self, method: str, **request: Any) -> Values:
        """Calls an rpc, and repeats the same request after transient failures. A write should have a `request_id`.

        Raises:
            CallFailed: the last failure.
        """
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while True:
            try:
                return self._connection.call(method, request, self._api_key, deadline - time.monotonic())
            except CallFailed as failed:
                attempt += 1
                self._wait(failed, attempt, deadline)

    def pages(self, method: str, **request: Any) -> Iterator[Values]:
        """Calls a listing rpc for each page."""
        while True:
            page = self.call(method, **request)
            yield page
            if not page["next_page_token"]:
                return
            request["page_token"] = page["next_page_token"]

    def watch(self, **request: Any) -> Iterator[Values]:
        """Streams operations, and resumes after the last one when the stream ends or breaks.

        Yields the messages of `WatchOperations`, and at the beginning of each stream one with only a `resume_token`.

        Raises:
            CallFailed: the failure is not transient, or the first stream did not begin within the attempts of a call.
        """
        deadline = time.monotonic() + self._seconds
        attempt = 0
        while True:
            try:
                metadata, messages = self._connection.stream("WatchOperations", request, self._api_key)
                if token := metadata.get(RESUME_TOKEN):
                    # A stream that has begun is resumed without a limit of attempts or time.
                    attempt, deadline = 0, float("inf")
                    request = {**request, "after": token, "from_now": False}
                    yield {"resume_token": token}
                for message in messages:
                    request["after"] = message["resume_token"]
                    yield message
            except CallFailed as failed:
                attempt += 1
                self._wait(failed, attempt, deadline)

    def _wait(self, failed: CallFailed, attempt: int, deadline: float) -> None:
        """Sleeps before the next attempt; raises the failure if there is none."""
        backoff = min(_FIRST_DELAY_SECONDS * 2 ** min(attempt - 1, _ATTEMPTS), _LONGEST_DELAY_SECONDS)
        # Jitter: clients that failed at the same time do not retry at the same time.
        delay = (failed.retry_seconds or backoff) * random.uniform(1.0, 1.25)  # noqa: S311  # not a secret
        unlimited = deadline == float("inf")
        if not failed.is_transient or (attempt >= _ATTEMPTS and not unlimited) or time.monotonic() + delay >= deadline:
            raise failed
        self._on_retry(failed, delay)
        time.sleep(delay)
