"""How a call comes in: its deadline, its key, scope and rate; and what happens when it is over."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from service.domain import keys
from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid, ScopeMissing, ServiceError
from service.domain.keys import Principal
from service.grpc_client.metadata import KEY_CHECK, LOGGED_REQUEST_ID, X_REQUEST_ID
from service.grpc_server.arrival import Arrival
from service.grpc_server.authentication import Authenticator, RateLimit
from service.grpc_server.call import Call, enter
from service.grpc_server.receiver import Receiver
from service.method_table import RPCS, UNKNOWN

# gRPC gives a far future for a call without a deadline.
_NO_DEADLINE_SECONDS = 10 * 365 * 86_400.0


class Admission:
    """Lets calls in, and knows which are open.

    Args:
        authenticator: checks keys.
        rate_limit: holds them to their rate.
    """

    def __init__(self, authenticator: Authenticator, rate_limit: RateLimit) -> None:
        self._authenticator = authenticator
        self._rate_limit = rate_limit
        # Stopping a statement can block on the network; a cancelled call must not hold up the others.
        self._stoppers = ThreadPoolExecutor(4, thread_name_prefix="stop-statement")
        self._open_calls = 0
        self._count = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether every call that came in, but for streams, has had its answer sent."""
        return self._open_calls == 0

    def close(self) -> None:
        """Lets the threads end."""
        self._stoppers.shutdown(wait=False)

    def arrive(
        self, arrival: Arrival, receiver: Receiver, context: grpc.ServicerContext, *, stream: bool = False
    ) -> Call:
        """Makes a call the current one, and has its statement stopped and its room freed when its caller is gone."""
        seconds = context.time_remaining()
        has_deadline = seconds is not None and seconds < _NO_DEADLINE_SECONDS
        deadline = time.monotonic() + seconds if has_deadline else None
        call = Call(arrival.method, Cancellation(deadline), x_request_id=request_id(context))
        enter(call)
        if stream:
            call.cancel = context.cancel

        def over() -> None:
            # gRPC's context holds the call, which must not hold the context: what refers to each other is freed by the
            # collector alone, and all calls wait while it frees the hundreds that have gathered.
            call.cancel = _nothing
            receiver.over(arrival)
            with self._count:
                self._open_calls -= not stream
            if call.cancellation.cancel():
                self._stoppers.submit(call.cancellation.stop)

        with self._count:
            self._open_calls += not stream
        arrival.has_end = True
        if not context.add_callback(over):
            over()
        return call

    def receive(self, method: str, secret: object) -> Arrival:
        """Makes what is known of a call before its message. Its error is set if the call is to be refused at once.

        Runs on the thread that takes all calls in, so it asks no database: the key is checked by its form, and by what
        was known of it not long ago.
        """
        arrival = Arrival(method, RPCS.get(method, UNKNOWN))
        if not isinstance(secret, str) or not keys.is_well_formed(secret):
            arrival.error = ApiKeyInvalid()
            return arrival
        arrival.sha256 = keys.sha256(secret)
        arrival.principal, good = self._authenticator.known(arrival.sha256)
        if good and arrival.principal is not None:
            try:
                self._screen(arrival, arrival.principal)
            except ServiceError as error:
                arrival.error = error.with_traceback(None)
        return arrival

    def admit(self, call: Call, arrival: Arrival) -> None:
        """Lets a call begin its work, or says why not.

        Raises:
            ApiKeyInvalid, ScopeMissing, RateLimited, Overloaded, MessageTimeout, RequestTooLarge: it may not come in.
            Cancelled, DeadlineExceeded, DatabaseUnavailable: the key could not be checked.
        """
        call.principal = arrival.principal
        call.cancellation.check()
        if arrival.error is not None:
            raise arrival.error
        call.principal = self._authenticator.principal(arrival.sha256, call.cancellation)
        if not arrival.screened:
            self._screen(arrival, call.principal)
        sha256 = arrival.sha256

        def recheck() -> None:
            self._authenticator.principal(sha256, Cancellation())

        call.recheck = recheck

    def still_good(self, arrival: Arrival) -> bool:
        """Returns whether a call's key has not been revoked, as far as that can be found out within a second."""
        try:
            self._authenticator.principal(arrival.sha256, Cancellation(time.monotonic() + 1.0))
        except ApiKeyInvalid:
            return False
        except ServiceError:
            return True
        return True

    def _screen(self, arrival: Arrival, principal: Principal) -> None:
        arrival.screened = True
        if arrival.method == KEY_CHECK:
            return
        scopes = arrival.rpc.scopes
        if not scopes or not principal.scopes.issuperset(scopes):
            raise ScopeMissing([scope for scope in scopes if scope not in principal.scopes])
        self._rate_limit.take(principal.key_id)


def _nothing() -> None:
    """Cancels a call that is over."""


def request_id(context: grpc.ServicerContext) -> str | None:
    """Gives what the caller calls the call, if that is fit for a log."""
    given = next((value for key, value in context.invocation_metadata() if key == X_REQUEST_ID), None)
    return given if isinstance(given, str) and LOGGED_REQUEST_ID.fullmatch(given) else None
