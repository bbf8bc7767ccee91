"""Column types of PostgreSQL where they differ from the standard ones, and how it tests for one of many values."""

from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from service.storage.expressions import among

# "C" compares the bytes of UTF-8, which have the order of the code points.
ORDERED = Text(collation="C")

TEXT_ARRAY = ARRAY(Text())

NUMBER_ARRAY = ARRAY(BigInteger())


@compiles(among, "postgresql")
def _among(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({values})"
