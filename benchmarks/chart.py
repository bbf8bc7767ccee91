"""Draws pictures of what was measured."""

from pathlib import Path
from typing import Any

from benchmarks.report import Result

Series = dict[str, dict[int, float]]
"""The seconds by the count, for each line of a plot."""

_FOLDER = Path(__file__).parent
_GOOD, _BAD, _MARK = "#2a7f62", "#c8553d", "#222222"
_ROW_INCHES, _FRAME_INCHES, _WIDTH_INCHES = 0.42, 0.85, 9
_LONG_LABEL = 44


def draw(results: list[Result]) -> None:
    """Writes `chart.png`: the rates above, where longer is better, and times and memory below, where shorter is."""
    plt = _pyplot()
    rates = [result for result in results if result.work.endswith("(calls/s)")]
    others = [result for result in results if result not in rates]
    panels = [
        (rates, "Calls a second, as a share of the limit (longer is better)"),
        (others, "Times and memory, as a multiple of the limit (shorter is better)"),
    ]
    heights = [len(panel) * _ROW_INCHES + _FRAME_INCHES for panel, _ in panels]
    size = (_WIDTH_INCHES, sum(heights))
    figure, axes = plt.subplots(2, 1, figsize=size, height_ratios=heights, layout="constrained")
    for axis, (panel, title) in zip(axes, panels, strict=True):
        # What is far beyond its target would leave no space for the others; its bar is cut, and its number says so.
        end = max([1.0, *(min(result.ratio, 2.5 * result.target) for result in panel), *(r.target for r in panel)])
        for place, result in enumerate(panel):
            axis.barh(place, min(result.ratio, end), color=_GOOD if result.holds else _BAD, height=0.55)
            axis.plot([result.target] * 2, [place - 0.4, place + 0.4], color=_MARK, linewidth=2.5)
            cut = " »" if result.ratio > end else ""
            inside = min(max(result.ratio, result.target), end)
            axis.text(inside, place, f"  {result.ratio:.2f}{cut}", va="center", fontsize=10)
        axis.set_yticks(range(len(panel)), [_label(result.work) for result in panel], fontsize=9)
        axis.invert_yaxis()
        axis.set_xlim(0, end * 1.15)
        axis.axvline(1, color="#999999", linewidth=1, linestyle=":", zorder=0)
        axis.set_title(title, fontsize=11, loc="right")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    named = ((_GOOD, "target reached"), (_BAD, "target not reached"), (_MARK, "target"))
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=label) for colour, label in named]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(_FOLDER / "chart.png", dpi=150)
    plt.close(figure)


def draw_growth(plots: dict[str, Series]) -> None:
    """Writes `growth.png`, with a plot for each kind of count."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(plots), figsize=(11, 3.8), sharey=True, layout="constrained")
    for axis, (what, series) in zip(axes, plots.items(), strict=True):
        for (label, points), marker in zip(series.items(), "os", strict=False):
            axis.plot(points.keys(), [seconds * 1_000 for seconds in points.values()], marker=marker, label=label)
        axis.set(xscale="log", yscale="log", xlabel=what)
        axis.grid(visible=True, color="#dddddd")
        axis.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel("milliseconds a call")
    figure.savefig(_FOLDER / "growth.png", dpi=150)
    plt.close(figure)


def _pyplot() -> Any:
    """Loads matplotlib, which takes a second and would disturb what is measured."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    return plt


def _label(work: str) -> str:
    """Breaks a long name in two at a comma."""
    name = work.rpartition(" (")[0]
    head, comma, tail = name.rpartition(", ")
    return f"{head},\n{tail}" if comma and len(name) > _LONG_LABEL else name
