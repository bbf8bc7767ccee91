"""Cancellation, with the errors that callers see."""

from service.domain.errors import Cancelled, DeadlineExceeded
from service.runtime import cancellation


class Cancellation(cancellation.Cancellation):
    """Cancels the work of a call. `check` raises Cancelled or DeadlineExceeded."""

    cancelled_error = Cancelled
    deadline_error = DeadlineExceeded
