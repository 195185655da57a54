"""What the sparsity of tickets buys: bytes and times against density, and where they break even."""

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.summaries import onset, t_interval

PRUNED = "as pruned"  # of the two forms of a ticket; the other lacks its emptied channels


def dense_networks(table: DataFrame) -> DataFrame:
    """Select the dense networks in the table `inference`."""
    return table[table["round"] == 0]


def surely_less(ratios: Series) -> bool:
    """Tell whether ratios over seeds lie below 1: whether the 95 % interval of their mean logarithm does.

    Ratios that are the same in all seeds, as counts of bytes are, have no interval and count by themselves.
    One seed shows nothing.
    """
    logarithms = np.log(ratios.dropna())
    if len(logarithms) < 2:
        return False
    upper = t_interval(logarithms)[1]
    return bool(logarithms.max() < 0 if np.isnan(upper) else upper < 0)


def breaks_even(ratios: DataFrame) -> float:
    """Find the largest density measured from which on a curve lies surely below the dense network's best.

    Args:
        ratios: `round`, `density`, `ratio`, a row for each seed and round; the dense network is left out.

    Returns:
        The density, in (0, 1]; NaN where the sparsest ticket does not surely lie below.
    """
    tickets = ratios[ratios["round"] > 0].groupby("round")
    first = onset({number: surely_less(rows["ratio"]) for number, rows in tickets})[1]
    return float(tickets["density"].mean().get(first, np.nan))
