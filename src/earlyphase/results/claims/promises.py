"""Measures of what sparse networks promise: storage, time and energy."""

from typing import Literal

from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import Share
from earlyphase.results.sparsity import PRUNED, dense_networks


def sparsest_and_dense(tables: Tables, below_density: float) -> tuple[DataFrame, DataFrame]:
    """Rows of the sparsest tickets measured, of the largest k, and of the dense networks."""
    if "inference" not in tables or tables["inference"].empty:
        raise NotRun("inference was not measured")
    table = tables["inference"]
    table = table[table["k"] == table["k"].max()]
    least = table["density"].min()
    if least >= below_density:
        raise NotRun(
            f"no ticket below {100 * below_density:g} % of weights was measured; the sparsest has {least:.1%}"
        )
    return table[table["round"] == table["round"].max()], dense_networks(table)


@measure(reads=("inference",))
def saved_bytes(tables: Tables, *, below_density: Share) -> DataFrame:
    """Share of bytes that a ticket's file saves, in %: each network in the smallest of its files."""
    ticket, dense = (
        rows[rows["form"] == PRUNED]
        .groupby("seed")[["bytes_dense", "bytes_dense_compressed", "bytes_packed", "bytes_packed_compressed"]]
        .first()
        .min(axis=1)
        for rows in sparsest_and_dense(tables, below_density)
    )
    return DataFrame({"smallest file of each": saved(ticket, dense)})


@measure(reads=("inference",))
def saved_in_inference(
    tables: Tables, *, value: Literal["seconds", "joules"], below_density: Share
) -> DataFrame:
    """Share of time or energy that a ticket saves at each batch size, in %: each network in its best runtime.

    Every runtime measured counts for both, so that none wins by luck that the other has not had; so does a
    ticket without its emptied channels.

    Args:
        value: the column.
    """
    tickets, dense = sparsest_and_dense(tables, below_density)
    if tickets[value].isna().all():
        raise NotRun(f"not measured: {tickets['energy'].iloc[0].removeprefix('not measured: ')}")
    found = {}
    for batch, rows in tickets.groupby("batch"):
        means = rows.groupby(["form", "runtime"])[value].mean()
        best = ", ".join(reversed(means.idxmin()))
        own, whole = (
            rows.groupby("seed")[value].min(),
            dense[dense["batch"] == batch].groupby("seed")[value].min(),
        )
        found[f"batch {batch}, best on average: {best}"] = saved(own, whole)
    return DataFrame(found)


def saved(ticket: Series, dense: Series) -> Series:
    """What a ticket saves, in % of the dense network's."""
    return POINTS * (1 - ticket / dense)
