"""How a database URL is read, and the errors that say what is wrong with one."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from service.runtime.operator_error import OperatorError

WANTED = "use sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database"
"""What an error about a URL ends with: one form for each backend."""

SPECIAL_CHARACTERS = (
    "the database URL cannot be read: write special characters in the user, the password and the options "
    "percent-encoded, @ as %40 and ? as %3F for example"
)
"""The error about a URL in which a piece of the password may stand in another part."""


class UnsupportedDatabase(OperatorError):
    """The URL names no database that this service works with; the text says which it does."""


class DatabaseRefused(OperatorError):
    """The database does not allow what a command needs; the text quotes the driver."""


def parsed(url: str) -> URL:
    """Parses a URL. No error quotes it: where a part is misread, a piece of the password may stand in another part.

    Raises:
        UnsupportedDatabase: it cannot be parsed, or a piece of the password may stand in another part of it.
    """
    rest = url.partition("://")[2]
    if rest.partition(":")[2].count("@") > 1 or "@" in rest.partition("?")[2]:
        raise UnsupportedDatabase(SPECIAL_CHARACTERS)
    try:
        url.encode()
        return make_url(url)
    except (ArgumentError, ValueError):
        raise UnsupportedDatabase(f"the database URL cannot be read; {WANTED}") from None


def first_line(text: str, error: BaseException) -> str:
    """Returns the first line of an error's text, or the error's type if the text is empty."""
    return next(iter(text.strip().splitlines()), type(error).__name__)
