"""The Hessian's top subspace: how much of the gradient lies in it, and how long it lasts."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    curve_styles,
    curve_with_band,
    house_style,
    iteration_axis,
    leaves_foot,
    new_axes,
    seeds_note,
)
from earlyphase.results.summaries import curve_over_seeds

SHARES = {
    "gradient_share": "gradient, sample",
    "minibatch_share": "gradient, mini-batch of SGD",
    "displacement_share": "displacement from start",
    "random_share": "gradient, in a random subspace",
}
LEAVES = (
    "Bands and lines that end at the foot of a or b go on below it; what is zero or less has no place on a "
    "logarithmic axis"
)
GRADIENT = "gradient_share"
LINE = 0.078  # height of a line of the first panel's legend, as a share of the panel's
COLUMNS = ["panel", "statistics", "curve", "iteration", "mean", "std", "n", "diverged"]


@figure(reads=("curvature", "pairs"))
def subspace(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw shares of squared length in the top subspace, its eigenvalues, and overlaps between times.

    The kind of batch norm's statistics that stands first in `curvature`, so first in the configuration, is
    shown in all panels; of each other kind the share of the sample's gradient is a further curve in a.

    Args:
        tables: `curvature` and `pairs` of one network.

    Returns:
        The figure, and a row per curve and iteration: `panel`, `statistics`, `curve`, `iteration`, `mean`,
        `std`, `n`, `diverged`. In the panel `overlap` the curve is the earlier time, the iteration the later
        one.

    Source: Gur-Ari, Roberts & Dyer 2018.
    """
    chosen = tables["curvature"].iloc[0]
    kind, *others = dict.fromkeys(tables["curvature"]["statistics"])
    lost = sorted(tables["curvature"].query("diverged == 1")["seed"].unique())
    curvature, pairs = (
        tables[name][~tables[name]["seed"].isin(lost)].sort_values("seed").reset_index(drop=True)
        for name in ("curvature", "pairs")
    )
    shown = curvature[curvature["statistics"] == kind]
    pairs = pairs[pairs["statistics"] == kind]
    with house_style():
        figure, axes = new_axes(4, height=2.6)
        parts = [draw_shares(axes[0], curvature, kind, others), draw_eigenvalues(axes[1], shown)]
        parts += [draw_matrix(axes[2], pairs), draw_ends(axes[3], pairs)]
        by = "no batch norm" if kind == "none" else f"batch norm by {kind} statistics"
        figure.suptitle(f"{chosen['model']}, {chosen['dataset']}; {by}", x=0.01, ha="left", fontsize=8)
        points = concat(parts, ignore_index=True).assign(diverged=len(lost))
        points["statistics"] = points["statistics"].fillna(kind)
        note = seeds_note(points.assign(diverged=0)).replace("bars", "bands")
        note += f"; {chosen['sample']:,} training images, {by}, "
        note += describe(curvature["residual"].max(), lost, others)
        if leaves_foot(axes[0]) or leaves_foot(axes[1]):
            note += f"\n{LEAVES}"
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    return figure, points[COLUMNS]


def describe(residual: float, lost: list[int], others: list[str]) -> str:
    """Say how well eigenvectors are known, which seeds are left out and which statistics are in a besides."""
    note = f"relative residuals up to {residual:.1g}"
    if lost:
        note += f"; left out, diverged: seeds {', '.join(map(str, lost))}"
    if others:
        note += f"\nIn a besides: the gradient and the subspace by {' and by '.join(others)} statistics"
    return note


def draw_shares(ax: Axes, curvature: DataFrame, kind: str, others: list[str]) -> DataFrame:
    """Draw each share against the iteration, with chance as a line.

    Args:
        ax: panel to draw into.
        curvature: rows of all kinds of statistics.
        kind: of statistics; all shares under it are drawn.
        others: kinds under which the share of the sample's gradient is drawn besides.
    """
    ax.set_title("a  Share of squared length in the top subspace", loc="left")
    parts = []
    curves = [(kind, column, label) for column, label in SHARES.items()]
    if others:
        curves[:1] = [(each, GRADIENT, f"gradient, {each} statistics") for each in (kind, *others)]
    for (statistics, column, label), look in zip(curves, looks(len(others)), strict=True):
        rows = curvature[curvature["statistics"] == statistics]
        curve = curve_over_seeds(rows, column).dropna(subset="mean")
        curve_with_band(ax, curve, label=label, **{"markersize": 3} | look)
        parts.append(curve.assign(panel="share", curve=column, statistics=statistics))
    ax.axhline(curvature["chance"].mean(), color="0.4", linewidth=0.8, linestyle=":", label="chance, k / d")
    ax.set_yscale("log", nonpositive="clip")
    entries = len(ax.get_legend_handles_labels()[1])
    ax.set_ylim(bottom_with_room(curvature["chance"].mean() / 3, 1.5, LINE * entries), 1.5)
    ax.set_ylabel("Share, in [0, 1]")
    ax.legend(loc="lower right", handlelength=3)
    iteration_axis(ax, curvature["iteration"].max())
    return concat(parts)


def bottom_with_room(lowest: float, top: float, room: float) -> float:
    """Where a logarithmic axis begins that ends at `top` and leaves the share `room` below `lowest`."""
    return float(top * (lowest / top) ** (1 / (1 - room)))


def looks(others: int) -> list[dict]:
    """Line style of each curve of a: after the first, in red, the gradient under other statistics."""
    shades = colormaps["Reds"](np.linspace(0.8, 0.5, max(others, 1)))
    first, *rest = curve_styles(list(SHARES)).values()
    red = [{"color": shades[at], "marker": "x*"[at % 2], "markersize": 4} for at in range(others)]
    return [first, *red, *rest]


def draw_eigenvalues(ax: Axes, curvature: DataFrame) -> DataFrame:
    """Draw the mean of each eigenvalue over seeds, and the spread of the largest."""
    names = [name for name in curvature if name.startswith("eigenvalue_")]
    shades = colormaps["viridis"](np.linspace(0, 0.8, len(names)))
    ax.set_title(f"b  The {len(names)} largest eigenvalues of the Hessian", loc="left")
    parts = []
    for number, (name, shade) in enumerate(zip(names, shades, strict=True)):
        curve = curve_over_seeds(curvature, name)
        if number == 0:
            curve_with_band(ax, curve, color=shade, marker="o", markersize=3, label="largest")
        else:
            label = f"number {len(names)}" if number == len(names) - 1 else None
            ax.plot(curve["iteration"], curve["mean"], color=shade, linewidth=0.7, label=label)
        parts.append(curve.assign(panel="eigenvalue", curve=name))
    points = concat(parts)
    ax.set_yscale("log", nonpositive="clip")  # what is zero or less is far below the foot
    # A band that ends just above zero leaves the panel too: it would press all else flat.
    lowest = points["mean"].where(points["mean"] > 0).min()
    ax.set_ylim(bottom=max(ax.get_ylim()[0], lowest / 10))
    ax.set_ylabel("Eigenvalue (nats)")
    ax.legend(loc="best", handlelength=2)
    iteration_axis(ax, curvature["iteration"].max())
    return points


def draw_matrix(ax: Axes, pairs: DataFrame) -> DataFrame:
    """Draw the mean overlap between every two times, with its number."""
    ax.set_title("c  Overlap of the subspaces of two times", loc="left")
    summary = pairs.groupby(["earlier", "later"])["overlap"].agg(mean="mean", std="std", n="count")
    times = sorted({*pairs["earlier"], *pairs["later"]})
    matrix = summary["mean"].unstack().reindex(index=times[:-1], columns=times[1:])
    ax.imshow(matrix, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (row, earlier), (column, later) in (
        (one, other) for one in enumerate(times[:-1]) for other in enumerate(times[1:]) if other[1] > one[1]
    ):
        value = matrix.loc[earlier, later]
        text = "?" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=6.5,
            color="black" if value > 0.6 else "white",
        )
    ax.set_xticks(range(len(times) - 1), [f"{time:,}" for time in times[1:]])
    ax.set_yticks(range(len(times) - 1), [f"{time:,}" for time in times[:-1]])
    ax.set_xlabel("Later iteration")
    ax.set_ylabel("Earlier iteration")
    ax.grid(visible=False)
    return (
        summary.reset_index()
        .rename(columns={"later": "iteration"})
        .assign(panel="overlap", curve=lambda table: table["earlier"].map("from {}".format))
    )


def draw_ends(ax: Axes, pairs: DataFrame) -> DataFrame:
    """Draw the overlap of each time with the first, with the last and with the next one."""
    ax.set_title("d  Overlap with the subspace of another time", loc="left")
    first, last = pairs["earlier"].min(), pairs["later"].max()
    following = pairs.loc[pairs.groupby(["seed", "earlier"])["later"].idxmin()]
    curves = {
        f"with iteration {first:,}": pairs[pairs["earlier"] == first].assign(iteration=lambda t: t["later"]),
        f"with iteration {last:,}": pairs[pairs["later"] == last].assign(iteration=lambda t: t["earlier"]),
        "with the next": following.assign(iteration=lambda t: t["earlier"]),
    }
    parts = []
    for (label, table), look in zip(curves.items(), curve_styles(list(curves)).values(), strict=True):
        curve = curve_over_seeds(table, "overlap")
        curve_with_band(ax, curve, label=label, markersize=3, **look)
        parts.append(curve.assign(panel="overlap", curve=label))
    chance = pairs["chance"].mean()
    ax.axhline(chance, color="0.4", linewidth=0.8, linestyle=":", label=f"chance, {chance:.1g}")
    ax.set_ylim(0, 1)
    ax.set_ylabel("Overlap, in [0, 1]")
    ax.legend(loc="upper left", handlelength=3)
    iteration_axis(ax, last)
    return concat(parts)
