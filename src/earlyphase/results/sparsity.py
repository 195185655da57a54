"""What the sparsity of tickets buys: bytes and times against density, and where they break even."""

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.summaries import t_interval

PRUNED = "as pruned"  # of the two forms of a ticket; the other lacks its emptied channels


def dense_networks(table: DataFrame) -> DataFrame:
    """Rows of the dense networks in the table `inference`."""
    return table[table["round"] == 0]


def relative_to_dense(table: DataFrame, value: str) -> DataFrame:
    """Add `ratio`: a column relative to that of the dense network in its best runtime.

    Of several runtimes, the one with the smallest value counts, for each seed and batch size: a slow runtime
    is not worth its sparsity because it is less slow on a sparse network.
    """
    place = ["seed", "k", "batch"]
    best = dense_networks(table).groupby(place)[value].min().rename("best")
    joined = table.join(best, on=place)
    return joined.assign(ratio=joined[value] / joined["best"]).drop(columns="best")


def surely_less(ratios: Series) -> bool:
    """Whether ratios over seeds lie below 1: the 95 % interval of the mean of their logarithm does.

    Where they are the same in all seeds, as counts of bytes are, they themselves do. One seed shows nothing.
    """
    logarithms = np.log(ratios.dropna())
    if len(logarithms) < 2:
        return False
    upper = t_interval(logarithms)[1]
    return bool(logarithms.max() < 0 if np.isnan(upper) else upper < 0)


def breaks_even(ratios: DataFrame) -> float:
    """Largest density measured from which on a curve lies surely below the dense network's best; NaN if none.

    Args:
        ratios: `round`, `density`, `ratio`, a row for each seed and round; the dense network is left out.
    """
    found = float("nan")
    tickets = ratios[ratios["round"] > 0]
    for _, rows in sorted(tickets.groupby("round"), reverse=True):
        if not surely_less(rows["ratio"]):
            break
        found = float(rows["density"].mean())
    return found
