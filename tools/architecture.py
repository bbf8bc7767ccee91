"""Draws the picture of the architecture, `docs/architecture.svg`, from the boxes and arrows below."""

from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 940, 616
_LINE = 17
_COLOURS = {"outside": "#f4f4f2", "process": "#e8eef7", "package": "#ffffff"}

_MARKER = """<defs>
<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0,0 L8,4 L0,8 z" fill="#444444"/>
</marker>
</defs>"""


class _Box(NamedTuple):
    """A rectangle with a title and lines of text below it."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    kind: str = "package"


class _Arrow(NamedTuple):
    """A line from one point to another, with an arrow at its end, and its label."""

    start: tuple[int, int]
    end: tuple[int, int]
    label: str = ""
    label_at: tuple[int, int] = (0, 0)
    dashed: bool = False


_BOXES = (
    _Box(20, 20, 220, 62, "HTTP callers", ("JSON, server-sent events",), "outside"),
    _Box(370, 20, 220, 62, "gRPC callers", ("clients made from protos/",), "outside"),
    _Box(660, 20, 260, 62, "operator: cli/", ("the command device-assignment",), "outside"),
    _Box(20, 140, 220, 130, "gateway", ("a client of the server",), "process"),
    _Box(36, 192, 188, 64, "rest_gateway/", ("HTTP and JSON to gRPC;", "/openapi.json, /docs")),
    _Box(320, 140, 520, 330, "server (one process, or N workers)", (), "process"),
    _Box(336, 176, 488, 64, "grpc_server/", ("keys, limits, fair shares, errors, health;", "rpcs/: one file an rpc")),
    _Box(336, 286, 250, 64, "domain/", ("the rules, one use case a file;", "knows no database and no gRPC")),
    _Box(614, 286, 210, 64, "runtime/", ("cancellation, fairness,", "chunks, executors, log")),
    _Box(336, 396, 488, 64, "storage/", ("postgresql/, sqlite/: drivers and statements;", "migrations/")),
    _Box(20, 340, 220, 66, "supervision/", ("starts, watches and stops", "the other processes"), "process"),
    _Box(
        336,
        530,
        584,
        66,
        "PostgreSQL or SQLite",
        ("customers, devices, assignments and their history;", "operations: who, when, why, what"),
        "outside",
    ),
)

_ARROWS = (
    _Arrow((130, 82), (130, 140), "HTTP", (138, 115)),
    _Arrow((470, 82), (470, 140), "gRPC", (478, 115)),
    _Arrow((740, 82), (740, 140), "assign, watch, … (gRPC)", (566, 115)),
    _Arrow((890, 82), (890, 530), "db, key, import, …", (758, 505)),
    _Arrow((224, 220), (336, 220), "gRPC", (262, 212)),
    _Arrow((461, 240), (461, 286)),
    _Arrow((461, 350), (461, 396)),
    _Arrow((586, 318), (614, 318)),
    _Arrow((580, 470), (580, 530), "SQL", (588, 505)),
    _Arrow((130, 340), (130, 270), dashed=True),
    _Arrow((240, 373), (320, 373), dashed=True),
)


def draw() -> str:
    """Returns the picture as SVG."""
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    font = 'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222222"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        _MARKER,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *(_box(box) for box in _BOXES),
        *(_arrow(arrow) for arrow in _ARROWS),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(box: _Box) -> str:
    x, y = box.x + 12, box.y + 22
    lines = "".join(
        f'\n<text x="{x}" y="{y + _LINE * number}">{escape(line)}</text>' for number, line in enumerate(box.lines, 1)
    )
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" '
        f'fill="{_COLOURS[box.kind]}" stroke="#8899aa"/>\n'
        f'<text x="{x}" y="{y}" font-weight="bold">{escape(box.title)}</text>{lines}'
    )


def _arrow(arrow: _Arrow) -> str:
    (x1, y1), (x2, y2) = arrow.start, arrow.end
    dash = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#444444"{dash} marker-end="url(#end)"/>'
    if not arrow.label:
        return line
    x, y = arrow.label_at
    return f'{line}\n<text x="{x}" y="{y}">{escape(arrow.label)}</text>'
