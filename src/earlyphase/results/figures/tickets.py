"""What figures of sub-networks share: accuracy against density, and the runs it is read from."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.results.figures.labels import drawable
from earlyphase.results.figures.style import Tables, plain
from earlyphase.results.summaries import NETWORK, last_evaluations


def accuracy_by_density(ax: Axes, curves: dict[str, DataFrame], styles: dict[str, dict]) -> None:
    """Draw accuracy against weights remaining, a curve with error bars for each label.

    The points of one round stand side by side, at most 0.3 of a round away from their density.

    Args:
        ax: panel to draw into.
        curves: label -> a row per round: `round`, `density`, `mean` and `std` as fractions, `n`,
            `diverged`. A cross at the foot of the panel marks a point that lacks a diverged run.
        styles: label -> line style, as from `curve_styles`; it may change the widths and sizes too.
    """
    shifts = np.linspace(-1, 1, len(curves)) * min(0.3, 0.05 * (len(curves) - 1))
    for (label, curve), shift in zip(curves.items(), shifts, strict=True):
        density = 100 * curve["density"] * 0.8**shift
        bars = 100 * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(
            density,
            100 * curve["mean"],
            bars,
            label=drawable(label),
            **{
                "linewidth": 1.0,
                "markersize": 3.2,
                "markeredgewidth": 0.8,
                "elinewidth": 0.7,
                "capsize": 1.3,
                "capthick": 0.6,
                **styles[label],
            },
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
    pruned = points[points["round"] > 0]
    densities = [100.0, *(100 * pruned.groupby("round")["density"].mean().sort_values(ascending=False))]
    every = -(-len(densities) // 6)
    ax.set_xscale("log")
    ax.set_xlim(densities[0] * 1.12, densities[-1] / 1.12)
    ax.set_xticks(densities[::every], [plain(density) for density in densities[::every]])
    ax.set_xticks(densities, minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Weights remaining (%)")


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


def rewind_label(k: int) -> str:
    """Name a curve by its rewind iteration."""
    return f"k = {k:,}"


def results(tables: Tables, name: str, *run: str) -> DataFrame:
    """Results of the runs in a table, a row per run; without rows where there is no such table."""
    columns = [*NETWORK, *run, "iteration", "accuracy", "loss", "density"]
    if name not in tables or tables[name].empty:
        return DataFrame(columns=columns)
    return last_evaluations(tables[name], [*NETWORK, *run])


def nothing_to_show(figure: str, names: Iterable[str], imp_round: int | None = None) -> InvalidInput:
    """Say that a figure finds none of its perturbations in the table; `imp_round` where it shows one only."""
    of_round = "" if imp_round is None else f" of round {imp_round}"
    wanted = ", ".join(map(str, names)) or "none is named"
    return InvalidInput(
        f"figure {figure}: the table perturbed holds no run{of_round} of the perturbations to show ({wanted})"
    )
