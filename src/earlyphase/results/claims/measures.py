"""What measures of several sections build on: tables of one network -> accuracies by seed, in points."""

from typing import Annotated, Literal

from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.summaries import NETWORK, last_evaluations, nearest_round

REWIND_TO_0 = "rewind_to_0"  # a perturbation by its name in config.yaml: iteration 0 under the mask of k
FRACTION = {"minimum": 0, "maximum": 1}
Share = Annotated[float, FRACTION]
Density = Annotated[
    float | Literal["sparsest"], FRACTION
]  # the sparsest: of the rounds that all compared have
MaybeShare = Annotated[float | None, FRACTION]
Late = int | Literal["largest"]  # a k; in a short study the largest stands for the paper's late rewinding
Baseline = Literal[
    "own masks", "masks of k"
]  # of rewinding to 0: tickets of k = 0, or 0 under the masks of k


def final_results(tables: Tables, name: str, run: list[str]) -> DataFrame:
    """Results of the runs in the table `name`, a row per run, which the columns `run` name."""
    if name not in tables or tables[name].empty:
        raise NotRun(f"there is no table {name!r}" if name not in tables else f"the table {name!r} is empty")
    return last_evaluations(tables[name], [*NETWORK, *run])


def dense_accuracy(tables: Tables) -> Series:
    """Accuracy of the dense network by seed."""
    return POINTS * final_results(tables, "dense", ["seed"]).set_index("seed")["accuracy"]


def by_rewind_iteration(tables: Tables, imp_round: int) -> DataFrame:
    """Accuracy of tickets after one round, (seeds, ks)."""
    imp = final_results(tables, "imp", ["seed", "k", "round"])
    return POINTS * imp[imp["round"] == imp_round].pivot(index="seed", columns="k", values="accuracy")


def round_near(runs: DataFrame, density: float) -> int:
    """The round of `runs` nearest to a density; it must lie within half a round (a factor of sqrt(0.8))."""
    nearest, off = nearest_round(runs, density)
    if off > 0.5:
        sparsest = runs.groupby("round")["density"].mean().min()
        raise NotRun(f"no round is near {density:.1%} of weights; the sparsest has {sparsest:.1%}")
    return nearest


def shared_round(runs: DataFrame, by: list[str], otherwise: str) -> int:
    """The sparsest round that all of `runs` have, told apart by the columns `by`; else raise `otherwise`."""
    if not (shared := set.intersection(*(set(own["round"]) for _, own in runs.groupby(by)))):
        raise NotRun(otherwise)
    return max(shared)


def latest(accuracy: DataFrame) -> int:
    """The largest k: in a short study, the stand-in for the paper's late rewinding."""
    if accuracy.columns.max() <= 0:
        raise NotRun("only k = 0 was run to this density")
    return accuracy.columns.max()


def rewound_to(accuracy: DataFrame, k: int) -> Series:
    """The column of `accuracy` for rewinding to `k`."""
    if k not in accuracy:
        raise NotRun(f"k = {k:,} was not run to this density")
    return accuracy[k]


def rewound_to_0(tables: Tables, k: int, imp_round: int, baseline: str) -> Series:
    """Accuracy by seed of rewinding to 0: tickets of k = 0, or 0 under the masks of `k`.

    The paper may mean either.
    """
    if baseline == "own masks":
        return rewound_to(by_rewind_iteration(tables, imp_round), 0)
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    chosen = (runs["perturbation"] == REWIND_TO_0) & (runs["k"] == k) & (runs["round"] == imp_round)
    if not chosen.any():
        raise NotRun(f"{REWIND_TO_0} was not run for k = {k:,} at this density")
    return POINTS * runs[chosen].set_index("seed")["accuracy"]


def losing_less(above: Series, label: str, share: float | None, accuracy: DataFrame) -> Contrast:
    """`above`, in points, plus a share of what the largest k of `accuracy` gains over k = 0, in each seed.

    Above 0 where less than that share is lost; None adds nothing. There is no test where rewinding itself
    surely gains nothing.
    """
    if share is None:
        return Contrast(above.rename(label))
    gain = rewound_to(accuracy, latest(accuracy)) - rewound_to(accuracy, 0)
    return Contrast((above + share * gain).rename(f"{label}, plus {share:g} of rewinding's gain"), gain)


def beside_gain(
    difference: Series, label: str, gain: Series, kept: float | None, lost: float | None, gained: str
) -> Contrast:
    """`difference` less a share of what rewinding to k gains over rewinding to 0, within each seed.

    Above 0 where more of the gain is kept than `kept`, or less of it is lost than `lost`; both None subtracts
    nothing. There is no test where rewinding itself surely gains nothing.
    """
    share = kept if lost is None else 1 - lost
    if share is None:
        return Contrast(difference.rename(label), gain)
    return Contrast((difference - share * gain).rename(f"{label} minus {share:g} of {gained}"), gain)
