"""Health, told in a way that can never hold up the one thread that all calls come in on."""

from collections.abc import Callable
from typing import Any

from grpc_health.v1 import health

from service.transport.lanes import Lane

SERVICE_NAME = health.SERVICE_NAME
OVERALL_HEALTH = health.OVERALL_HEALTH


class Health(health.HealthServicer):
    """gRPC's own servicer, which lets go of a closed watch somewhere else.

    gRPC tells of a close on the thread that also reports what has been sent. Its servicer takes a lock there, and holds
    the same lock while it waits for that report: a watch that closes while the health changes would stop the server.

    Args:
        lane: where watches are begun and let go.
    """

    def __init__(self, lane: Lane) -> None:
        super().__init__(experimental_thread_pool=lane)
        self._lane = lane

    def _on_close_callback(self, send_response_callback: Any, service: str) -> Callable[[], object]:
        let_go = super()._on_close_callback(send_response_callback, service)  # type: ignore[misc]  # not in its stubs
        return lambda: self._lane.submit(let_go)
