"""Draws the table as a picture: each ratio to its limit, and its target."""

from pathlib import Path

from benchmarks.report import Result

PICTURE = Path(__file__).parent / "chart.png"
GROWTH = Path(__file__).parent / "growth.png"

_GOOD, _BAD, _MARK = "#2a7f62", "#c8553d", "#222222"
_ROW_INCHES, _FRAME_INCHES, _WIDTH_INCHES = 0.42, 0.85, 9


def draw(results: list[Result]) -> None:
    """Writes `chart.png`: the rates above, where longer is better, and times and memory below, where shorter is."""
    import matplotlib as mpl  # noqa: PLC0415  # takes a second to load, which should not disturb what is measured

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # as above

    rates = [result for result in results if result.work.endswith("(calls/s)")]
    others = [result for result in results if result not in rates]
    panels = [
        (rates, "Calls a second, as a share of the limit (longer is better)"),
        (others, "Times and memory, as a multiple of the limit (shorter is better)"),
    ]
    heights = [len(panel) * _ROW_INCHES + _FRAME_INCHES for panel, _ in panels]
    figure, axes = plt.subplots(
        2, 1, figsize=(_WIDTH_INCHES, sum(heights)), height_ratios=heights, layout="constrained"
    )
    for axis, (panel, title) in zip(axes, panels, strict=True):
        places = range(len(panel))
        colours = [_GOOD if result.holds else _BAD for result in panel]
        # What is far beyond its target would leave no room for the others; its bar is cut, and its number says so.
        end = max([1.0, *(min(result.ratio, 2.5 * result.target) for result in panel), *(r.target for r in panel)])
        axis.barh(places, [min(result.ratio, end) for result in panel], color=colours, height=0.55)
        for place, result in zip(places, panel, strict=True):
            axis.plot([result.target] * 2, [place - 0.4, place + 0.4], color=_MARK, linewidth=2.5)
            inside = min(max(result.ratio, result.target), end)
            cut = " »" if result.ratio > end else ""
            axis.text(inside, place, f"  {result.ratio:.2f}{cut}", va="center", fontsize=10)
        axis.set_yticks(places, [_label(result.work) for result in panel], fontsize=9)
        axis.invert_yaxis()
        axis.set_xlim(0, end * 1.15)
        axis.axvline(1, color="#999999", linewidth=1, linestyle=":", zorder=0)
        axis.set_title(title, fontsize=11, loc="right")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    figure.legend(
        handles=[
            mpl.lines.Line2D([], [], color=_MARK, linewidth=2.5, label="target"),
            mpl.patches.Patch(color=_GOOD, label="target reached"),
            mpl.patches.Patch(color=_BAD, label="target not reached"),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.savefig(PICTURE, dpi=150)
    plt.close(figure)


def draw_growth(plots: list[tuple[str, dict[str, dict[int, float]]]]) -> None:
    """Writes `growth.png`: for each kind of count, and each line in it, the seconds by the count."""
    import matplotlib as mpl  # noqa: PLC0415  # as above

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # as above

    figure, axes = plt.subplots(1, len(plots), figsize=(11, 3.8), sharey=True, layout="constrained")
    for axis, (what, series) in zip(axes, plots, strict=True):
        for (label, points), marker in zip(series.items(), "os", strict=False):
            axis.plot(points.keys(), [seconds * 1_000 for seconds in points.values()], marker=marker, label=label)
        axis.set(xscale="log", yscale="log", xlabel=what)
        axis.grid(visible=True, color="#dddddd")
        axis.legend(fontsize=8, frameon=False)
    axes[0].set_ylabel("milliseconds a call")
    figure.savefig(GROWTH, dpi=150)
    plt.close(figure)


def _label(work: str) -> str:
    """Breaks a long name in two at a comma."""
    name = work.rpartition(" (")[0]
    head, comma, tail = name.rpartition(", ")
    return f"{head},\n{tail}" if comma and len(name) > 44 else name  # noqa: PLR2004  # what fits beside the bars
