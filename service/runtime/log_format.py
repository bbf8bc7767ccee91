"""Writes an event as a line: a JSON object for programs, or `name=value` for people, without personal data."""

import logging
import re
from datetime import UTC, datetime
from json import JSONEncoder, dumps
from typing import Any

from service.runtime.redaction import redact, redact_and_cut
from service.runtime.terminal import visible

LOGGER = "device_assignment"
"""The name of the logger of the service's own events."""

# Texts of callers, which may be long.
_CALLER_FIELDS = ("method", "path", "x_request_id")

# One encoder for all lines: `json.dumps` with an argument makes one for each.
_to_json = JSONEncoder(default=repr).encode
_NEEDS_QUOTES = re.compile(r'[\s"=\\]')


def _to_text(event: dict[str, Any]) -> str:
    """Writes an event for people: time, level, name and fields, and an exception indented below.

    Callers choose some of it, such as a method's name. They must not be able to forge a field or a line.
    """
    line = [event.pop("timestamp"), f"[{event.pop('level')}]", visible(event.pop("event"))]
    below = event.pop("exception", "").rstrip()
    line += [f"{name}={_quoted(str(value))}" for name, value in event.items()]
    return "\n".join([" ".join(line), *(f"  {visible(each)}" for each in (below.split("\n") if below else ()))])


def _quoted(value: str) -> str:
    return visible(dumps(value, ensure_ascii=False) if _NEEDS_QUOTES.search(value) else value)


class EventFormatter(logging.Formatter):
    """Formats the service's events, whose fields are in the record's `fields`, and the messages of libraries.

    Args:
        json: whether a line is a JSON object.
    """

    def __init__(self, *, json: bool) -> None:
        super().__init__()
        self.process_name = ""
        self._encode = _to_json if json else _to_text

    def format(self, record: logging.LogRecord) -> str:
        """Formats a record, without a line break at its end. A library's message may quote anything."""
        if record.name == LOGGER:
            name, fields = str(record.msg), dict(getattr(record, "fields", {}))
        else:
            name, fields = redact(record.getMessage()), {}
            if left_out := getattr(record, "left_out", 0):
                fields["left_out"] = left_out
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return self.line(name, record.levelname.lower(), fields, record.created)

    def line(self, event: str, level: str, fields: dict[str, Any], at: float) -> str:
        """Writes an event: its time, level and name first, and then those fields that have a value.

        Args:
            event: its name.
            level: `info`, `warning` or `error`.
            fields: what belongs to it.
            at: its time, in seconds since 1970.
        """
        try:
            written: dict[str, Any] = {
                "timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "level": level,
                "event": event,
            }
            if self.process_name:
                written["process"] = self.process_name
            written |= {name: value for name, value in fields.items() if value is not None and value != ""}
            if "exception" in written:
                written["exception"] = redact(written["exception"])
            for name in _CALLER_FIELDS:
                if name in written:
                    written[name] = redact_and_cut(written[name])
            return self._encode(written)
        except Exception as error:  # noqa: BLE001  # whatever it is, the call and the other lines must not fail
            # Not the error's text, which may quote the event.
            return self.line("event not written", "error", {"name": event, "reason": type(error).__name__}, at)
