"""Rows of the table `inference`."""

from pandas import DataFrame

PRUNED = "as pruned"  # of the two forms of a ticket; the other lacks its emptied channels


def dense_networks(table: DataFrame) -> DataFrame:
    """Select the dense networks in the table `inference`."""
    return table[table["round"] == 0]
