"""The settings, read from the environment once."""

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DEVICE_ASSIGNMENT_"


class BadSetting(Exception):
    """A variable of the environment cannot be used; the text names it and says why."""


class Settings(BaseSettings):
    """One field a variable, named `DEVICE_ASSIGNMENT_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True)

    database_url: str = "sqlite:///device-assignment.db"
    """Where the data is."""

    threads: int = Field(default=8, ge=1, le=256)
    """Calls served at once, each with a database connection."""

    waiting_calls: int = Field(default=1_000, ge=0)
    """Calls that may wait for a thread; more are refused with RESOURCE_EXHAUSTED."""

    max_answer_bytes: int = Field(default=4 * 1024 * 1024, ge=64 * 1024)
    """Where lists in answers stop and go on in pages."""

    rate_limit: float = Field(default=0, ge=0)
    """Calls a second that each API key may make of one server process; 0 is no limit."""

    streams: int = Field(default=100, ge=1, le=1_000)
    """Streams of operations open at once; more are refused."""

    stream_seconds: float = Field(default=3_600, gt=0)
    """The age at which a stream of operations ends, so that its caller comes back, perhaps to another server."""

    key_cache_seconds: float = Field(default=2, ge=0, le=4)
    """How long a key that was good is taken to be good. A revoked key works no longer than this."""

    request_id_hours: float = Field(default=48, ge=24, le=87_600)
    """How long a request id is remembered."""

    drain_seconds: float = Field(default=20, ge=0)
    """How long calls in flight may take to finish when the server is stopped."""

    rest_timeout_seconds: float = Field(default=60, gt=0, le=3_600)
    """The deadline of a REST request that names none."""

    rest_max_body_bytes: int = Field(default=10 * 1024 * 1024, ge=1_024)
    """The longest body of a REST request: enough for 3 MiB of identifiers with every character escaped."""

    rest_keep_alive_seconds: float = Field(default=15, gt=0)
    """How often a stream of events with nothing to tell says that it is still there."""

    rest_cors_origins: str = ""
    """The origins whose web pages may call, with spaces between them; `*` is any, and none is none."""

    reflection: bool = True
    """Whether tools may ask the server for its services."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto` is JSON unless the log goes to a terminal."""


def load() -> Settings:
    """Reads the environment.

    Raises:
        BadSetting: a value is out of its range or of the wrong kind.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = (f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadSetting("; ".join(problems)) from error
