"""SQL expressions that each backend writes in its own way; the `types.py` of each folder has the text."""

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.sql.functions import FunctionElement


class among(FunctionElement[Any]):  # noqa: N801  # reads as SQL: among(column, parameter)
    """Tests whether a column's value is in a list that is one `TextArray` parameter.

    A single parameter keeps the statement's text the same for every length, so that its plan is prepared once.
    """

    inherit_cache = True
    # Not Boolean: on SQLite SQLAlchemy adds `= 1` to a boolean function, and SQLite then uses no index.
    type = Integer()
