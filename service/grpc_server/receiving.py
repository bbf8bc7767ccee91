"""Receives a call's message before a thread serves the call. Inner parts of grpcio 1.85 are used here alone.

In grpcio, the thread that serves a call starts to receive the message and waits for it without a time-out. So a caller
that sends headers and no message holds a thread for as long as the connection lives. Here, the thread that accepts
calls starts to receive, and a thread serves the call when the message is complete. A call without a message holds no
thread, and a call with one costs one switch between threads less.

The setting `RECEIVE_AHEAD` turns it off: then threads wait for messages, as in grpcio.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc._server as inner
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its types leave out what is inner


class Job:
    """A call that gRPC has submitted to an executor. To gRPC its method streams requests; on the wire that is the same.

    Args:
        fn, args: the arguments of `submit`.
    """

    __slots__ = ("_args", "_fn")

    def __init__(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._fn = fn
        self._args = args

    def __call__(self) -> None:
        """Serves the call."""
        self._fn(*self._args)

    def receive(self, done: Callable[[bytes | None], None]) -> None:
        """Starts to receive the message.

        Args:
            done: is called with the message, or with None if the caller has ended the call without one. It runs on the
                thread that accepts calls, so it must not block.
        """
        state, call = self._state, self._args[1].call
        received = inner._receive_message(state, call, None)  # noqa: SLF001  # see the module's docstring

        def on_event(event: Any) -> Any:
            finished = received(event)
            with state.condition:
                message, state.request = state.request, None
            done(message)
            return finished

        with state.condition:
            if active := inner._is_rpc_state_active(state):  # noqa: SLF001  # as above
                call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), on_event)
                state.due.add(inner._RECEIVE_MESSAGE_TOKEN)  # noqa: SLF001  # as above
        if not active:
            done(None)

    def set_messages(self, messages: Sequence[bytes]) -> None:
        """Sets the messages that the call is served with, instead of those that gRPC would wait for."""
        target, event, state, behavior, _, request_deserializer, response_serializer = self._args
        self._args = (
            target,
            event,
            state,
            behavior,
            lambda: iter(messages),
            request_deserializer,
            response_serializer,
        )

    def release(self) -> None:
        """Removes the reference to the message."""
        self.set_messages(())

    @property
    def peer(self) -> str:
        """The address of the caller's end of the connection."""
        peer: bytes = self._args[1].call.peer()
        return peer.decode()

    @property
    def active(self) -> bool:
        """Whether the caller still waits for an answer."""
        active: bool = inner._is_rpc_state_active(self._state)  # noqa: SLF001  # as above
        return active

    def cancel(self) -> None:
        """Cancels the call."""
        self._args[1].call.cancel()

    @property
    def _state(self) -> Any:
        return self._args[2]


class Sender:
    """Sends the latest of several messages on a stream, without waiting until the caller receives them.

    gRPC's own way to send blocks a thread, with the locks that it holds, until the caller's flow control allows more.

    Args:
        context: the stream's.
        serialize: writes a message.
    """

    def __init__(self, context: grpc.ServicerContext, serialize: Callable[[Any], bytes]) -> None:
        of_grpc: Any = context
        self._event = of_grpc._rpc_event  # noqa: SLF001  # see the module's docstring
        self._state = of_grpc._state  # noqa: SLF001  # as above
        self._serialize = serialize
        self._next: Any = None
        self._sending = False
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        """Sends a message after the one before it. Of several that come meanwhile, only the last one is sent."""
        with self._lock:
            self._next = message
            if self._sending:
                return
            self._sending = True
        self._start()

    def cancel(self) -> None:
        """Cancels the stream."""
        self._event.call.cancel()

    def _start(self) -> None:
        with self._lock:
            message, self._next = self._next, None
            if message is None:
                self._sending = False
                return
        state = self._state
        with state.condition:
            if not inner._is_rpc_state_active(state):  # noqa: SLF001  # as above
                return
            operations = [cygrpc.SendMessageOperation(self._serialize(message), 0)]
            if state.initial_metadata_allowed:
                operations.insert(0, inner._get_initial_metadata_operation(state, None))  # noqa: SLF001  # as above
                state.initial_metadata_allowed = False
            token = inner._SEND_MESSAGE_TOKEN  # noqa: SLF001  # as above
            sent = inner._send_message(state, token)  # noqa: SLF001  # as above

            def on_event(event: Any) -> Any:
                finished = sent(event)
                self._start()
                return finished

            self._event.call.start_server_batch(tuple(operations), on_event)
            state.due.add(token)
