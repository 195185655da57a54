"""Results of runs, and how they are summarised over seeds."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from pandas import DataFrame, Series

Tables = Mapping[str, DataFrame]  # by name
NETWORK = ["dataset", "model"]
PRODUCED_BY = ["torch", "device", "precision", "threads", "instructions"]  # each ought to hold one value
IDENTICAL = 1e-9  # Values that differ by less do so by rounding.
GUESSING = 1.5  # An accuracy of less than so many times that of guessing is none to speak of.


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


def is_dead(runs: DataFrame, classes: int | None) -> Series:
    """Tell which runs are dead: as good as guessing, with a loss no lower and little more accuracy.

    Args:
        runs: a row per evaluation or run, with `accuracy`, a fraction, and `loss`, in nats; or one per pair
            of runs, with `first_accuracy` and `second_accuracy`, of which the lower counts.
        classes: of the data set; where it is None nobody knows, and none is dead.

    Returns:
        Of booleans; False where a run diverged.
    """
    if classes is None:
        return Series(False, runs.index)
    lowest = runs.filter(["accuracy", "first_accuracy", "second_accuracy"]).min(axis=1, skipna=False)
    dead = lowest < GUESSING / classes
    return dead & runs["loss"].between(np.log(classes), np.inf, inclusive="left") if "loss" in runs else dead


def with_dead(tables: Tables, classes: int | None) -> dict[str, DataFrame]:
    """Say in a column `dead` which runs are, where a table has the accuracy and loss of a run, or a pair."""
    return {
        name: table.assign(dead=is_dead(table, classes))
        if {"accuracy", "loss"} <= set(table) or "first_accuracy" in table
        else table
        for name, table in tables.items()
    }


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
    stopped = lowest[[*run, "iteration"]].merge(ended, on=run)
    finite = np.isfinite(stopped["validation_loss"])
    return stopped[run].assign(stopping=stopped["iteration"].where(finite).astype(float))


def nearest_round(runs: DataFrame, density: float) -> tuple[int, float]:
    """Find the round of `runs` whose mean density is nearest to `density`.

    Args:
        runs: a row per run, one at least: `round`, `density`.
        density: fraction of weights kept, in (0, 1].

    Returns:
        The round, and how far off it is, in rounds of the paper's size: each is a factor of 0.8.
    """
    steps = np.log(runs.groupby("round")["density"].mean() / density).abs() / -np.log(0.8)
    return int(steps.idxmin()), float(steps.min())


def over_seeds(
    rows: DataFrame, by: list[str], value: str = "accuracy", means: Sequence[str] = ()
) -> DataFrame:
    """Summarise a column over the seeds of each group.

    Args:
        rows: a row per run or measurement, with `seed`; `value` is NaN where the run diverged. Runs may have
            `dead`, whether they are (`with_dead`).
        by: the columns that name a group.
        value: the column to summarise.
        means: further columns, of which the mean over all seeds of a group is kept under their own names.

    Returns:
        A row per group, sorted by `by`: `by`; `means`; `mean` and `std` of `value`, the sample standard
        deviation (n - 1, NaN for one seed); `n`, the seeds they are over; `diverged`, the seeds left out;
        `dead`, the seeds whose network is dead, which are in the mean (NaN where this is not known).
    """
    groups = rows.sort_values("seed", kind="stable").groupby(by)  # sums in another order end in other digits
    columns = {name: (name, "mean") for name in means}
    columns |= {"mean": (value, "mean"), "std": (value, "std"), "n": (value, "count")}
    summary = groups.agg(**columns)
    dead = groups["dead"].sum() if "dead" in rows else np.nan
    return summary.assign(diverged=groups.size() - summary["n"], dead=dead).reset_index()


def perturbation_means(runs: DataFrame, by: list[str], means: Sequence[str] = ()) -> DataFrame:
    """Summarise accuracy and size of perturbed `runs` over the seeds of each group.

    Returns:
        The rows of `over_seeds`, and `effective_std` with `effective_std_spread`, its mean and sample
        standard deviation over the same seeds.
    """
    sizes = over_seeds(runs[runs["accuracy"].notna()], by, "effective_std")
    sizes = sizes.rename(columns={"mean": "effective_std", "std": "effective_std_spread"})
    sizes = sizes[[*by, "effective_std", "effective_std_spread"]]
    return over_seeds(runs, by, means=means).merge(sizes, on=by, how="left")


def onset(holds: Mapping[float, bool]) -> tuple[float, float]:
    """Find between which two measured times something begins to hold for good.

    Args:
        holds: measured time, 0 or later -> whether it holds there.

    Returns:
        The last time at which it does not hold, 0 if there is none, and the first from which on it always
        does. Both are NaN where it does not hold at the last time, or nothing was measured.
    """
    times = sorted(holds)
    lasting = list(takewhile(holds.__getitem__, reversed(times)))
    if not lasting:
        return float("nan"), float("nan")
    earlier = times[: len(times) - len(lasting)]
    return float(earlier[-1] if earlier else 0), float(lasting[-1])


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


def mixtures(tables: Tables) -> list[str]:
    """Say where results of one study were produced by different means: a sentence for each such column."""
    sentences = []
    for column in PRODUCED_BY:
        values = {str(value) for table in tables.values() if column in table for value in table[column]}
        if len(values) > 1:
            sentences.append(f"{column} differs between runs: {', '.join(sorted(values))}")
    return sentences
