"""Claims on what sparse networks promise, L1 to L4: parameters, storage, time and energy."""

from functools import partial

from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS, Contrast
from earlyphase.results.claims.judging import MARGIN, Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import dense_accuracy, rewound_to
from earlyphase.results.claims.rewinding import LATE, below_10_percent, latest
from earlyphase.results.sparsity import PRUNED, dense_networks

LEAST = "in the sparsest network measured, of less than 10 % of the weights"


# Measures: tables of one network -> contrasts


def not_below_dense(tables: Tables, *, by_gain: bool) -> list[Contrast]:
    """Accuracy of the largest k above the dense network, in the first round below 10 % of weights, in points.

    Args:
        tables: `imp` and `dense`.
        by_gain: add the share `MARGIN` of what rewinding to k gains there over rewinding to 0.
    """
    accuracy, dense = below_10_percent(tables), dense_accuracy(tables)
    late = latest(accuracy)
    above = (accuracy[late] - dense).rename(f"k = {late:,} minus dense")
    if not by_gain:
        return [Contrast(above)]
    gain = accuracy[late] - rewound_to(accuracy, 0)
    name = f"k = {late:,} minus dense, plus {MARGIN} of rewinding's gain"
    return [Contrast((above + MARGIN * gain).rename(name), gain)]


def sparsest_and_dense(tables: Tables) -> tuple[DataFrame, DataFrame]:
    """Rows of the sparsest tickets measured, of the largest k, and of the dense networks."""
    if "inference" not in tables or tables["inference"].empty:
        raise NotRun("inference was not measured")
    table = tables["inference"]
    table = table[table["k"] == table["k"].max()]
    least = table["density"].min()
    if least >= 0.10:
        raise NotRun(f"no ticket below 10 % of weights was measured; the sparsest has {least:.1%}")
    return table[table["round"] == table["round"].max()], dense_networks(table)


def saved_bytes(tables: Tables) -> DataFrame:
    """Share of bytes that a ticket's file saves, in %: each network in the smallest of its files."""
    ticket, dense = (
        rows[rows["form"] == PRUNED]
        .groupby("seed")[["bytes_dense", "bytes_dense_compressed", "bytes_packed", "bytes_packed_compressed"]]
        .first()
        .min(axis=1)
        for rows in sparsest_and_dense(tables)
    )
    return DataFrame({"smallest file of each": saved(ticket, dense)})


def saved_in_inference(tables: Tables, *, value: str) -> DataFrame:
    """Share of time or energy that a ticket saves at each batch size, in %: each network in its best runtime.

    Every runtime measured counts for both, so that none wins by luck that the other has not had; so does a
    ticket without its emptied channels.

    Args:
        tables: `inference`.
        value: the column, "seconds" or "joules".
    """
    tickets, dense = sparsest_and_dense(tables)
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


# The claims

SMALLER = Criterion(saved_bytes, (0, INFINITY), f"the smallest file of each: bytes are saved {LEAST}")
FASTER = Criterion(
    partial(saved_in_inference, value="seconds"),
    (0, INFINITY),
    f"the fastest runtime of each, one thread: time is saved at every batch size {LEAST}",
)
FRUGAL = Criterion(
    partial(saved_in_inference, value="joules"),
    (0, INFINITY),
    f"the most frugal runtime of each, one thread: energy is saved at every batch size {LEAST}",
)
PROMISES = (
    Claim(
        "L1",
        "A sparse network of less than 10 % of the weights is as accurate as the dense one",
        "over 90 % fewer parameters without harm (Frankle & Carbin 2019, abstract; recollected)",
        ("imp", "dense"),
        Criterion(
            partial(not_below_dense, by_gain=False),
            (-0.5, INFINITY),
            "first round below 10 % of weights: no more than 0.5 points below the dense network; " + LATE,
        ),
        Criterion(
            partial(not_below_dense, by_gain=True),
            (0, INFINITY),
            "short study: first round below 10 % of weights: less is lost against the dense network than "
            f"{100 * MARGIN:.0f} % of what rewinding gains over rewinding to 0; {LATE}",
        ),
    ),
    Claim(
        "L2",
        "A sparse network needs less storage",
        "decreasing storage requirements (Frankle & Carbin 2019, abstract; recollected)",
        ("inference",),
        SMALLER,
        SMALLER,
        unit="% of the dense network's bytes",
    ),
    Claim(
        "L3",
        "A sparse network answers faster",
        "improving computational performance of inference (Frankle & Carbin 2019, abstract; recollected)",
        ("inference",),
        FASTER,
        FASTER,
        unit="% of the dense network's time",
    ),
    Claim(
        "L4",
        "A sparse network needs less energy to answer",
        "smaller energy consumption (Frankle & Carbin 2019, introduction; recollected)",
        ("inference",),
        FRUGAL,
        FRUGAL,
        unit="% of the dense network's energy",
    ),
)
