"""Makes the table of metrics from the modules that define them."""

from service import app, rest
from service.metrics import exposition, numbers
from service.metrics.numbers import Kind, Metric

# Loading them defines all metrics of the server and of the gateway.
_DEFINING = (app, rest)

_KINDS = {Kind.COUNTER: "counter", Kind.HISTOGRAM: "histogram"}


def rows() -> list[str]:
    """Returns the lines of the table, in Markdown."""
    lines = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    lines += [_row(metric) for metric in sorted(numbers.defined(), key=lambda metric: metric.name)]
    lines.append(f"| `{exposition.PREFIX}build_info` | gauge | `version`, `python_version` | {exposition.BUILD_TEXT} |")
    return lines


def _row(metric: Metric) -> str:
    name = f"{exposition.PREFIX}{metric.name}" + ("_total" if metric.kind is Kind.COUNTER else "")
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {_KINDS.get(metric.kind, 'gauge')} | {labels} | {metric.text} |"
