"""The settings, read from the environment once."""

import difflib
import math
import os
import re
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from service.runtime.operator_error import OperatorError

PREFIX = "DEVICE_ASSIGNMENT_"

LEAST_RECEIVE_BYTES = 16 * 1024 * 1024

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class BadSetting(OperatorError):
    """A variable of the environment cannot be used; the text names it and says why."""


def _number(default: float, least: float = 0, most: float = math.inf) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


def _one_of(default: str, *others: str) -> Any:
    return field(default=default, metadata={"words": (default, *others)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field a variable, named `DEVICE_ASSIGNMENT_` and the field's name in capitals.

    Values given in code are taken as they are; `load` checks those of the environment.
    """

    database_url: str = "sqlite:///device-assignment.db"
    """Where the data is: an SQLite file, or `postgresql+psycopg://…`. Percent-encode special characters, in a path also
    `?` as `%3F` and `%` as `%25`."""

    prepared_statements: Literal["auto", "always", "never"] = _one_of("auto", "always", "never")
    """Whether statements on PostgreSQL are prepared. `auto` prepares them until a pooler turns out not to keep them,
    and no more from then on."""

    threads: int = _number(16, 1, 256)
    """Calls that each worker serves at once, each with a database connection. One organisation has at most half of
    them."""

    waiting_calls: int = _number(2_000)
    """Calls that may wait for a thread, divided among the workers. More are refused with `RESOURCE_EXHAUSTED`, as are
    those of one organisation beyond half."""

    connections: int = _number(4_000, 1)
    """Connections to gRPC at once, on each address, if the limit of open files allows as many; divided among the
    workers. A connection beyond is closed."""

    connection_age_seconds: float = _number(600.0, 0, 1_000_000)
    """The age, more or less a tenth, at which a connection to gRPC takes no more calls, so that its caller connects
    again, perhaps to another worker or server. Its calls and streams go on. 0 is no limit."""

    message_seconds: float = _number(30.0, 0.1, 3_600)
    """How long the message of a call may take to arrive before the call ends with `DEADLINE_EXCEEDED`."""

    receive_bytes: int = _number(256 * 1024 * 1024, LEAST_RECEIVE_BYTES)
    """Bytes that the messages over 64 KiB of all calls that are received, wait or run may have together; 4 MiB are set
    aside for each message that arrives slowly. Divided among the workers, which have 16 MiB at least. One organisation
    has at most half."""

    receive_ahead: bool = True
    """Whether the message of a call is received before the call gets a thread. Otherwise threads wait for messages,
    which costs more, and calls without a message hold threads for `MESSAGE_SECONDS`."""

    cpu_affinity: bool = True
    """Whether the threads of a server process stay together on one CPU, the least busy one. Has no effect on
    systems other than Linux."""

    max_answer_bytes: int = _number(4 * 1024 * 1024, 64 * 1024)
    """The size at which lists in answers stop and continue in pages. gRPC clients accept 4 MiB by default."""

    rate_limit: float = _number(0.0)
    """Calls a second that each API key may make, divided among the workers; 0 is no limit."""

    streams: int = _number(100, 1, 1_000)
    """Streams of operations that may be open at once, divided among the workers. More are refused, as are those of one
    organisation beyond half."""

    stream_seconds: float = _number(3_600.0, 0.001)
    """The age at which a stream of operations ends, so that its caller connects again, perhaps to another server."""

    key_cache_seconds: float = _number(2.0, 0, 4)
    """How long a checked key is trusted without another look at the database. A revoked key works no longer than
    this."""

    request_id_hours: float = _number(48.0, 24, 87_600)
    """How long a request id is remembered."""

    drain_seconds: float = _number(20.0)
    """How long calls in flight may take to finish when the server stops."""

    rest_timeout_seconds: float = _number(60.0, 0.001, 3_600)
    """The deadline of a REST request that names none. Streams have none."""

    rest_max_body_bytes: int = _number(10 * 1024 * 1024, 1_024)
    """The longest body of a REST request. The default is enough for 3 MiB of identifiers with every character
    escaped."""

    rest_connections: int = _number(2_000, 1, 60_000)
    """Connections to the REST gateway at once, if the limit of open files allows as many. One API key may have
    requests in progress on half of them."""

    rest_buffered_bytes: int = _number(64 * 1024 * 1024, 1024 * 1024)
    """Bytes of large bodies and answers that the REST gateway holds in memory, half of them for one API key. The first
    64 KiB of each body and answer are not counted."""

    rest_keep_alive_seconds: float = _number(15.0, 0.001)
    """How often a stream of events that has nothing to send sends a comment, so that proxies keep it open."""

    rest_cors_origins: str = ""
    """The origins whose web pages may call, separated by spaces; `*` is any."""

    reflection: bool = True
    """Whether gRPC tools may ask the server which services it has."""

    metrics_address: str = ""
    """Where `serve` and `gateway` serve `/metrics` for Prometheus, `host:port`; nowhere by default. `--metrics-address`
    comes first."""

    traces_endpoint: str = ""
    """Where spans are sent, by OTLP over gRPC, such as `http://127.0.0.1:4317`; nowhere by default. Needs the extra
    `tracing`."""

    log_format: str = _one_of("auto", "json", "console")
    """The format of the log. `auto` is JSON unless the log goes to a terminal."""


_NOT_SETTINGS = frozenset({"API_KEY", "TEST_POSTGRES_URL", "TEST_PGBOUNCER"})
# Kubernetes sets these in every container for a service of the name device-assignment.
_OF_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?")


def misspelt() -> list[str]:
    """Returns a sentence for each variable of the environment that has the prefix and is no setting."""
    known = {setting.name.upper() for setting in fields(Settings)} | _NOT_SETTINGS
    given = (name.removeprefix(PREFIX) for name in sorted(os.environ) if name.startswith(PREFIX))
    return [
        f"{PREFIX}{name} is not a setting and has no effect; {_advice(name, known)}"
        for name in given
        if name not in known and not _OF_KUBERNETES.fullmatch(name)
    ]


def _advice(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), sorted(known), n=1)
    return f"did you mean {PREFIX}{nearest[0]}?" if nearest else "docs/operate.md lists the settings"


def load() -> Settings:
    """Reads the environment.

    Raises:
        BadSetting: a value is out of its range or of the wrong kind.
    """
    found: dict[str, Any] = {}
    problems = []
    for setting in fields(Settings):
        variable = PREFIX + setting.name.upper()
        if (text := os.environ.get(variable)) is not None:
            try:
                found[setting.name] = _read(setting, text.strip())
            except ValueError as error:
                problems.append(f"{variable} {error}")
    if problems:
        raise BadSetting("; ".join(problems))
    return Settings(**found)


def _read(setting: Field[Any], text: str) -> Any:
    """Reads a value, of the kind that the default is. The error's text does not quote it: it may be a secret."""
    match setting.default:
        case bool():
            if text.lower() not in _WORDS:
                raise ValueError("must be true or false")
            return _WORDS[text.lower()]
        case int() | float():
            return _read_number(text, type(setting.default), **setting.metadata)
    words = setting.metadata.get("words")
    if words is not None and text not in words:
        raise ValueError(f"must be one of {', '.join(words)}")
    return text


def _read_number(text: str, kind: type[int] | type[float], least: float, most: float) -> float:
    bounds = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
    problem = f"must be a {'whole ' if kind is int else ''}number, {bounds}"
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(problem) from None
    if not (least <= value <= most and math.isfinite(value)):
        raise ValueError(problem)
    return value
