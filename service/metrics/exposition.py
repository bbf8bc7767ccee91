"""Writes the metrics in the formats of Prometheus, with prometheus-client."""

import platform
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.metrics import numbers
from service.metrics.numbers import Kind, Metric, Sample
from service.version import VERSION

PREFIX = "device_assignment_"
OPENMETRICS = "application/openmetrics-text"
BUILD_TEXT = "The version that runs; always 1."


class _Numbers(Collector):
    """Turns the numbers of all processes into prometheus-client's classes."""

    def collect(self) -> Iterator[Family]:
        """Yields every metric that has samples."""
        for metric, samples in numbers.read():
            if samples:
                yield _family(metric, samples)
        labels = {"version": VERSION, "python_version": platform.python_version()}
        build = GaugeMetricFamily(f"{PREFIX}build_info", BUILD_TEXT, labels=list(labels))
        build.add_metric(list(labels.values()), 1)
        yield build


def _family(metric: Metric, samples: Sequence[Sample]) -> Family:
    name, text, labels = PREFIX + metric.name, metric.text, metric.labels
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, text, labels=labels)
        bounds = [*map(floatToGoString, metric.bounds), "+Inf"]
        for sample in samples:
            *counts, total = sample.numbers
            if any(counts):
                histogram.add_metric(sample.labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return histogram
    if metric.kind is Kind.COUNTER:
        counter = CounterMetricFamily(name, text, labels=labels)
        # Of hundreds of combinations of labels most never occur. One label alone is shown from the start, so that the
        # first increase is seen.
        for sample in samples:
            if sample.numbers[0] or len(labels) <= 1:
                counter.add_metric(sample.labels, sample.numbers[0])
        return counter
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for sample in samples:
        gauge.add_metric(sample.labels, sample.numbers[0])
    return gauge


def text(accept: str) -> tuple[bytes, str]:
    """Writes the metrics. Returns the text and its media type.

    Args:
        accept: what `format_of` has returned.
    """
    encoder: Any
    encoder, media_type = choose_encoder(accept)
    written: bytes = encoder(_Numbers())
    return written, media_type


def format_of(accept: str) -> str:
    """Returns the one of two formats that a header `Accept` asks for: OpenMetrics 1.0 or, by default, text 0.0.4."""
    return OPENMETRICS if OPENMETRICS in accept else ""
