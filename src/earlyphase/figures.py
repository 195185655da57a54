"""Tables to figures; the look they share.

A figure is a registered function: tables by name -> (figure, the points it shows). It draws on the
object interface of matplotlib, since pyplot costs start-up and holds global state.
"""

from contextlib import AbstractContextManager
from io import BytesIO

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import Registry
from earlyphase.summaries import NETWORK, last_evaluations, over_seeds

FIGURES = Registry("figure")
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


# Shared by every figure


def house_style() -> AbstractContextManager:
    """Draw inside this: matplotlib's defaults and ours, whatever the user's own settings are."""
    return style.context(["default", STYLE])


def new_axes(panels: int, columns: int = 2) -> tuple[Figure, list[Axes]]:
    """Return a figure with its panels in reading order: 5.5 inches wide for one panel, else 7."""
    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5.5 if columns == 1 else 7.0, 0.5 + 2.8 * rows), layout="constrained")
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


def add_legend(figure: Figure, axes: list[Axes], title: str) -> None:
    """Put one legend for all panels outside the data.

    It stands right of a single panel, the last curve on top as it mostly is in the data; else above.
    """
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if len(axes) == 1:
        entries, place = dict(reversed(entries.items())), {"loc": "outside right upper"}
    else:
        place = {"loc": "outside upper center", "ncols": min(len(entries), 5)}
    figure.legend(entries.values(), entries.keys(), title=title, alignment="left", **place)


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


# Accuracy against density


def accuracy_by_density(ax: Axes, curves: dict[str, DataFrame], styles: dict[str, dict]) -> None:
    """Draw accuracy against weights remaining, a curve with error bars for each label.

    The points of one round stand side by side, at most 0.3 of a round away from their density.

    Args:
        ax: panel to draw into.
        curves: label -> a row per round: `round`, `density`, `mean` and `std` as fractions, `n`,
            `diverged`. A cross at the foot of the panel marks a point that lacks a diverged run.
        styles: label -> line style, as from `curve_styles`.
    """
    shifts = np.linspace(-1, 1, len(curves)) * min(0.3, 0.05 * (len(curves) - 1))
    for (label, curve), shift in zip(curves.items(), shifts, strict=True):
        density = 100 * curve["density"] * 0.8**shift
        bars = 100 * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(
            density,
            100 * curve["mean"],
            bars,
            label=label,
            linewidth=1.0,
            markersize=3.2,
            markeredgewidth=0.8,
            elinewidth=0.7,
            capsize=1.3,
            capthick=0.6,
            **styles[label],
        )
        lost = density[curve["diverged"] > 0]
        foot = ax.get_xaxis_transform()  # x in data, y as a fraction of the panel
        ax.plot(lost, [0.025] * len(lost), "x", color=styles[label]["color"], markersize=4, transform=foot)
    density_axis(ax, concat(curves.values()))
    ax.set_ylabel("Test accuracy (%)")


def density_axis(ax: Axes, points: DataFrame) -> None:
    """Make x the weights remaining in %: logarithmic, 100 on the left, a tick for every round.

    As many rounds are labelled as there is room for, evenly and from 100 on.
    """
    densities = [100.0, *(100 * points.groupby("round")["density"].mean().sort_values(ascending=False))]
    every = -(-len(densities) // 6)
    ax.set_xscale("log")
    ax.set_xlim(densities[0] * 1.12, densities[-1] / 1.12)
    ax.set_xticks(densities[::every], [plain(density) for density in densities[::every]])
    ax.set_xticks(densities, minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Weights remaining (%)")


def plain(percent: float) -> str:
    """Write a percentage as briefly as it can be read: 100, 51.2, 6.9, 0.35."""
    return (f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}").removesuffix(".0")


def dense_line(ax: Axes, point: DataFrame) -> None:
    """Draw the dense network as a line across the panel, with a band of ± one standard deviation.

    Args:
        ax: panel to draw into.
        point: one row, with `mean` and `std` as fractions.
    """
    mean, std = 100 * point["mean"].item(), 100 * point["std"].item()
    ax.axhline(mean, color="black", linewidth=0.9, label="dense", zorder=1.5)
    if np.isfinite(std):
        ax.axhspan(mean - std, mean + std, color="0.5", alpha=0.25, linewidth=0, zorder=0.5)


# Figure 1


@FIGURES.register
def rewinding(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k.

    Args:
        tables: `imp` and `dense`, a row per evaluation. Each network gets a panel.

    Raises:
        InvalidInput: no supervised IMP run is in the table.

    Source: Frankle, Schwab & Morcos 2020, Figure 1 (A2 for other networks).
    """
    points = rewinding_points(tables)
    ks = sorted(points["k"].dropna().unique())
    if not ks:
        raise InvalidInput("figure rewinding: the table imp holds no supervised run")
    networks = points[points["k"].notna()].groupby(NETWORK).size().index
    with house_style():
        figure, axes = new_axes(len(networks))
        styles = curve_styles([rewind_label(k) for k in ks])
        for ax, (dataset, model) in zip(axes, networks, strict=True):
            shown = points[(points["dataset"] == dataset) & (points["model"] == model)]
            curves = {rewind_label(k): curve for k, curve in shown.groupby("k")}
            accuracy_by_density(ax, curves, styles)
            if shown["k"].isna().any():
                dense_line(ax, shown[shown["k"].isna()])
            ax.set_title(f"{model}, {dataset}", loc="left")
        add_legend(figure, axes, "Rewound to iteration")
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def rewind_label(k: int) -> str:
    """Name a curve by its rewind iteration."""
    return f"k = {k:,}"


def rewinding_points(tables: Tables) -> DataFrame:
    """Return the points of `rewinding`: the dense network (`k` missing, round 0), then every k.

    Columns: `dataset`, `model`, `k`, `round`, `density`, `mean`, `std`, `n`, `diverged`; density and
    accuracy are fractions.
    """
    imp, dense = (tables[name][tables[name]["task"] == "supervised"] for name in ("imp", "dense"))
    place = [*NETWORK, "k", "round"]
    tickets = last_evaluations(imp, [*place, "seed"])
    density = tickets.groupby(place)["density"].mean().reset_index()
    tickets = over_seeds(tickets, place).merge(density, on=place)
    whole = over_seeds(last_evaluations(dense, [*NETWORK, "seed"]), NETWORK).assign(round=0, density=1.0)
    points = concat([whole, tickets.astype({"k": "Int64"})]).sort_values(place, na_position="first")
    return points[[*place, "density", "mean", "std", "n", "diverged"]].reset_index(drop=True)
