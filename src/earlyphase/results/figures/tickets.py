"""What figures of sub-networks share: accuracy against density, and the runs it is read from."""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from pandas import DataFrame, Series, concat

from earlyphase.errors import InvalidInput
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import drawable
from earlyphase.results.summaries import NETWORK, Tables, last_evaluations, over_seeds

DENSE = "dense"  # the curve of the network before pruning
PLACE = [*NETWORK, "k", "curve", "round"]  # columns that name a point
SUMMARY = ["density", "mean", "std", "n", "diverged", "dead"]  # what is known of it
BASELINE = {"linewidth": 1.5, "markersize": 4.4, "markerfacecolor": "white"}
BASELINES = {  # heavier than any perturbation, and without colour
    "rewind to k": BASELINE | {"color": "black", "linestyle": "-", "marker": "P"},
    "rewind to 0 (own masks)": BASELINE | {"color": "0.4", "linestyle": (0, (4, 1.2)), "marker": "X"},
    "rewind to 0 (masks of k)": BASELINE | {"color": "0.6", "linestyle": (0, (1, 0.8)), "marker": "p"},
}
TO_K, OWN_MASKS, MASKS_OF_K = BASELINES
REWIND_TO_0 = "rewind_to_0"  # the perturbation that `MASKS_OF_K` shows


def results(tables: Tables, name: str, *run: str) -> DataFrame:
    """Return the result of each run in a table, a row per run; no rows where there is no such table."""
    columns = [*NETWORK, *run]
    if name not in tables or tables[name].empty:
        return DataFrame(columns=[*columns, "iteration", "accuracy", "loss", "density"])
    return last_evaluations(tables[name], columns)


def dense_points(tables: Tables) -> DataFrame:
    """Summarise the dense network: a row with the columns `PLACE` and `SUMMARY`, none without its table."""
    runs = results(tables, "dense", "seed").assign(curve=DENSE, round=0, density=1.0)
    if runs.empty:
        return DataFrame(columns=[*PLACE, *SUMMARY])
    points = over_seeds(runs, [*NETWORK, "curve", "round"], means=["density"])
    return points.assign(k=Series([None] * len(points), dtype="Int64"))[[*PLACE, *SUMMARY]]


def ticket_points(runs: DataFrame, curves: Iterable[str]) -> DataFrame:
    """Summarise tickets over seeds: a row per k, curve and round with the columns `PLACE` and `SUMMARY`.

    Args:
        runs: a row per run: the columns `PLACE`, `seed`, `accuracy`, `density`.
        curves: every curve, in the order in which they are to stand.
    """
    if runs.empty:
        return DataFrame(columns=[*PLACE, *SUMMARY])
    order = {curve: i for i, curve in enumerate(curves)}
    points = over_seeds(runs.astype({"k": "Int64"}), PLACE, means=["density"])
    points = points.sort_values(PLACE, key=lambda at: at.map(order) if at.name == "curve" else at)
    return points[[*PLACE, *SUMMARY]].reset_index(drop=True)


def points_by_k(tables: Tables) -> tuple[DataFrame, list[str]]:
    """Summarise the dense network and the tickets of `imp`: the points, and the curves, one for each k."""
    runs = last_evaluations(tables["imp"], [*NETWORK, "k", "round", "seed"])
    curves = [rewind_label(k) for k in sorted(runs["k"].unique())]
    tickets = ticket_points(runs.assign(curve=runs["k"].map(rewind_label)), curves)
    return concat([dense_points({"dense": tables["dense"]}), tickets], ignore_index=True), curves


def draw_by_k(points: DataFrame, styles: dict[str, dict], legend: str) -> Figure:
    """Draw accuracy against density, a panel for each k; the dense network, whose k is missing, is in all."""
    panels = points["k"].dropna().unique()
    with style.house_style():
        drawn, axes = style.new_axes(len(panels), sharey=True)
        for ax, k in zip(axes, panels, strict=True):
            accuracy_by_density(ax, points[points["k"].isna() | (points["k"] == k)], styles)
            ax.set_title(f"{style.network_of(points)}: {rewind_label(k)}", loc="left")
        style.add_legend(drawn, axes, legend)
        style.add_note(drawn, style.seeds_note(points))
    return drawn


def accuracy_by_density(ax: Axes, points: DataFrame, styles: dict[str, dict], scale: float = 100) -> None:
    """Draw accuracy against weights remaining, a curve with error bars for each label.

    The points of one round stand side by side, at most 0.3 of a round away from their density. The dense
    network is a line across the panel, with a band of ± one standard deviation.

    Args:
        ax: panel to draw into.
        points: a row per curve and round: `curve`, `round`, `density`, `mean` and `std` as fractions, `n`,
            `diverged`, `dead`; of the curve `DENSE` one row, if any.
        styles: curve -> line style, as from `curve_styles`; it may change the widths and sizes too. Curves
            are drawn in this order.
        scale: factor from the unit of `mean` to that of the axis.
    """
    curves = {name: points[points["curve"] == name] for name in styles if name in set(points["curve"])}
    shifts = np.linspace(-1, 1, len(curves)) * min(0.3, 0.05 * (len(curves) - 1))
    for (name, curve), shift in zip(curves.items(), shifts, strict=True):
        density = 100 * curve["density"] * 0.8**shift
        style.curve_with_bars(ax, density, curve, scale, label=drawable(name), **styles[name])
    dense_line(ax, points[points["curve"] == DENSE], scale)
    density_axis(ax, points)
    if ax.get_subplotspec().is_first_col():
        ax.set_ylabel("Test accuracy (%)")


def dense_line(ax: Axes, points: DataFrame, scale: float = 100) -> None:
    """Draw the dense network as a line across a panel, with a band of ± one sample standard deviation.

    Args:
        ax: panel to draw into.
        points: one row, if any: `mean` and `std`.
        scale: factor from the unit of `mean` to that of the axis.
    """
    for _, dense in points.dropna(subset="mean").iterrows():
        mean, std = scale * dense["mean"], scale * np.nan_to_num(dense["std"])
        ax.axhline(mean, color="black", linewidth=0.9, label=DENSE, zorder=1.5)
        ax.axhspan(mean - std, mean + std, color="0.5", alpha=0.25, linewidth=0, zorder=0.5)


def density_axis(ax: Axes, points: DataFrame) -> None:
    """Make x the weights remaining in %: logarithmic, 100 on the left, a tick for every round.

    As many rounds are labelled as there is room for, evenly and from 100 on.
    """
    pruned = points[points["round"] > 0]
    densities = [100.0, *(100 * pruned.groupby("round")["density"].mean().sort_values(ascending=False))]
    every = -(-len(densities) // 8)
    ax.set_xscale("log")
    ax.set_xlim(densities[0] * 1.12, densities[-1] / 1.12)
    ax.set_xticks(densities[::every], [style.plain(density) for density in densities[::every]])
    ax.set_xticks(densities, minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Weights remaining (%)")


def names_of_rounds(points: DataFrame) -> dict[int, str]:
    """Name the dense network, round 0, and the tickets of each other round by their density."""
    densities = points.groupby("round")["density"].mean()
    return {
        number: f"Tickets, {style.plain(100 * density)} % of weights" if number else "Dense network"
        for number, density in densities.items()
    }


def rewind_label(k: int) -> str:
    """Name a curve by its rewind iteration."""
    return f"k = {k:,}"


def nothing_to_show(figure: str, names: Sequence[str], imp_round: int | None = None) -> InvalidInput:
    """Say that a figure finds none of its perturbations in the table; `imp_round` where it shows one only."""
    of_round = "" if imp_round is None else f" of round {imp_round}"
    wanted = ", ".join(names) or "none is named"
    return InvalidInput(
        f"figure {figure}: the table perturbed holds no run{of_round} of the perturbations to show ({wanted})"
    )
