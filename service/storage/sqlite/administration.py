"""What commands and maintenance ask of SQLite: the file, and whether it takes writes."""

import os
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy

from service.storage.backend import Sessions
from service.storage.checkup import Check
from service.storage.sqlite.checks import CHECKS
from service.storage.sqlite.connect import make_file
from service.storage.sqlite.copying import copy


class Administration:
    """See `backend.Backend`."""

    place: str
    checks: Sequence[Check] = CHECKS

    def create_file(self) -> None:
        """Makes the file."""
        make_file(self.place)

    def copy_to(self, file: Path) -> int:
        """Copies one state of the file, with what its write-ahead log has, and syncs the copy."""
        return copy(self.place, file)

    def missing_file(self, remedy: str) -> str:
        """Looks for the file without following a link."""
        try:
            os.lstat(self.place)
        except (FileNotFoundError, NotADirectoryError):
            folder = Path(self.place).parent
            if not folder.is_dir():
                return f"there is no folder {folder} for the database file; make it, then {remedy}"
            return f"there is no database file {self.place}; {remedy} to make it"
        return ""

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Does nothing: the transaction has the file's only write lock."""

    def unsuitable(self, connection: sqlalchemy.Connection) -> str:  # noqa: ARG002  # the interface's
        """Returns nothing: SQLite stores every text."""
        return ""

    def missing_privileges(self, connection: sqlalchemy.Connection, tables: Sequence[str]) -> str:  # noqa: ARG002  # the interface's
        """Returns nothing: what matters is who may write the file."""
        return ""

    def allowed_connections(self, connection: sqlalchemy.Connection) -> None:
        """Returns None: a write locks the file, and processes wait for it by polling."""

    def renew_statistics(self, session: Sessions, tables: Sequence[str], *, committed: bool) -> list[str]:  # noqa: ARG002  # the interface's
        """Does nothing: SQLite plans without statistics, always in the same way."""
        return []
