"""Claims on rewinding, R1 to R5: the paper's Figure 1."""

from collections.abc import Callable
from functools import partial

from pandas import DataFrame

from earlyphase.results.claims.evidence import INFINITY, Contrast, Order
from earlyphase.results.claims.judging import MARGIN, SIGN, Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import (
    by_rewind_iteration,
    dense_accuracy,
    final_results,
    rewound_to,
    round_like,
)

LATE = "the largest k stands for the paper's late rewinding"


# Measures: tables of one network -> (seeds, contrasts)


def at_density_of_round_8(tables: Tables) -> DataFrame:
    """Accuracy at 16.8 % of weights in points, (seeds, ks)."""
    imp = final_results(tables, "imp", ["seed", "k", "round"])
    return by_rewind_iteration(imp, round_like(imp, 8))


def below_10_percent(tables: Tables) -> DataFrame:
    """Accuracy in the first round below 10 % of weights in points, (seeds, ks).

    One round, not all of them, so that the answer does not depend on how many were run.
    """
    imp = final_results(tables, "imp", ["seed", "k", "round"])
    densities = imp.groupby("round")["density"].mean()
    if densities.min() >= 0.10:
        raise NotRun(f"no round is below 10 % of weights; the sparsest has {densities.min():.1%}")
    return by_rewind_iteration(imp, densities[densities < 0.10].index.min())


def latest(accuracy: DataFrame) -> int:
    """The largest k: in a short study, the stand-in for the paper's late rewinding."""
    if accuracy.columns.max() <= 0:
        raise NotRun("only k = 0 was run to this density")
    return accuracy.columns.max()


def ticket_minus_dense(tables: Tables, *, from_k: int) -> DataFrame:
    """Accuracy gained over the dense network at 16.8 %, one column for every k >= `from_k`."""
    accuracy, dense = at_density_of_round_8(tables), dense_accuracy(tables)
    ks = [k for k in accuracy if k >= from_k]
    if not ks:
        raise NotRun(f"no k from {from_k:,} on was run")
    return DataFrame({f"k = {k:,} minus dense": accuracy[k] - dense for k in ks})


def near_dense(tables: Tables) -> list[Contrast]:
    """How far inside the margin the largest k lies, above and below the dense network at 16.8 %.

    The margin is the share `MARGIN` of what rewinding there gains over rewinding to 0, within each seed. Both
    contrasts are above 0 where the two networks differ by less.
    """
    accuracy, dense = at_density_of_round_8(tables), dense_accuracy(tables)
    late = latest(accuracy)
    gain = accuracy[late] - rewound_to(accuracy, 0)
    above = accuracy[late] - dense
    margin = f"plus {MARGIN} of rewinding's gain"
    return [
        Contrast((above + MARGIN * gain).rename(f"k = {late:,} minus dense, {margin}"), gain),
        Contrast((MARGIN * gain - above).rename(f"dense minus k = {late:,}, {margin}"), gain),
    ]


def late_minus_early(
    tables: Tables, *, where: Callable[[Tables], DataFrame], late: int | None, early: int
) -> DataFrame:
    """Accuracy gained by rewinding to `late` in place of `early`; `late` = None takes the largest k.

    `where` gives the accuracies at one density, as `at_density_of_round_8` does.
    """
    accuracy = where(tables)
    late = latest(accuracy) if late is None else late
    gained = rewound_to(accuracy, late) - rewound_to(accuracy, early)
    return DataFrame({f"k = {late:,} minus k = {early:,}": gained})


def order_over_k(tables: Tables, *, up_to: float) -> list[Order]:
    """The order of accuracy at 16.8 % over the ks up to `up_to`."""
    accuracy = at_density_of_round_8(tables)
    accuracy = accuracy[sorted(k for k in accuracy if k <= up_to)]
    if accuracy.shape[1] < 3:
        raise NotRun(f"an order over k needs three ks; {accuracy.shape[1]} of use were run to this density")
    return [Order(accuracy)]


def past_saturation(tables: Tables) -> DataFrame:
    """Raise `NotRun`: where rewinding saturates is known for the paper's network and length only."""
    raise NotRun("k = 2,000 and 4,000 lie past saturation in the paper's network; no such k is known here")


# The claims

SIDES = ("falls short of the dense network", "matches it", "exceeds it")


REWINDING = (
    Claim(
        "R1",
        "A ticket rewound to any k >= 500 matches the dense network at 16.8 % of weights",
        "no visible gap at 16.8 % (from the paper)",
        ("imp", "dense"),
        Criterion(
            partial(ticket_minus_dense, from_k=500),
            (-0.5, 0.5),
            "equivalence (TOST): every k >= 500 lies within ±0.5 points of the dense network",
            sides=SIDES,
        ),
        Criterion(
            near_dense,
            (0, INFINITY),
            "short study: equivalence (TOST), the difference from the dense network is less than "
            f"{100 * MARGIN:.0f} % of what rewinding gains over rewinding to 0; {LATE}",
        ),
    ),
    Claim(
        "R2",
        "A ticket rewound to 0 does not: late rewinding is clearly more accurate at 16.8 % of weights",
        "k = 0 clearly below k = 500 (from the paper), by 1.5 to 3 points (recollected)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=500, early=0),
            (0.5, INFINITY),
            "the paired gain exceeds 0.5 points",
        ),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=None, early=0),
            (0, INFINITY),
            f"{SIGN}: the gain is positive; {LATE}",
        ),
    ),
    Claim(
        "R3",
        "Rewinding past k = 2,000 gains nothing more at 16.8 % of weights",
        "k = 4,000 as good as k = 2,000 (from the paper's text; no figure)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=4000, early=2000),
            (-0.3, 0.3),
            "equivalence (TOST): the paired difference lies within ±0.3 points",
        ),
        Criterion(past_saturation, (-0.3, 0.3), "short study: no test"),
    ),
    Claim(
        "R4",
        "Accuracy at 16.8 % of weights rises with k, up to k = 2,000",
        "accuracy ordered by k (recollected)",
        ("imp",),
        Criterion(
            partial(order_over_k, up_to=2000),
            (0, INFINITY),
            "rank correlation of accuracy with k within seeds: its mean is positive",
        ),
        Criterion(
            partial(order_over_k, up_to=INFINITY),
            (0, INFINITY),
            "short study: rank correlation of accuracy with k within seeds: its mean is positive",
        ),
        unit="(rank correlation)",
    ),
    Claim(
        "R5",
        "With rewinding, pruning still trains well above 90 % sparsity: late rewinding beats k = 0 there",
        "k = 500 trains well below 10 % of weights (from the paper, without a number)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=below_10_percent, late=500, early=0),
            (1.0, INFINITY),
            "first round below 10 % of weights: the paired gain exceeds 1 point",
        ),
        Criterion(
            partial(late_minus_early, where=below_10_percent, late=None, early=0),
            (0, INFINITY),
            f"{SIGN} in the first round below 10 % of weights: the gain is positive; {LATE}",
        ),
    ),
)
