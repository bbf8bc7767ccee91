"""The help page of a command, without Python's types and Python's notation for ranges."""

import re
from typing import Any

from typer.core import TyperCommand

_TYPE = re.compile(r" <[^>]*>$")
_RANGES = (
    (re.compile(r"\bx>=([\d.]+)"), r"at least \1"),
    (re.compile(r"\bx<=([\d.]+)"), r"at most \1"),
    (re.compile(r"\[default: \(([^)]*)\)"), r"[default: \1"),
)


class PlainCommand(TyperCommand):
    """A command whose help names arguments as `NAME`; Typer writes `{NAME}` and `NAME <str>`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the parts of the usage line."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the tables of arguments and of options."""
        for kind, heading in (("argument", "Arguments"), ("option", "Options")):
            found = [param.get_help_record(ctx) for param in self.get_params(ctx) if param.param_type_name == kind]
            records = [_plain(*record) for record in found if record is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _plain(name: str, text: str) -> tuple[str, str]:
    for pattern, replacement in _RANGES:
        text = pattern.sub(replacement, text)
    return _TYPE.sub("", name), text
