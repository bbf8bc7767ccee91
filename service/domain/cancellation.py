"""Cancellation, with the errors that callers see."""

from service.domain.errors import Cancelled, DeadlineExceeded
from service.runtime import cancellation


class Cancellation(cancellation.Cancellation):
    """What a call and its transaction share; `check` raises Cancelled or DeadlineExceeded."""

    cancelled_error = Cancelled
    deadline_error = DeadlineExceeded
