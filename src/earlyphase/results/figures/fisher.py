"""The trace of the Fisher information along the dense run."""

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

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
    usable = (np.isfinite(table[list(TRACES)]) & (table[list(TRACES)] > 0)).all(axis=1)
    lost = sorted(table.loc[~usable, "seed"].unique())
    kept = table[~table["seed"].isin(lost)]
    with style.house_style():
        drawn, (ax,) = style.new_axes(1)
        parts = []
        for (column, (label, _)), look in zip(
            TRACES.items(), style.curve_styles(TRACES).values(), strict=True
        ):
            curve = over_seeds(kept.assign(log=np.log(kept[column])), ["iteration"], "log")
            mean, factor = np.exp(curve["mean"]), np.exp(curve["std"].fillna(0))  # one seed has no deviation
            style.line_with_band(
                ax, curve["iteration"], mean, (mean / factor, mean * factor), label=label, **look
            )
            parts.append(curve.assign(curve=column, mean=mean, factor=factor, diverged=len(lost)))
        points = concat(parts, ignore_index=True)
        if not points.empty:
            ax.set_yscale("log")
        style.iteration_axis(ax, table["iteration"].max())
        ax.set_ylabel("Trace of the Fisher information\n(nats² per squared unit of weight)")
        ax.legend(loc="best", handlelength=3)
        ax.set_title(style.network_of(table), loc="left")
        style.add_note(drawn, style.seeds_note(points[["n"]], GEOMETRIC))
        if lost:
            style.add_note(drawn, f"Left out, diverged or zero: seeds {', '.join(map(str, lost))}")
        if not kept.empty:
            errors = [(kept[error] / kept[column]).median() for column, (_, error) in TRACES.items()]
            style.add_note(
                drawn,
                f"{kept['samples'].iloc[0]:,} training images a seed; batch norm, where there is any, uses "
                f"running statistics. The standard error of one seed's trace over these images is "
                f"{errors[0]:.0%} of it (model) and {errors[1]:.0%} (data), by the median.",
            )
    return drawn, points[["curve", "iteration", "mean", "factor", "n", "diverged"]]
