"""Measures that claims of several sections build on: tables of one network -> accuracies by seed."""

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import POINTS
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.summaries import NETWORK, last_evaluations


def final_results(tables: Tables, name: str, run: list[str]) -> DataFrame:
    """Results of the runs in the table `name`, a row per run, which the columns `run` name."""
    if name not in tables or tables[name].empty:
        raise NotRun(f"there is no table {name!r}" if name not in tables else f"the table {name!r} is empty")
    return last_evaluations(tables[name], [*NETWORK, *run])


def dense_accuracy(tables: Tables) -> Series:
    """Accuracy of the dense network by seed, in points."""
    return POINTS * final_results(tables, "dense", ["seed"]).set_index("seed")["accuracy"]


def by_rewind_iteration(imp: DataFrame, imp_round: int) -> DataFrame:
    """Accuracy after one round in points, (seeds, ks)."""
    runs = imp[imp["round"] == imp_round]
    return POINTS * runs.pivot(index="seed", columns="k", values="accuracy")


def round_like(runs: DataFrame, imp_round: int) -> int:
    """The round nearest to the density of the paper's `imp_round`, 0.8^imp_round.

    It must lie within half a round (a factor of sqrt(0.8)).
    """
    wanted, densities = 0.8**imp_round, runs.groupby("round")["density"].mean()
    steps = np.log(densities / wanted).abs() / -np.log(0.8)
    if steps.min() > 0.5:
        raise NotRun(f"no round is near {wanted:.1%} of weights; the sparsest has {densities.min():.1%}")
    return steps.idxmin()


def rewound_to(accuracy: DataFrame, k: int) -> Series:
    """The column of `accuracy` for rewinding to `k`."""
    if k not in accuracy:
        raise NotRun(f"k = {k:,} was not run to this density")
    return accuracy[k]
