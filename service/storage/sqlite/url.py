"""URLs of SQLite: the path of a file."""

from service.storage.database_url import WANTED, UnsupportedDatabase, parsed


def path(url: str) -> str:
    """Returns the path of the file.

    Raises:
        UnsupportedDatabase: the URL names no file, or has parts that would be ignored.
    """
    found = parsed(url)
    if "?" in url:
        raise UnsupportedDatabase("the URL of an SQLite database takes no options; write a ? in its path as %3F")
    if found.host:
        raise UnsupportedDatabase("the URL of an SQLite file begins with sqlite:/// and three slashes, or with four")
    if "\0" in (found.database or ""):
        raise UnsupportedDatabase("the path of an SQLite database has a NUL character")
    if not found.database or found.database == ":memory:":
        raise UnsupportedDatabase(f"an SQLite database needs a file, because connections share it; {WANTED}")
    return found.database
