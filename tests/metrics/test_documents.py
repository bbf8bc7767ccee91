"""The documents name no metric that does not exist."""

import re
from pathlib import Path

import service.app
import service.rest
from service.metrics import exposition, numbers
from service.metrics.numbers import Kind

assert service.app
assert service.rest

_ROOT = Path(__file__).parent.parent.parent
_NAME = re.compile(rf"\b{exposition.PREFIX}[a-z_]+[a-z]\b")


def test_each_metric_that_a_document_names_exists() -> None:
    known = {f"{exposition.PREFIX}build_info"}
    for metric in numbers.defined():
        name = exposition.PREFIX + metric.name
        known.add(f"{name}_total" if metric.kind is Kind.COUNTER else name)
        if metric.kind is Kind.HISTOGRAM:
            known |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    named = {name for path in _ROOT.glob("docs/**/*.md") for name in _NAME.findall(path.read_text())}
    assert len(named) > 20
    assert named <= known
