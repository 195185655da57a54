"""Claims on what sparse networks promise: accuracy, storage, time and energy (Frankle & Carbin 2019)."""

from typing import Literal

from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import NOT_MEASURABLE, Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.network import Network, Points, Share
from earlyphase.results.claims.rewinding import R6

PRUNED = "as pruned"  # of the forms of a ticket in the table `inference`; the other lacks emptied channels


@claim(
    statement="A sparse network, of {density:.1%} of the weights rewound to k = {k}, is as accurate as the "
    "dense one",
    paper="over 90 % fewer parameters without harm (Frankle & Carbin 2019, abstract; recollected)",
    criterion="in the first round below {below:.0%} of the weights the ticket is less than the margin "
    "below the dense network; the largest k stands for late rewinding",
    source="Frankle & Carbin 2019, abstract",
    reads=("imp", "dense"),
    places={"k": "500", "density": 0.086},
    same_as=("R6", "rewound late"),
)
def L1(network: Network, *, below: Share = 0.1, margin: Points = 1.0) -> Measured:
    """The same question as R6."""
    return R6(network, reading="rewound late", below=below, margin=margin)


def sparsest_and_dense(network: Network, below: float) -> tuple[DataFrame, DataFrame]:
    """Rows of the sparsest tickets measured, of the largest k, and of the dense networks."""
    table = network.table("inference", "inference was not measured")
    table = table[table["k"] == table["k"].max()]
    least = table["density"].min()
    if least >= below:
        raise NotRun(
            f"no ticket below {100 * below:g} % of the weights was measured; the sparsest has {least:.1%}"
        )
    return table[table["round"] == table["round"].max()], table[table["round"] == 0]


@claim(
    statement="A sparse network, of {density:.1%} of the weights, needs less storage",
    paper="decreasing storage requirements (Frankle & Carbin 2019, abstract; recollected)",
    criterion="in the smallest of its files, the sparsest network measured, of less than {below:.0%} of "
    "the weights, has fewer bytes than the dense one in the smallest of its own",
    source="Frankle & Carbin 2019, abstract",
    reads=("inference",),
    unit="% of the dense network's bytes",
    places={"density": 0.1},
)
def L2(network: Network, *, below: Share = 0.1) -> Measured:
    """Share of the bytes that are saved."""
    tickets, dense = sparsest_and_dense(network, below)
    files = ["bytes_dense", "bytes_dense_compressed", "bytes_packed", "bytes_packed_compressed"]
    ticket, whole = (
        rows[rows["form"] == PRUNED].groupby("seed")[files].first().min(axis=1) for rows in (tickets, dense)
    )
    return Measured(
        [Contrast("saved in the smallest file of each", saved(ticket, whole))],
        density=tickets["density"].mean(),
    )


def saved_in_inference(network: Network, value: Literal["seconds", "joules"], below: float) -> Measured:
    """Share of time or energy that a ticket saves at each batch size, in %.

    Dense network and ticket have the same candidates, the runtimes in which both were measured, and each
    counts in the best of them. A ticket is taken in one form: without its emptied channels where these could
    be taken out, so that it has no second draw that the dense network has not.

    Args:
        value: the column.
    """
    tickets, dense = sparsest_and_dense(network, below)
    if tickets[value].isna().all():
        reason = "not measured: no energy counter of the processor (RAPL) can be read"
        raise NotRun(reason, NOT_MEASURABLE)
    narrow = tickets[tickets["form"] != PRUNED]
    tickets = tickets if narrow.empty else narrow
    contrasts = []
    for batch, rows in tickets.groupby("batch"):
        whole = dense[(dense["batch"] == batch) & dense["runtime"].isin(rows["runtime"])]
        best, least = (table.groupby("seed")[value].min() for table in (rows, whole))
        runtimes, usual = sorted(set(rows["runtime"])), rows.groupby("runtime")[value].mean().idxmin()
        name = f"saved at batch {batch}, of {', '.join(runtimes)} on average best {usual}"
        contrasts.append(Contrast(name, saved(best, least)))
    return Measured(contrasts, density=tickets["density"].mean())


def saved(ticket: Series, dense: Series) -> Series:
    """What a ticket saves, in % of the dense network's."""
    return POINTS * (1 - ticket / dense)


@claim(
    statement="A sparse network, of {density:.1%} of the weights, answers faster",
    paper="improving computational performance of inference (Frankle & Carbin 2019, abstract; recollected)",
    criterion="on one thread, in the fastest runtime of each, time is saved at every batch size in the "
    "sparsest network measured, of less than {below:.0%} of the weights",
    source="Frankle & Carbin 2019, abstract",
    reads=("inference",),
    unit="% of the dense network's time",
    places={"density": 0.1},
)
def L3(network: Network, *, below: Share = 0.1) -> Measured:
    """Time of an answer."""
    return saved_in_inference(network, "seconds", below)


@claim(
    statement="A sparse network, of {density:.1%} of the weights, needs less energy to answer",
    paper="smaller energy consumption (Frankle & Carbin 2019, introduction; recollected)",
    criterion="on one thread, in the most frugal runtime of each, energy is saved at every batch size in "
    "the sparsest network measured, of less than {below:.0%} of the weights",
    source="Frankle & Carbin 2019, introduction",
    reads=("inference",),
    unit="% of the dense network's energy",
    places={"density": 0.1},
)
def L4(network: Network, *, below: Share = 0.1) -> Measured:
    """Energy of an answer."""
    return saved_in_inference(network, "joules", below)
