"""URLs of PostgreSQL, read by libpq itself: each of its parameters is kept, and what it does not know is refused."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq

from service.storage.database_url import SPECIAL_CHARACTERS, WANTED, UnsupportedDatabase, first_line

_SHORTEST_SECRET = 4
_LARGEST_PORT = 65_535
_HOST_AND_PORT = re.compile(r"([^/:\[\]]*):(\d+)")

# Where neither the URL nor the environment of libpq says otherwise.
_DEFAULTS = {
    "fallback_application_name": "device-assignment",
    "connect_timeout": "5",
    # After this many milliseconds a server that has vanished counts as lost.
    "tcp_user_timeout": "15000",
}

_REFUSED = {
    "client_encoding": "the service always uses UTF8",
    "replication": "the service needs an ordinary connection",
}
_UTF8 = {"utf8", "utf-8", "unicode"}


def parameters(url: str) -> dict[str, str]:
    """Returns the parameters of libpq that a URL has, with the defaults of this service.

    Raises:
        UnsupportedDatabase: a part of it cannot be read, or could not be kept. The error quotes no value: where a part
            is misread, a piece of the password may stand in another part.
    """
    rest = url.partition("://")[2]
    body, _, query = rest.partition("?")
    authority, slash, path = body.partition("/")
    if rest.partition(":")[2].count("@") > 1 or "@" in path + query:
        raise UnsupportedDatabase(SPECIAL_CHARACTERS)
    credentials, at, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    body = f"{user.replace('@', '%40')}{colon}{password}{at}{hosts}{slash}{path}"
    try:
        options = pq.Conninfo.parse(f"postgresql://{body}{_query(query)}".encode())
        given = {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}
    except (psycopg.Error, UnicodeError):
        raise UnsupportedDatabase(f"the database URL cannot be read; {WANTED}") from None
    if given.get("client_encoding", "").lower() in _UTF8:
        del given["client_encoding"]
    for name in sorted(_REFUSED.keys() & given):
        raise UnsupportedDatabase(f"the database URL must not set {name}: {_REFUSED[name]}")
    if not all(_is_port(port) for port in given.get("port", "").split(",")):
        raise UnsupportedDatabase(f"the hosts and ports of the database URL cannot be read; {WANTED}")
    return {**_defaults(given), **given, "client_encoding": "utf8"}


def _query(query: str) -> str:
    """Returns the options of a URL, with several hosts in the form that libpq reads.

    Raises:
        UnsupportedDatabase: libpq does not know an option, or would ignore one that is there twice.
    """
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    # `ssl=true` is a spelling of `sslmode=require` that libpq knows in URLs only.
    known = {option.keyword.decode() for option in pq.Conninfo.parse(b"")} | {"ssl"}
    counted = Counter(name for name, _ in pairs)
    if unknown := sorted(counted.keys() - known):
        # A piece of a password that is not percent-encoded can look like an option.
        secret = any("password" in name for name in counted)
        named = "" if secret else f": {', '.join(unknown)}"
        raise UnsupportedDatabase(f"the database URL has an option that PostgreSQL's driver does not know{named}")
    hosts = [value for name, value in pairs if name == "host"]
    if (split := [_HOST_AND_PORT.fullmatch(host) for host in hosts]) and all(split) and "port" not in counted:
        # SQLAlchemy's form, `host=a:1&host=b:2`.
        pairs = [(name, value) for name, value in pairs if name != "host"]
        pairs.append(("host", ",".join(match[1] for match in split if match)))
        pairs.append(("port", ",".join(match[2] for match in split if match)))
    elif len(hosts) > 1:
        pairs = [(name, value) for name, value in pairs if name != "host"]
        pairs.append(("host", ",".join(hosts)))
    twice = sorted(name for name, count in counted.items() if count > 1 and name != "host")
    if twice:
        raise UnsupportedDatabase(f"the database URL has an option more than once: {', '.join(twice)}")
    if "=" not in query.partition("&")[0] and query:
        raise UnsupportedDatabase(f"the database URL cannot be read; {WANTED}")
    return "".join(f"{'&' if place else '?'}{name}={value}" for place, (name, value) in enumerate(pairs))


def _defaults(given: Mapping[str, str]) -> dict[str, str]:
    environment = _environment()
    if "service" in given or "service" in environment:
        # What a service file says would count less than a parameter, and only libpq reads the file.
        return {"fallback_application_name": _DEFAULTS["fallback_application_name"]}
    return {name: value for name, value in _DEFAULTS.items() if name not in environment}


def _environment() -> dict[str, str]:
    """Returns libpq's own values: its built-in ones and those of its variables, such as PGHOST."""
    try:
        options = pq.Conninfo.get_defaults()
    except MemoryError:  # so psycopg reports any failure, such as a PGSERVICE that no file has
        return {}
    return {each.keyword.decode(): each.val.decode(errors="replace") for each in options if each.val is not None}


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST_PORT)


def place(given: Mapping[str, Any]) -> str:
    """Returns the database's name, host and port."""
    if service := given.get("service"):
        return f"of the service {service}"
    values = {**_environment(), **given}
    host = values.get("host") or values.get("hostaddr") or "the local socket"
    return f"{values.get('dbname') or values.get('user')} on {host}, port {values.get('port') or 5432}"


def reason(given: Mapping[str, Any], error: Exception) -> str:
    """Returns the first line of an error, without the passwords that the driver was called with."""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    line = first_line(said, error)
    if line.startswith("connection to server"):
        line = line.partition(" failed: ")[2] or line
    if "statement pooling mode" in line:
        line += "; set PgBouncer's pool_mode to transaction or session"
    for name, value in {**_environment(), **given}.items():
        # A shorter password would occur in other words by chance.
        if "password" in name and len(str(value)) >= _SHORTEST_SECRET:
            line = line.replace(str(value), "***")
    return line
