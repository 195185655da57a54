"""The trace of the Fisher information along the dense run."""

import numpy as np
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

TRACES = {  # column -> label, and the column of its standard error over examples
    "fisher_trace": ("labels of the model", "fisher_standard_error"),
    "empirical_fisher": ("labels of the data\n(empirical)", "empirical_standard_error"),
}
LEAVES = (
    "A band that ends at the foot goes on below it; what is zero or less has no place on a logarithmic axis"
)


@figure(reads=("fisher",))
def fisher(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the trace of the Fisher information and of the empirical one against the iteration.

    A seed that diverged is in no mean.

    Args:
        tables: `fisher` of one network.

    Returns:
        The figure, and a row per curve and iteration: `curve`, `iteration`, `mean`, `std`, `n`, `diverged`.

    Source: Achille, Rovere & Soatto 2019.
    """
    table = tables["fisher"]
    finite = np.isfinite(table[list(TRACES)]).all(axis=1)
    lost = sorted(table.loc[~finite, "seed"].unique())
    kept = table[~table["seed"].isin(lost)]
    with house_style():
        figure, (ax,) = new_axes(1)
        parts = []
        for (column, (label, _)), look in zip(
            TRACES.items(), curve_styles(list(TRACES)).values(), strict=True
        ):
            curve = curve_over_seeds(kept, column)
            curve_with_band(ax, curve, label=label, markersize=3, **look)
            parts.append(curve.assign(curve=column, diverged=len(lost)))
        points = concat(parts, ignore_index=True)
        lowest = points["mean"].where(points["mean"] > 0).min()
        if np.isfinite(lowest):  # otherwise there is nothing to draw
            ax.set_yscale("log", nonpositive="clip")
            # A band that ends just above zero leaves the panel: it would press all else flat.
            ax.set_ylim(bottom=max(ax.get_ylim()[0], lowest / 10))
        iteration_axis(ax, table["iteration"].max())
        ax.set_ylabel("Trace of the Fisher information\n(nats² per squared unit of weight)")
        ax.legend(loc="best", handlelength=3)
        first = table.iloc[0]
        figure.suptitle(f"{first['model']}, {first['dataset']}", x=0.01, ha="left", fontsize=8)
        figure.supxlabel(note_of(kept, points, lost, leaves_foot(ax)), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points[["curve", "iteration", "mean", "std", "n", "diverged"]]


def note_of(kept: DataFrame, points: DataFrame, lost: list[int], leaves: bool) -> str:
    """Say what the bands are, what each point is measured on, and what is left out."""
    note = seeds_note(points.assign(diverged=0)).replace("bars", "bands")
    if lost:
        note += f"; left out, diverged: seeds {', '.join(map(str, lost))}"
    if not kept.empty:
        shares = [(kept[error] / kept[column]).median() for column, (_, error) in TRACES.items()]
        images = kept["samples"].iloc[0]
        note += (
            f"\n{images:,} training images a seed, batch norm by running statistics; standard error of one "
        )
        note += f"seed's trace\nover these: {shares[0]:.0%} (model) and {shares[1]:.0%} (data) of it, median"
    return f"{note}\n{LEAVES}" if leaves else note
