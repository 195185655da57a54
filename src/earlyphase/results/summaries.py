"""Results of runs, and how they are summarised over seeds."""

from typing import NamedTuple

import numpy as np
from pandas import DataFrame, Series

NETWORK = ["dataset", "model"]
PRODUCED_BY = [
    "torch",
    "device",
    "precision",
    "threads",
    "instructions",
]  # columns that ought to hold one value each
IDENTICAL = 1e-9  # values that differ by less do so by rounding


def last_evaluations(table: DataFrame, run: list[str]) -> DataFrame:
    """Keep the result of each run: its last evaluation, never its best.

    Args:
        table: a row per evaluation, with `iteration`, `accuracy` and `loss`.
        run: the columns that name a run.

    Returns:
        A row per run, sorted by `run`; `accuracy` is NaN where the run diverged, that is where its
        last accuracy or loss is not finite.
    """
    last = table.sort_values([*run, "iteration"], kind="stable").drop_duplicates(run, keep="last")
    finite = np.isfinite(last[["accuracy", "loss"]]).all(axis=1)
    return last.assign(accuracy=last["accuracy"].where(finite)).reset_index(drop=True)


def early_stopping(table: DataFrame, run: list[str]) -> DataFrame:
    """When each run should have stopped: the first iteration at which its validation loss was lowest.

    Source: Frankle & Carbin 2019, who measure by it how fast a network learns.

    Args:
        table: a row per evaluation, with `iteration` and, where images are held out, `validation_loss`.
        run: the columns that name a run.

    Returns:
        A row per run: `run` and `stopping`, in iterations; NaN where no image is held out, or where the run
        diverged, that is where its last validation loss is not finite.
    """
    if "validation_loss" not in table:
        return table[run].drop_duplicates().assign(stopping=np.nan)
    in_order = table.sort_values([*run, "iteration"], kind="stable")
    ended = in_order.drop_duplicates(run, keep="last")[[*run, "validation_loss"]]
    lowest = in_order.sort_values([*run, "validation_loss", "iteration"]).drop_duplicates(run)
    found = lowest[[*run, "iteration"]].merge(ended, on=run)
    finite = np.isfinite(found["validation_loss"])
    return found[run].assign(stopping=found["iteration"].where(finite).astype(float))


def nearest_round(runs: DataFrame, density: float) -> tuple[int, float]:
    """The round of `runs`, one at least, whose mean density is nearest to another, and how far off it is.

    That is in rounds of the paper's size, each a factor of 0.8.
    """
    steps = np.log(runs.groupby("round")["density"].mean() / density).abs() / -np.log(0.8)
    return int(steps.idxmin()), float(steps.min())


def over_seeds(runs: DataFrame, by: list[str]) -> DataFrame:
    """Summarise the accuracy of `runs` over the seeds of each group.

    Returns:
        A row per group: `by`; `mean` and `std` as fractions, the sample standard deviation (n - 1,
        NaN for one seed); `n`, the seeds they are over; `diverged`, the seeds left out.
    """
    accuracy = runs.groupby(by, sort=True)["accuracy"]
    summary = accuracy.agg(mean="mean", std="std", n="count", diverged=lambda values: values.isna().sum())
    return summary.reset_index()


def curve_over_seeds(table: DataFrame, value: str) -> DataFrame:
    """Summarise a column over the seeds of each iteration: `iteration`, `mean`, `std` (n - 1), `n`."""
    in_order = table.sort_values(["iteration", "seed"])  # sums in another order end in other digits
    summary = in_order.groupby("iteration")[value].agg(mean="mean", std="std", n="count")
    return summary.reset_index()


def perturbation_means(runs: DataFrame, by: list[str]) -> DataFrame:
    """Summarise accuracy and size of perturbed `runs` over the seeds of each group.

    Returns:
        The rows of `over_seeds`, and `effective_std` with `effective_std_spread`, its mean and sample
        standard deviation over the same seeds.
    """
    sizes = runs[runs["accuracy"].notna()].groupby(by, sort=True)["effective_std"]
    summary = sizes.agg(effective_std="mean", effective_std_spread="std").reset_index()
    return over_seeds(runs, by).merge(summary, on=by, how="left")


def t_interval(values: Series) -> tuple[float, float]:
    """Two-sided 95 % t interval of the mean: lower and upper bound.

    NaN from fewer than two values, and from identical ones: an interval of zero width says that the measure
    is too coarse to show how seeds differ, not that they do not.
    """
    from scipy.special import stdtrit  # scipy.stats has the same and takes a second longer to import

    if len(values) < 2 or np.ptp(values) <= IDENTICAL:
        return float("nan"), float("nan")
    half = stdtrit(len(values) - 1, 0.975) * values.std() / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


class Line(NamedTuple):
    """A least-squares line, with Pearson's r and its two-sided p; NaN where they do not exist."""

    slope: float
    intercept: float
    r: float
    p: float


def fit_line(x: Series, y: Series) -> Line:
    """Fit y = slope x + intercept; r and p need three points that differ in x and in y."""
    from scipy.special import stdtr  # scipy.stats has the same and takes a second longer to import

    missing = float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    if len(x) < 2 or not (dx**2).sum() > 0:
        return Line(missing, missing, missing, missing)
    slope = float((dx * dy).sum() / (dx**2).sum())
    intercept = float(y.mean() - slope * x.mean())
    free = len(x) - 2
    if not free or not (dy**2).sum() > 0:
        return Line(slope, intercept, missing, missing)
    r = float(np.clip((dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum()), -1, 1))
    with np.errstate(divide="ignore"):
        t = np.sqrt(free) * np.abs(r) / np.sqrt((1 - r) * (1 + r))
    return Line(slope, intercept, r, float(2 * stdtr(free, -t)))


def mixtures(tables: dict[str, DataFrame]) -> list[str]:
    """Say where results of one study were produced by different means: a line for each such column."""
    found = {
        column: sorted(
            {str(value) for table in tables.values() if column in table for value in table[column]}
        )
        for column in PRODUCED_BY
    }
    return [
        f"{column} differs between runs: {', '.join(values)}"
        for column, values in found.items()
        if len(values) > 1
    ]
