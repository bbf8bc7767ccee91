"""Where `serve` and `gateway` serve their metrics."""

from collections.abc import Callable
from typing import Annotated

import typer

from service.cli.listening import check_address
from service.config import Settings
from service.rest_gateway.sockets import listen
from service.runtime import log
from service.runtime.operator_error import OperatorError

MetricsAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Serve /metrics for Prometheus there, in plaintext and without a key. Port 0 takes a free one.",
    ),
]


class MetricsUnavailable(OperatorError):
    """The metrics cannot be served; the text says where and why."""


def prepare(address: str | None, settings: Settings) -> Callable[[], None] | None:
    """Listens at the address of the option or of the setting. Returns what begins to serve there, if there is one.

    Raises:
        MetricsUnavailable: it cannot listen there.
    """
    address = address or settings.metrics_address
    if not address:
        return None
    check_address(address, "--metrics-address")
    # Loaded only if it is used, which saves a server without metrics some memory.
    from service.metrics.listener import MetricsListener  # noqa: PLC0415

    try:
        listening = listen(address)
    except OSError as error:
        raise MetricsUnavailable(f"cannot listen on {address} for metrics: {error.strerror}") from None
    log.info("metrics served", address=address, port=listening[0].getsockname()[1])
    return MetricsListener(listening).start
