"""URLs of PostgreSQL: which options the driver knows, where the database is, and what must not be shown."""

from collections.abc import Mapping
from typing import Any

from psycopg import pq
from sqlalchemy import URL
from sqlalchemy.exc import ArgumentError

from service.storage.database_url import WANTED, UnsupportedDatabase, first_line

_SHORTEST_SECRET = 4


def check(url: URL) -> None:
    """Refuses options that the driver does not know: those of other drivers, such as `pgbouncer`, are common.

    Raises:
        UnsupportedDatabase: there is such an option, or the hosts and ports cannot be read.
    """
    try:
        url.get_dialect()().create_connect_args(url)
    except ArgumentError:
        raise UnsupportedDatabase(f"the hosts and ports of the database URL cannot be read; {WANTED}") from None
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    unknown = sorted(set(url.query) - known)
    if unknown:
        # A piece of a password that is not percent-encoded can look like an option.
        secret = any("password" in name for name in url.query)
        named = "" if secret else f": {', '.join(unknown)}"
        raise UnsupportedDatabase(f"the database URL has an option that PostgreSQL's driver does not know{named}")


def place(url: URL) -> str:
    """Returns the database's name, host and port."""
    values = _parameters(url)
    host = values.get("host") or values.get("hostaddr") or "the local socket"
    return f"{values.get('dbname') or values.get('user')} on {host}, port {values['port']}"


def reason(url: URL, error: Exception) -> str:
    """Returns the first line of an error, without the passwords that the driver was called with."""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    line = first_line(said, error)
    if line.startswith("connection to server"):
        line = line.partition(" failed: ")[2] or line
    for name, value in _parameters(url).items():
        # A shorter password would occur in other words by chance.
        if "password" in name and len(str(value)) >= _SHORTEST_SECRET:
            line = line.replace(str(value), "***")
    return line


def _parameters(url: URL) -> Mapping[str, Any]:
    """Returns the parameters of the connection: the driver's defaults, and what the URL says."""
    defaults = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    given: Mapping[str, Any] = url.get_dialect()().create_connect_args(url)[1]
    known = {name: value.decode(errors="replace") for name, value in defaults.items() if value is not None}
    return {**known, **given}
