"""The trace of the Fisher information along the dense run."""

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    curve_styles,
    house_style,
    iteration_axis,
    line_with_band,
    new_axes,
    seeds_note,
)
from earlyphase.results.summaries import curve_over_seeds

TRACES = {  # column -> label, and the column of its standard error over examples
    "fisher_trace": ("labels of the model", "fisher_standard_error"),
    "empirical_fisher": ("labels of the data\n(empirical)", "empirical_standard_error"),
}
GEOMETRIC = "Geometric mean, and a band of one sample standard deviation of the logarithm"


@figure(reads=("fisher",))
def fisher(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the trace of the Fisher information and of the empirical one against the iteration.

    Seeds differ by factors, so that a mean is geometric, and its band a factor each way. A seed that
    diverged, or whose trace is zero at some time, is in no mean.

    Args:
        tables: `fisher` of one network.

    Returns:
        The figure, and a row per curve and iteration: `curve`, `iteration`, `mean` (geometric), `factor` of
        one sample standard deviation of the logarithm, `n`, `diverged`.

    Source: Achille, Rovere & Soatto 2019.
    """
    table = tables["fisher"]
    finite = (np.isfinite(table[list(TRACES)]) & (table[list(TRACES)] > 0)).all(axis=1)
    lost = sorted(table.loc[~finite, "seed"].unique())
    kept = table[~table["seed"].isin(lost)]
    with house_style():
        figure, (ax,) = new_axes(1)
        parts = []
        for (column, (label, _)), look in zip(
            TRACES.items(), curve_styles(list(TRACES)).values(), strict=True
        ):
            curve = geometric_curve(kept, column)
            band = curve["mean"] / curve["factor"], curve["mean"] * curve["factor"]
            line_with_band(ax, curve["iteration"], curve["mean"], band, label=label, markersize=3, **look)
            parts.append(curve.assign(curve=column, diverged=len(lost)))
        points = concat(parts, ignore_index=True)
        if not points.empty:
            ax.set_yscale("log")
        iteration_axis(ax, table["iteration"].max())
        ax.set_ylabel("Trace of the Fisher information\n(nats² per squared unit of weight)")
        ax.legend(loc="best", handlelength=3)
        first = table.iloc[0]
        figure.suptitle(f"{first['model']}, {first['dataset']}", x=0.01, ha="left", fontsize=8)
        figure.supxlabel(note_of(kept, points, lost), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points[["curve", "iteration", "mean", "factor", "n", "diverged"]]


def geometric_curve(table: DataFrame, column: str) -> DataFrame:
    """Summarise a positive column over the seeds of each iteration: `iteration`, `mean`, `factor`, `n`."""
    curve = curve_over_seeds(table.assign(log=np.log(table[column])), "log")
    spread = np.exp(curve["std"].fillna(0))  # of one seed there is none
    return curve[["iteration", "n"]].assign(mean=np.exp(curve["mean"]), factor=spread)


def note_of(kept: DataFrame, points: DataFrame, lost: list[int]) -> str:
    """Say what the bands are, what each point is measured on, and what is left out."""
    arithmetic = seeds_note(points.assign(diverged=0))
    note = arithmetic.replace("Mean ± sample standard deviation", GEOMETRIC).replace("bars", "bands")
    if lost:
        note += f"; left out, diverged or zero: seeds {', '.join(map(str, lost))}"
    if not kept.empty:
        shares = [(kept[error] / kept[column]).median() for column, (_, error) in TRACES.items()]
        images = kept["samples"].iloc[0]
        note += f"\n{images:,} training images a seed; batch norm, where there is any, by running statistics;"
        note += "\nstandard error of one seed's trace over these: "
        note += f"{shares[0]:.0%} (model) and {shares[1]:.0%} (data) of it, median"
    return note
