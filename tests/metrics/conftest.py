"""Fixtures: counting in the process of the test, and what has been counted."""

from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import exposition, numbers

Counted = Callable[..., float | None]


@pytest.fixture
def counted() -> Iterator[Counted]:
    """Counts, and returns numbers by name and labels: `counted("calls_total", rpc="GetDevice", status="OK")`."""
    numbers.start()
    yield lambda name, **labels: value(exposition.text("")[0], name, **labels)
    numbers.stop()


def value(text: bytes, name: str, **labels: str) -> float | None:
    """Reads a number from what was served; None if it is not there."""
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            if sample.name == f"device_assignment_{name}" and sample.labels == labels:
                return sample.value
    return None
