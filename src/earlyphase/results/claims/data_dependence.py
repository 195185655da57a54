"""Measures of what the early phase needs from the data: the paper's Figures 9 and 10."""

from typing import Annotated, Literal

from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import (
    Baseline,
    Density,
    Late,
    MaybeShare,
    beside_gain,
    by_rewind_iteration,
    final_results,
    latest,
    rewound_to,
    rewound_to_0,
    round_near,
    shared_round,
)
from earlyphase.results.pretraining import FIRST

EPOCH = 391  # iterations, in the paper's data and batch
KINDS = {"propertyNames": {"enum": ["epochs", "up_to_epochs", "below_k_times"]}, "maxProperties": 1}
Lengths = Annotated[dict[str, float] | Literal["longest", "all"], KINDS]  # of pretraining


def round_of(runs: DataFrame, by: list[str], density: Density) -> int:
    """The round at which `runs` are compared; `by` names the columns that tell apart what is compared.

    In a short study the sparsest that all have: how many weights can be spared differs.
    """
    if density != "sparsest":
        return round_near(runs, density)
    if runs.empty:
        raise NotRun("no such network was pruned")
    return shared_round(runs, by, "there is no round that all were pruned to")


# Networks that were pretrained while dense


def by_duration(
    tables: Tables, name: str, density: Density, imp_round: int | None = None
) -> tuple[DataFrame, int]:
    """Accuracy in points of tickets after the pretraining `name`, (seeds, durations); and their round.

    Args:
        imp_round: one to look at; None for that of `round_of`.
    """
    runs = final_results(tables, "pretrained_imp", [*FIRST, "round", "seed"])
    imp_round = imp_round or round_of(runs, FIRST, density)
    runs = runs[runs["pretraining"] == name]
    if runs.empty:
        raise NotRun(f"no network was pretrained on {name}")
    at_round = runs[runs["round"] == imp_round]
    if at_round.empty:
        raise NotRun(f"no network that was pretrained on {name} was pruned to round {imp_round}")
    accuracy = POINTS * at_round.pivot(index="seed", columns="pretraining_iterations", values="accuracy")
    accuracy.attrs["place"] = f"at {at_round['density'].mean():.1%}"
    return accuracy, imp_round


def of_lengths(accuracy: DataFrame, lengths: Lengths, name: str, k: int) -> DataFrame:
    """The columns of `accuracy`, (seeds, durations), that `lengths` asks for.

    Below a number of times `k` raises `NotRun` where no pretraining was shorter, or none as long: then
    nothing shows that pretraining is slow.
    """
    if lengths == "all":
        return accuracy
    if lengths == "longest":
        return accuracy[[accuracy.columns.max()]]
    ((kind, number),) = lengths.items()
    if kind == "below_k_times":
        limit = number * k
        shorter = [length for length in accuracy if length < limit]
        if not shorter or max(accuracy) < limit:
            limits = f"{number:g} times k, {limit:,g} iterations"
            raise NotRun(f"pretraining must be run for less and for more than {limits}")
        return accuracy[shorter]
    least = number * EPOCH if kind == "epochs" else 0
    chosen = accuracy[[length for length in accuracy if least <= length <= number * EPOCH]]
    if chosen.empty:
        raise NotRun(f"{name} was run for {', '.join(f'{length:,}' for length in accuracy)} iterations only")
    return chosen


def unpretrained(tables: Tables, imp_round: int, late: Late) -> tuple[Series, Series, int]:
    """Accuracy by seed in points of tickets that rewind to 0 and to k, and k."""
    accuracy = by_rewind_iteration(tables, imp_round)
    k = latest(accuracy) if late == "largest" else late
    return rewound_to(accuracy, 0), rewound_to(accuracy, k), k


@measure(reads=("pretrained_imp", "imp"))
def pretrained_minus_rewinding_to_0(
    tables: Tables,
    *,
    pretraining: str,
    late: Late,
    density: Density = "sparsest",
    lengths: Lengths = "all",
    kept: MaybeShare = None,
    lost: MaybeShare = None,
) -> list[Contrast]:
    """Accuracy gained by a pretraining over rewinding to 0, for each of its lengths; see `beside_gain`.

    Args:
        late: the k whose rewinding is what may be gained.
        lengths: of pretraining: all, the longest, some epochs, up to some epochs, below some times k.
    """
    accuracy, imp_round = by_duration(tables, pretraining, density)
    baseline, rewound, k = unpretrained(tables, imp_round, late)
    place, gained = accuracy.attrs["place"], f"what rewinding to {k:,} gains"
    found = []
    for length, values in of_lengths(accuracy, lengths, pretraining, k).items():
        label = f"{pretraining} for {length:,} {place} minus rewinding to 0"
        found.append(beside_gain(values - baseline, label, rewound - baseline, kept, lost, gained))
    return found


@measure(reads=("pretrained_imp", "imp"))
def pretrained_minus_rewinding_to_k(
    tables: Tables, *, pretraining: str, late: int, density: Density = "sparsest", lengths: Lengths = "all"
) -> DataFrame:
    """Accuracy gained by a pretraining over rewinding to k = `late`, for each of its lengths."""
    accuracy, imp_round = by_duration(tables, pretraining, density)
    _, rewound, _ = unpretrained(tables, imp_round, late)
    chosen = of_lengths(accuracy, lengths, pretraining, late)
    return DataFrame(
        {f"{pretraining} for {each:,} minus rewinding to {late:,}": chosen[each] - rewound for each in chosen}
    )


# Tickets that were pretrained when they were sparse


def sparse_runs(tables: Tables, name: str, late: Late, density: Density) -> tuple[DataFrame, int]:
    """Accuracy in points of tickets after the longest pretraining `name`, (seeds, tickets); their k.

    The frame's `attrs` have the `round` and the `duration`.
    """
    runs = final_results(tables, "pretrained_tickets", [*FIRST, "k", "round", "perturbation", "seed"])
    runs = runs[runs["pretraining"] == name]
    if runs.empty:
        raise NotRun(f"no ticket was pretrained on {name}")
    k = runs["k"].max() if late == "largest" else late
    if k not in set(runs["k"]):
        raise NotRun(f"no ticket of k = {k:,} was pretrained")
    duration = runs["pretraining_iterations"].max()
    runs = runs[(runs["pretraining_iterations"] == duration) & (runs["k"] == k)]
    imp_round = round_of(runs, ["perturbation"], density)
    accuracy = POINTS * runs[runs["round"] == imp_round].pivot(
        index="seed", columns="perturbation", values="accuracy"
    )
    accuracy.attrs |= {"round": imp_round, "duration": duration}
    return accuracy, k


def of_ticket(accuracy: DataFrame, name: str) -> Series:
    """The column of `accuracy` of one ticket."""
    if name not in accuracy:
        raise NotRun(f"the ticket {name} was not pretrained")
    return accuracy[name]


@measure(reads=("pretrained_tickets", "imp", "perturbed"))
def sparse_minus_rewinding_to_0(
    tables: Tables,
    *,
    pretraining: str,
    tickets: list[str],
    late: Late,
    baseline: Baseline,
    density: Density = "sparsest",
    kept: MaybeShare = None,
) -> list[Contrast]:
    """Accuracy gained over rewinding to 0 by each ticket that was pretrained; see `beside_gain`."""
    accuracy, k = sparse_runs(tables, pretraining, late, density)
    imp_round = accuracy.attrs["round"]
    early = rewound_to_0(tables, k, imp_round, baseline)
    gain, gained = unpretrained(tables, imp_round, k)[1] - early, f"what rewinding to {k:,} gains"
    found = []
    for name in tickets:
        difference, label = of_ticket(accuracy, name) - early, f"{name} minus rewinding to 0 ({baseline})"
        found.append(beside_gain(difference, label, gain, kept, None, gained))
    return found


@measure(reads=("pretrained_tickets", "imp"))
def sparse_minus_rewinding_to_k(
    tables: Tables, *, pretraining: str, ticket: str, late: Late, density: Density = "sparsest"
) -> DataFrame:
    """Accuracy gained by pretraining the ticket of k over training it as it is."""
    accuracy, k = sparse_runs(tables, pretraining, late, density)
    _, rewound, _ = unpretrained(tables, accuracy.attrs["round"], k)
    return DataFrame(
        {f"pretrained ticket of k = {k:,} minus the ticket": of_ticket(accuracy, ticket) - rewound}
    )


@measure(reads=("pretrained_tickets", "pretrained_imp"))
def dense_minus_sparse_pretraining(
    tables: Tables, *, pretraining: str, ticket: str, late: Late, density: Density = "sparsest"
) -> DataFrame:
    """Accuracy gained by pretraining before the mask is found over pretraining under a mask found without.

    Both start from iteration 0, are pretrained for as long, and have as many weights.
    """
    accuracy, k = sparse_runs(tables, pretraining, late, density)
    duration, imp_round = accuracy.attrs["duration"], accuracy.attrs["round"]
    dense, _ = by_duration(tables, pretraining, density, imp_round)
    if duration not in dense:
        raise NotRun(f"{pretraining} was run for {', '.join(f'{each:,}' for each in dense)} iterations only")
    label = f"pretrained for {duration:,} while dense, minus under the mask of k = {k:,}"
    return DataFrame({label: dense[duration] - of_ticket(accuracy, ticket)})
