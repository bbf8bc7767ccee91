"""Admits calls: checks the key, its scopes and its rate, and keeps the deadline. Also notes when a call is over."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from service.domain import keys
from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid, ScopeMissing, ServiceError
from service.domain.keys import Principal
from service.grpc_client.metadata import KEY_CHECK, LOGGED_REQUEST_ID, X_REQUEST_ID
from service.grpc_server.authentication import Authenticator, RateLimit
from service.grpc_server.call import Call, begin_span, enter
from service.grpc_server.incoming_call import IncomingCall
from service.grpc_server.message_receiver import MessageReceiver
from service.method_table import RPCS, UNKNOWN
from service.tracing import spans

# gRPC returns a deadline in the far future for a call without one.
_NO_DEADLINE_SECONDS = 10 * 365 * 86_400.0


class Admission:
    """Admits calls, and counts those that are open.

    Args:
        authenticator: checks keys.
        rate_limit: bounds the calls of each key.
    """

    def __init__(self, authenticator: Authenticator, rate_limit: RateLimit) -> None:
        self._authenticator = authenticator
        self._rate_limit = rate_limit
        # Stopping a statement can block on the network. One cancelled call must not delay the others.
        self._stoppers = ThreadPoolExecutor(4, thread_name_prefix="stop-statement")
        self._open_calls = 0
        self._count = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether the answers of all calls but streams have been sent."""
        return self._open_calls == 0

    def close(self) -> None:
        """Ends the threads, each when it has nothing to do."""
        self._stoppers.shutdown(wait=False)

    def open(
        self, incoming: IncomingCall, receiver: MessageReceiver, context: grpc.ServicerContext, *, stream: bool = False
    ) -> Call:
        """Makes a call the current one. When it is over, its statement is stopped and its capacity is freed."""
        seconds = context.time_remaining()
        has_deadline = seconds is not None and seconds < _NO_DEADLINE_SECONDS
        deadline = time.monotonic() + seconds if has_deadline else None
        call = Call(incoming.method, Cancellation(deadline), x_request_id=request_id(context))
        enter(call)
        if spans.started() and call.method != KEY_CHECK:
            begin_span(call, context.invocation_metadata(), incoming.since)
        if stream:
            call.cancel = context.cancel

        def over() -> None:
            # gRPC's context refers to the call, so the call must not refer to the context: a cycle of references is
            # freed by the garbage collector alone, and all calls wait while it frees hundreds of them.
            call.cancel = _nothing
            receiver.over(incoming)
            with self._count:
                self._open_calls -= not stream
            if call.cancellation.cancel():
                self._stoppers.submit(call.cancellation.stop)

        with self._count:
            self._open_calls += not stream
        incoming.has_end = True
        if not context.add_callback(over):
            over()
        return call

    def receive(self, method: str, secret: object) -> IncomingCall:
        """Returns what is known of a call before its message. Its error is set if the call is to be refused at once.

        Runs on the thread that accepts all calls, so it asks no database: the key is checked by its form and by the
        cache.
        """
        incoming = IncomingCall(method, RPCS.get(method, UNKNOWN))
        if not isinstance(secret, str) or not keys.is_well_formed(secret):
            incoming.error = ApiKeyInvalid()
            return incoming
        incoming.sha256 = keys.sha256(secret)
        incoming.principal, good = self._authenticator.known(incoming.sha256)
        if good and incoming.principal is not None:
            try:
                self._screen(incoming, incoming.principal)
            except ServiceError as error:
                incoming.error = error.with_traceback(None)
        return incoming

    def admit(self, call: Call, incoming: IncomingCall) -> None:
        """Admits a call, or raises the error that it ends with.

        Raises:
            ApiKeyInvalid, ScopeMissing, RateLimited, Overloaded, MessageTimeout, RequestTooLarge: it is refused.
            Cancelled, DeadlineExceeded, DatabaseUnavailable: the key could not be checked.
        """
        call.principal = incoming.principal
        call.cancellation.check()
        if incoming.error is not None:
            raise incoming.error
        call.principal = self._authenticator.principal(incoming.sha256, call.cancellation)
        if not incoming.screened:
            self._screen(incoming, call.principal)
        sha256 = incoming.sha256

        def recheck() -> None:
            self._authenticator.principal(sha256, Cancellation())

        call.recheck = recheck

    def still_good(self, incoming: IncomingCall) -> bool:
        """Returns whether a call's key is still valid; also True if it cannot be checked within a second."""
        try:
            self._authenticator.principal(incoming.sha256, Cancellation(time.monotonic() + 1.0))
        except ApiKeyInvalid:
            return False
        except ServiceError:
            return True
        return True

    def _screen(self, incoming: IncomingCall, principal: Principal) -> None:
        incoming.screened = True
        if incoming.method == KEY_CHECK:
            return
        scopes = incoming.rpc.scopes
        if not scopes or not principal.scopes.issuperset(scopes):
            raise ScopeMissing([scope for scope in scopes if scope not in principal.scopes])
        self._rate_limit.take(principal.key_id)


def _nothing() -> None:
    """Stands for the cancellation of a call that is over."""


def request_id(context: grpc.ServicerContext) -> str | None:
    """Returns the caller's own id of the call, if it has a form that the log accepts."""
    given = next((value for key, value in context.invocation_metadata() if key == X_REQUEST_ID), None)
    return given if isinstance(given, str) and LOGGED_REQUEST_ID.fullmatch(given) else None
