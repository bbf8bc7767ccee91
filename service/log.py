"""The log: one line an event, JSON where nobody watches, and nothing personal in it."""

import logging
import re
import sys
from json import JSONEncoder
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from service.domain.keys import KEY_PATTERN

_EMAIL = re.compile(r"[^\s\"'<>()=,;:]+@[^\s\"'<>()=,;:]+")
# Where PostgreSQL quotes the offending row, up to what SQLAlchemy or Python writes next: a value may have many lines.
_DETAIL = re.compile(
    r"^(DETAIL|CONTEXT|\s*Failing row).*?(?=^\[SQL|^The above exception was|\Z)", re.MULTILINE | re.DOTALL
)


def redact(text: str) -> str:
    """Takes e-mail addresses, keys and quoted rows out of a text such as an error's."""
    return KEY_PATTERN.sub("[key]", _EMAIL.sub("[e-mail]", _DETAIL.sub("[row]\n", text)))


def _redact_what_others_wrote(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name in ("exception", "x_request_id"):
        if isinstance(event.get(name), str):
            event[name] = redact(event[name])
    return event


_process = ""


def name_process(name: str) -> None:
    """Says on every line from now on which process it comes from."""
    global _process  # noqa: PLW0603  # a process has one name
    _process = name


def _add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if _process:
        event["process"] = _process
    return event


# Kept: `json.dumps` would make one for every line.
_ENCODER = JSONEncoder(default=repr)


def _to_json(event: EventDict, **_: object) -> str:
    return _ENCODER.encode(event)


def configure(stream: TextIO = sys.stderr, *, json: bool | None = None) -> None:
    """Sets the log up, for this service's events and for the libraries' warnings.

    Args:
        stream: where it goes.
        json: one JSON object a line; if not told, unless the stream is a terminal.
    """
    as_json = not stream.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        _add_process,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_what_others_wrote,
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
