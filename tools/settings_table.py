"""Makes the table of settings from `service/config.py`: the docstring below each field describes it."""

import ast
import inspect
import math
from dataclasses import Field, fields
from typing import Any

from service import config


def rows() -> list[str]:
    """Returns the lines of the table, in Markdown.

    Raises:
        ValueError: a setting has no docstring.
    """
    described = _docstrings()
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for setting in fields(config.Settings):
        if setting.name not in described:
            raise ValueError(f"the setting {setting.name} has no docstring in service/config.py")
        cells = (f"`{setting.name.upper()}`", _default(setting.default), _values(setting), described[setting.name])
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _docstrings() -> dict[str, str]:
    """Reads the docstrings of the fields from the source, because Python keeps none at run time."""
    [settings] = ast.parse(inspect.getsource(config.Settings)).body
    assert isinstance(settings, ast.ClassDef)  # noqa: S101  # it is the source of a class
    found = {}
    for statement, after in zip(settings.body, settings.body[1:], strict=False):
        match statement, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _default(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"`{value}`" if value else "(none)"
        case float():
            return f"{value:g}"
    return str(value)


def _values(setting: Field[Any]) -> str:
    if isinstance(setting.default, bool):
        return "true or false"
    if "words" in setting.metadata:
        return ", ".join(f"`{word}`" for word in setting.metadata["words"])
    if "least" not in setting.metadata:
        return "text"
    least, most = setting.metadata["least"], setting.metadata["most"]
    kind = "whole numbers" if isinstance(setting.default, int) else "numbers"
    return f"{kind} from {least:.12g}" + ("" if most == math.inf else f" to {most:.12g}")
