"""The look that all figures share.

Figures are drawn on the object interface of matplotlib, since pyplot costs start-up and holds global
state.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from textwrap import fill

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from pandas import DataFrame, Series

STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3.2,  # long enough to show a dash pattern
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "savefig.dpi": 300,
    "svg.fonttype": "path",  # the same picture on a machine without our font
    "svg.hashsalt": "earlyphase",  # element names that do not change between runs
}
MARKERS = "osD^v"  # filled, then open
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
BARS = {
    "linewidth": 1.0, "markersize": 3.2, "markeredgewidth": 0.8, "elinewidth": 0.7, "capsize": 1.3,
    "capthick": 0.6,
}  # fmt: skip  # look of a curve with error bars
DARK, LIGHT = "#33135e", "#1f8f84"  # apart in grey, too
LINE_INCHES = 0.125  # height of a line of a legend or of a tick's label
LOST = {"diverged": "x", "dead": "+"}  # count of such runs -> mark at the edge of the panel


def house_style() -> AbstractContextManager:
    """Draw inside this: matplotlib's defaults and ours, whatever the user's own settings are."""
    return style.context(["default", STYLE])


def new_axes(
    panels: int, columns: int = 2, height: float = 2.8, **shared: bool | str
) -> tuple[Figure, list[Axes]]:
    """Return a figure with its panels in reading order: 5.5 inches wide for one panel, else 7.

    `height` is that of a panel in inches; `shared` may be `sharex` and `sharey`, for panels that have an axis
    in common.
    """
    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5.5 if columns == 1 else 7.0, 0.5 + height * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05, hspace=0.04)
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for unused in axes[panels:]:
        unused.remove()
    for ax in axes[max(panels - columns, 0) : panels]:
        ax.tick_params(labelbottom=True)  # of the last panel of each column
    return figure, axes[:panels]


def render(figure: Figure, file_format: str) -> bytes:
    """Return `figure` as a file of "svg", "png" or "pdf": the same bytes for the same figure."""
    unstamped = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    unstamped["pdf"] = {"CreationDate": None, "Creator": None, "Producer": None}
    content = BytesIO()
    with house_style():
        figure.savefig(content, format=file_format, metadata=unstamped[file_format])
    return content.getvalue()


def curve_styles(labels: Sequence[str]) -> dict[str, dict]:
    """Return the line style of each label, for up to ten curves in a meaningful order.

    Colour runs from dark to light, so that grey print keeps the order; markers and dashes tell
    neighbours apart without colour.
    """
    shades = colormaps["viridis"](np.linspace(0.0, 0.78, max(len(labels), 2)))
    return {
        label: {
            "color": shades[i],
            "linestyle": DASHES[i % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)],
            "markerfacecolor": shades[i] if i < len(MARKERS) else "white",
        }
        for i, label in enumerate(labels)
    }


def add_legend(
    figure: Figure, axes: Sequence[Axes], title: str, place: str = "above", order: Sequence[str] = ()
) -> None:
    """Put one legend for all of `axes` outside the data, as the figure grows by what its lines need.

    Args:
        figure: of the axes.
        axes: panels; without any label there is no legend.
        title: of the legend.
        place: "right" of all panels, "above" them, or "above left" and "above right" for two legends.
        order: labels that stand after the others, and in this order.
    """
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if not entries:
        return
    labels = sorted(entries, key=lambda label: order.index(label) + 1 if label in order else 0)
    heights = [label.count("\n") + 1 for label in labels]
    if place == "right":
        where = {"loc": "outside right upper"}
        figure.set_figheight(max(figure.get_figheight(), 0.8 + LINE_INCHES * sum(heights)))
    else:
        longest = 0.7 + 0.048 * max(len(line) for label in labels for line in label.split("\n"))  # inches
        width = {"above": 6.8, "above left": 1.6, "above right": 5.2}[place]
        rows = -(-len(labels) // max(min(int(width / longest), 5), 1))
        side = place.removeprefix("above").strip() or "center"
        where = {"loc": f"outside upper {side}", "ncols": -(-len(labels) // rows)}
        added = LINE_INCHES * max(rows * max(heights) - 2, 0)
        figure.set_figheight(figure.get_figheight() + added)
    figure.legend([entries[label] for label in labels], labels, title=title, alignment="left", **where)


def add_note(figure: Figure, note: str) -> None:
    """Put a sentence below a figure, under what stands there."""
    lines = [*filter(None, [figure.get_supxlabel()]), fill(note, int(18 * figure.get_figwidth()))]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=6.5, color="0.3")


def seeds_note(
    points: DataFrame, spread: str = "Mean ± sample standard deviation", *, marked: bool = True
) -> str:
    """Say what is drawn over how many seeds, how many diverged runs that leaves out, and how many are dead.

    Args:
        points: a row per point, as from `over_seeds`; `n` is 0 where every run diverged.
        spread: what is drawn of several seeds.
        marked: whether `mark_lost` marks such runs one by one; else diverged seeds are counted.
    """
    n = points.loc[points["n"] > 0, "n"]
    if n.empty:
        note = "Every run diverged"
    elif n.max() == 1:
        note = "One seed: no standard deviation"
    else:
        note = f"{spread}, n = {f'{n.min()} to ' if n.min() < n.max() else ''}{n.max()} seeds"
    diverged, dead = (points.get(name, Series(0)) for name in LOST)
    if not marked:
        return note + (f"; left out: {counted(diverged.max(), 'diverged seed')}" if diverged.any() else "")
    if diverged.sum():
        note += f"; ×: {counted(int(diverged.sum()), 'diverged run')}, left out"
    if dead.sum():
        note += f"; +: {counted(int(dead.sum()), 'dead run')}, in the mean (as good as guessing)"
    return note


def counted(number: int, noun: str) -> str:
    """Write a number of things: "1 round", "6 rounds"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def mark_lost(ax: Axes, points: DataFrame, places: Series, color: object, along: str = "x") -> None:
    """Mark at the edge of a panel which points lack diverged runs (×), and which hold dead ones (+).

    Args:
        ax: panel to draw into.
        points: a row per point, as from `over_seeds`.
        places: of the points on the axis `along`, likewise.
        color: of the marks.
        along: "x" for marks at the foot, "y" for marks on the left.
    """
    for column in (name for name in LOST if name in points):
        at = places[points[column] > 0]
        edge = np.full(len(at), 0.025)
        x, y = (at, edge) if along == "x" else (edge, at)
        transform = ax.get_xaxis_transform() if along == "x" else ax.get_yaxis_transform()
        ax.plot(x, y, LOST[column], color=color, markersize=4, transform=transform)


def curve_with_bars(ax: Axes, x: Series, points: DataFrame, scale: float = 1, **look) -> None:
    """Draw means over seeds with bars of ± one sample standard deviation; mark diverged and dead runs.

    Args:
        ax: panel to draw into.
        x: place of each point.
        points: a row per point, as from `over_seeds`.
        scale: factor from the unit of the points to that of the axis.
        look: of the curve, such as its `label` and one of `curve_styles`.
    """
    bars = scale * points["std"] if points["std"].notna().any() else None
    ax.errorbar(x, scale * points["mean"], bars, **BARS | look)
    mark_lost(ax, points, x, look["color"])


def iteration_axis(ax: Axes, last: float) -> None:
    """Make x the iteration, from 0 on: linear up to 1, logarithmic after it."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.35)
    ticks = [0, *(10**power for power in range(6) if 10**power <= last)]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    minor = [step * tick for tick in ticks[1:] for step in range(2, 10) if step * tick <= last]
    ax.set_xticks(minor, minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(-0.15, last * 1.15)
    ax.set_xlabel("Iteration")


def curve_with_band(ax: Axes, curve: DataFrame, scale: float = 1, x: str = "iteration", **look) -> None:
    """Draw the mean over seeds against the iteration, with a band of ± one sample standard deviation.

    Args:
        ax: panel to draw into.
        curve: `mean`, `std`, and the column `x`.
        scale: factor from the table's unit to that of the axis.
        x: the column to draw against.
        look: of the line; the band takes its colour.
    """
    mean, std = scale * curve["mean"], scale * curve["std"].fillna(0)
    line_with_band(ax, curve[x], mean, (mean - std, mean + std), **look)


def line_with_band(ax: Axes, x: Series, y: Series, band: tuple[Series, Series], **look) -> None:
    """Draw a line, and in its colour a band from one curve to another; `look` is that of the line."""
    (line,) = ax.plot(x, y, **{"linewidth": 1.1, "markersize": 3} | look)
    ax.fill_between(x, *band, color=line.get_color(), alpha=0.2, linewidth=0)


def network_of(table: DataFrame) -> str:
    """Name the network of a table, for the title of a figure."""
    return f"{table['model'].iloc[0]}, {table['dataset'].iloc[0]}"


def plain(percent: float) -> str:
    """Write a percentage as briefly as it can be read: 100, 51.2, 6.9, 0.35."""
    return (f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}").removesuffix(".0")
