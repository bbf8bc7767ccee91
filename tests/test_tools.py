"""What `make docs` makes is up to date and complete."""

from dataclasses import fields

from service.config import Settings
from tools import architecture, docs, settings_table


def test_the_documents_have_what_the_tools_make() -> None:
    assert docs.stale() == [], "run: make docs"


def test_every_setting_has_a_row_with_its_meaning() -> None:
    rows = [row.strip("| ").split(" | ") for row in settings_table.rows()[2:]]
    assert [row[0] for row in rows] == [f"`{setting.name.upper()}`" for setting in fields(Settings)]
    assert all(len(row) == 4 and row[3].endswith(".") for row in rows)


def test_the_picture_names_folders_that_exist() -> None:
    picture = architecture.draw()
    assert picture.count("<rect") > 10
    for name in ("domain/", "storage/", "supervision/", "cli/"):
        assert name in picture
