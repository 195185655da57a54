"""Results of runs, and how they are summarised over seeds."""

import numpy as np
from pandas import DataFrame

NETWORK = ["dataset", "model"]
PRODUCED_BY = ["torch", "device", "precision", "threads"]  # columns that ought to hold one value each


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


def over_seeds(runs: DataFrame, by: list[str]) -> DataFrame:
    """Summarise the accuracy of `runs` over the seeds of each group.

    Returns:
        A row per group: `by`; `mean` and `std` as fractions, the sample standard deviation (n - 1,
        NaN for one seed); `n`, the seeds they are over; `diverged`, the seeds left out.
    """
    accuracy = runs.groupby(by, sort=True)["accuracy"]
    summary = accuracy.agg(mean="mean", std="std", n="count", diverged=lambda values: values.isna().sum())
    return summary.reset_index()


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
