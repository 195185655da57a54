"""The look that all figures share, and where they are registered.

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

Tables = dict[str, DataFrame]

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
SMALL_PRINT = {"fontsize": 6.5, "color": "0.3"}
LINE_INCHES = 0.125  # height of a line of a legend or of a tick's label


def house_style() -> AbstractContextManager:
    """Draw inside this: matplotlib's defaults and ours, whatever the user's own settings are."""
    return style.context(["default", STYLE])


def new_axes(panels: int, columns: int = 2, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    """Return a figure with its panels in reading order: 5.5 inches wide for one panel, else 7."""
    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5.5 if columns == 1 else 7.0, 0.5 + height * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05, hspace=0.04)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def render(figure: Figure, file_format: str) -> bytes:
    """Return `figure` as a file of "svg", "png" or "pdf": the same bytes for the same figure."""
    unstamped = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    unstamped["pdf"] = {"CreationDate": None, "Creator": None, "Producer": None}
    content = BytesIO()
    with house_style():
        figure.savefig(content, format=file_format, metadata=unstamped[file_format])
    return content.getvalue()


def curve_styles(labels: list[str]) -> dict[str, dict]:
    """Line style of each label, for up to ten curves in a meaningful order.

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
    figure: Figure, axes: list[Axes], title: str, *, above: bool = False, order: Sequence[str] = ()
) -> None:
    """Put one legend for all panels outside the data.

    It stands right of a single panel, the last curve on top as it mostly is in the data; else, and where
    `above` says so, above. The figure grows by what labels of several lines need. Without labels there is
    no legend. Labels stand as they are drawn, those in `order` after the others and in that order.
    """
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if not entries:
        return
    first = [label for label in entries if label not in order]
    entries = {label: entries[label] for label in [*first, *filter(entries.get, order)]}
    if len(axes) == 1 and not above:
        entries, place = dict(reversed(entries.items())), {"loc": "outside right upper"}
        needed = 0.8 + LINE_INCHES * sum(map(lines_of, entries))
        figure.set_figheight(max(figure.get_figheight(), needed))
    else:
        longest = 0.7 + 0.048 * max(len(line) for label in entries for line in label.split("\n"))  # inches
        rows = -(-len(entries) // max(min(int(6.8 / longest), 5), 1))
        place = {"loc": "outside upper center", "ncols": -(-len(entries) // rows)}
        added = rows * (max(map(lines_of, entries)) - 1)
        figure.set_figheight(figure.get_figheight() + LINE_INCHES * added)
    figure.legend(entries.values(), entries.keys(), title=title, alignment="left", **place)


def add_legend_below(ax: Axes) -> None:
    """Put a panel's legend into the panel, below the data, where room is made for it."""
    handles, labels = ax.get_legend_handles_labels()
    panel = ax.get_figure().get_figheight() * ax.get_position().height  # inches
    share = min(0.6, LINE_INCHES * (2 + sum(map(lines_of, labels))) / panel)
    low, high = ax.get_ylim()
    ax.set_ylim(low - (high - low) * share / (1 - share), high)
    ax.legend(handles, labels, loc="lower left")


def lines_of(label: str) -> int:
    """Number of lines on which a label is drawn."""
    return label.count("\n") + 1


def seeds_note(points: DataFrame) -> str:
    """Say what the bars are, over how many seeds, and how many diverged runs they leave out.

    Args:
        points: a row per point, with `n` and `diverged`.
    """
    drawn = points.loc[points["n"] > 0, "n"]
    fewest, most, diverged = drawn.min(), drawn.max(), points["diverged"].sum()
    if drawn.empty:
        note = "Every run diverged"
    elif most == 1:
        note = "One seed: no error bars"
    else:
        n = f"n = {most}" if fewest == most else f"n = {fewest} to {most}"
        note = f"Mean ± sample standard deviation, {n} seeds"
    if diverged:
        note += f"; ×: left out, {diverged} diverged run{'s' if diverged > 1 else ''}"
    return note


def add_note(figure: Figure, note: str) -> None:
    """Put a sentence below a figure, under what stands there."""
    lines = [*filter(None, [figure.get_supxlabel()]), fill(note, 130)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", **SMALL_PRINT)


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


def curve_with_band(ax: Axes, curve: DataFrame, scale: float = 1, label: str | None = None, **look) -> None:
    """Draw the mean over seeds against the iteration, with a band of ± one sample standard deviation.

    Args:
        ax: panel to draw into.
        curve: `iteration`, `mean`, `std`.
        scale: factor from the table's unit to that of the axis.
        label: in a legend.
        look: of the line; the band takes its colour.
    """
    mean, std = scale * curve["mean"], scale * curve["std"].fillna(0)
    line_with_band(ax, curve["iteration"], mean, (mean - std, mean + std), label=label, **look)


def line_with_band(
    ax: Axes, x: Series, y: Series, band: tuple[Series, Series], alpha: float = 0.22, **look
) -> None:
    """Draw a line, and in its colour a band from one curve to another; `look` is that of the line."""
    (line,) = ax.plot(x, y, **{"linewidth": 1.1} | look)
    ax.fill_between(x, *band, color=line.get_color(), alpha=alpha, linewidth=0)


def leaves_foot(ax: Axes) -> bool:
    """Whether a line or a band goes on below the panel, as those of zero or less do on a logarithmic axis."""
    heights = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    heights += [path.vertices[:, 1] for band in ax.collections for path in band.get_paths()]
    return any((values < ax.get_ylim()[0]).any() for values in heights)


def plain(percent: float) -> str:
    """Write a percentage as briefly as it can be read: 100, 51.2, 6.9, 0.35."""
    return (f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}").removesuffix(".0")
