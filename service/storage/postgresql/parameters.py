"""Parameters of prepared statements, as libpq takes them."""

from datetime import datetime
from typing import Any

import psycopg


def written(value: Any) -> bytes | None:
    """Converts a parameter into PostgreSQL's text format; bytes stay as they are.

    Raises:
        psycopg.ProgrammingError: values of this type are not supported.
        psycopg.DataError: a text has a NUL character.
    """
    match value:
        case None | bytes():
            return value
        case str():
            text = value
        case int():
            text = str(value)
        case list():
            text = _array(value)
        case datetime():
            text = value.isoformat()
        case _:
            raise psycopg.ProgrammingError(f"no parameter is a {type(value).__name__}")
    written = text.encode()
    if b"\0" in written:  # libpq would read it as the end of the text
        raise psycopg.DataError("PostgreSQL has no NUL character in text")
    return written


def _array(values: list[Any]) -> str:
    if not values:
        return "{}"
    texts = values if isinstance(values[0], str) else [str(value) for value in values]
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{joined}"}}'
