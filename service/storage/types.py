"""Column types. Each is a standard type with a variant for each backend that needs one."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Text
from sqlalchemy.types import TypeEngine

from service.storage.expressions import among
from service.storage.postgresql.types import NUMBER_ARRAY, ORDERED, TEXT_ARRAY
from service.storage.sqlite.types import JsonArray, Microseconds

__all__ = ["Instant", "NumberArray", "Ordered", "TextArray", "among"]

Ordered: TypeEngine[str] = Text().with_variant(ORDERED, "postgresql")
"""A text that is ordered by code point."""

Instant: TypeEngine[datetime] = DateTime(timezone=True).with_variant(Microseconds(), "sqlite")
"""A time to the microsecond."""

TextArray: TypeEngine[Any] = TEXT_ARRAY.with_variant(JsonArray(), "sqlite")
"""A list of strings as one parameter."""

NumberArray: TypeEngine[Any] = NUMBER_ARRAY.with_variant(JsonArray(), "sqlite")
"""A list of 64-bit numbers as one parameter."""
