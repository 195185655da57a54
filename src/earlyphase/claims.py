"""Tables to verdicts on the paper's claims.

A claim is data: what the paper says, which contrast measures it and where that contrast must lie.
Nearly every claim is judged by the same test, on differences *within* seeds (same initial weights, same
data order). The two one-sided 95 % t bounds of their mean form one interval:

* wholly inside the target: `reproduced`;
* wholly outside it: `not reproduced`;
* across its edge, or from fewer than two seeds: `inconclusive`;
* a run the contrast needs does not exist: `not run at this scale`.

With a target of ±tolerance this is the equivalence test TOST at 5 %, so "matches" needs evidence of a
small difference, not the absence of evidence for a large one; with a one-sided target it is the
one-sided t test. A study of the full scale is held to tolerances in points; a shorter one
only to the sign of the contrast.

"No better than rewinding to 0" is no sign, and no tolerance in points is known at another length. There
a short study compares with the middle between rewinding to 0 and to k: the claim holds for a ticket that
keeps less than half of what rewinding to k gains.

Two claims (P12, P13) are about points of Figure 8. Each point is a mean over seeds, and the
perturbations, not the seeds, are the sample: see `OverPoints`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from pandas import DataFrame, Series, concat

from earlyphase.summaries import NETWORK, fit_line, last_evaluations, perturbation_means

Tables = dict[str, DataFrame]
POINTS = 100  # percentage points in an accuracy of 1
INFINITY = float("inf")
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run at this scale"

# Perturbations by their names in presets/perturbed.yaml.
REWIND_TO_0 = "rewind_to_0"  # the state of iteration 0 under the mask of k
SIGNS_K = ("signs_k_magnitudes_0", "signs_k_magnitudes_fresh")
SIGNS_0 = "signs_0_magnitudes_k"
MIXES = (*SIGNS_K, SIGNS_0)
FILTERS = "shuffle_kernels"  # the paper's filters: 2-D slices, by their size; `shuffle_filters` is 3-D
SHUFFLES = ("shuffle_global", "shuffle_layers", FILTERS)
LAYERS_SIGNS_0 = "shuffle_layers_signs_0"
SIGNED_SHUFFLES = (*(f"{name}_signs_k" for name in SHUFFLES), LAYERS_SIGNS_0)
NOISE = ("noise_0.5", "noise_1", "noise_2", "noise_3")
FIGURE_8 = (*MIXES, *SHUFFLES, *SIGNED_SHUFFLES, *NOISE)  # the 14 points that the paper's p fits


class NotRun(Exception):  # noqa: N818 - a verdict, not a fault
    """The study lacks a run that a contrast needs; the message says which."""


@dataclass(frozen=True)
class OverPoints:
    """A statistic of the points of one k, a point per perturbation.

    It holds if it lies in the target and its two-sided p is below 5 %; it fails if its one-sided 95 %
    bounds lie wholly outside the target or, where it has no bounds, if it lies outside with p below 5 %.
    (Bounds as wide as those of 14 points fit inside no target as narrow as the paper's.)

    Attributes:
        n: points it is over, not seeds.
        p: two-sided, against no relation.
        note: how the points came about.
    """

    name: str
    value: float
    n: int
    p: float
    note: str
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Criterion:
    """When a claim holds.

    Attributes:
        measure: tables of one network -> DataFrame (seeds, contrasts), NaN where a run diverged or is
            missing, or statistics over points. Raises `NotRun`. The claim needs every contrast to pass;
            the worst one is reported.
        target: (low, high), where the mean contrast must lie, in the claim's unit.
        rule: the same in words.
        also: what must hold besides, if anything.
    """

    measure: Callable[[Tables], "DataFrame | list[OverPoints]"]
    target: tuple[float, float]
    rule: str
    also: "Criterion | None" = None


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and how it is judged.

    Attributes:
        statement: the claim, in our words.
        paper: the paper's number; says where it is recollected, not checked against the text.
        tables: names of the tables that the measures read.
        full: criterion for the paper's network, data and length.
        short: criterion for any other study.
        unit: of the contrast.
    """

    id: str
    statement: str
    paper: str
    tables: tuple[str, ...]
    full: Criterion
    short: Criterion
    unit: str = "points"


def t_interval(values: Series) -> tuple[float, float]:
    """One-sided 95 % t bounds, lower and upper, of the mean of two or more values."""
    from scipy.special import stdtrit  # scipy.stats has the same and takes a second longer to import

    half = stdtrit(len(values) - 1, 0.95) * values.std() / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


# Measures: tables of one network -> (seeds, contrasts)


def supervised_runs(tables: Tables, name: str, run: list[str]) -> DataFrame:
    """Results of the supervised runs in the table `name`, a row per run."""
    if name not in tables:
        raise NotRun(f"there is no table {name!r}")
    rows = tables[name][tables[name]["task"] == "supervised"]
    if rows.empty:
        raise NotRun(f"the table {name!r} holds no supervised run")
    return last_evaluations(rows, [*NETWORK, *run])


def dense_accuracy(tables: Tables) -> Series:
    """Accuracy of the dense network by seed, in points."""
    return POINTS * supervised_runs(tables, "dense", ["seed"]).set_index("seed")["accuracy"]


def by_rewind_iteration(imp: DataFrame, imp_round: int) -> DataFrame:
    """Accuracy after one round in points, (seeds, ks)."""
    runs = imp[imp["round"] == imp_round]
    return POINTS * runs.pivot(index="seed", columns="k", values="accuracy")


def at_density_of_round_8(tables: Tables) -> DataFrame:
    """Accuracy at 16.8 % of weights in points, (seeds, ks)."""
    imp = supervised_runs(tables, "imp", ["seed", "k", "round"])
    return by_rewind_iteration(imp, round_like(imp, 8))


def round_like(runs: DataFrame, imp_round: int) -> int:
    """The round nearest to the density of the paper's `imp_round`, 0.8^imp_round.

    It must lie within half a round (a factor of sqrt(0.8)).
    """
    wanted, densities = 0.8**imp_round, runs.groupby("round")["density"].mean()
    steps = np.log(densities / wanted).abs() / -np.log(0.8)
    if steps.min() > 0.5:
        raise NotRun(f"no round is near {wanted:.1%} of weights; the sparsest has {densities.min():.1%}")
    return steps.idxmin()


def below_10_percent(tables: Tables) -> DataFrame:
    """Accuracy in the first round below 10 % of weights in points, (seeds, ks).

    One round, not all of them, so that the answer does not depend on how many were run.
    """
    imp = supervised_runs(tables, "imp", ["seed", "k", "round"])
    densities = imp.groupby("round")["density"].mean()
    if densities.min() >= 0.10:
        raise NotRun(f"no round is below 10 % of weights; the sparsest has {densities.min():.1%}")
    return by_rewind_iteration(imp, densities[densities < 0.10].index.min())


def rewound_to(accuracy: DataFrame, k: int) -> Series:
    """The column of `accuracy` for rewinding to `k`."""
    if k not in accuracy:
        raise NotRun(f"k = {k:,} was not run to this density")
    return accuracy[k]


def latest(accuracy: DataFrame) -> int:
    """The largest k: in a short study, the stand-in for the paper's late rewinding."""
    if accuracy.columns.max() <= 0:
        raise NotRun("only k = 0 was run to this density")
    return accuracy.columns.max()


def dense_minus_ticket(tables: Tables, *, from_k: int | None) -> DataFrame:
    """Accuracy lost against the dense network at 16.8 %, one column for every k >= `from_k`.

    `from_k` = None takes the largest k alone.
    """
    accuracy, dense = at_density_of_round_8(tables), dense_accuracy(tables)
    ks = [latest(accuracy)] if from_k is None else [k for k in accuracy if k >= from_k]
    if not ks:
        raise NotRun(f"no k from {from_k:,} on was run")
    return DataFrame({f"dense minus k = {k:,}": dense - accuracy[k] for k in ks})


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


def rank_correlation_with_k(tables: Tables, *, up_to: float) -> DataFrame:
    """Spearman's correlation over k between accuracy at 16.8 % and k; 0 if all accuracies are equal.

    A seed with a diverged or missing run is NaN: every seed is ranked over the same ks.
    """
    accuracy = at_density_of_round_8(tables)
    accuracy = accuracy[sorted(k for k in accuracy if k <= up_to)]
    ks = accuracy.columns
    if len(ks) < 3:
        raise NotRun(f"an order over k needs three ks; {len(ks)} of use were run to this density")
    complete = accuracy.dropna()
    order = Series(range(len(ks)), index=ks, dtype=float)
    correlation = complete.rank(axis=1).corrwith(order, axis=1).fillna(0.0)
    return DataFrame({f"Spearman over k = {', '.join(map(str, ks))}": correlation.reindex(accuracy.index)})


def past_saturation(tables: Tables) -> DataFrame:
    """Raise `NotRun`: where rewinding saturates is known for the paper's network and length only."""
    raise NotRun("k = 2,000 and 4,000 lie past saturation in the paper's network; no such k is known here")


# Measures of perturbed tickets, near 26.2 % of weights

Which = int | str  # a k, or "smallest" or "largest": the k of a short study in the role of 500 or 2,000


def perturbed_runs(tables: Tables, which: Which) -> DataFrame:
    """Results of the perturbed tickets of one k near 26.2 % of weights, the paper's round 6.

    One round, the one for which the paper has numbers, so that the answer does not depend on how many
    were run. A single k is "smallest" but not "largest": it cannot play both roles.
    """
    runs = supervised_runs(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    runs = runs[(runs["round"] == round_like(runs, 6)) & (runs["k"] > 0)]
    ks = sorted(runs["k"].unique())
    if not ks:
        raise NotRun("no k above 0 was perturbed")
    if which == "largest" and len(ks) == 1:
        raise NotRun(f"k = {ks[0]:,} alone was perturbed; it stands for the paper's 500, none for 2,000")
    k = {"smallest": ks[0], "largest": ks[-1]}.get(which, which)
    if k not in ks:
        raise NotRun(f"k = {k:,} was not perturbed")
    return runs[runs["k"] == k]


def by_perturbation(runs: DataFrame, *names: str) -> list[Series]:
    """Accuracy by seed in points of each perturbation in `names`; `runs` are of one k and round."""
    accuracy = POINTS * runs.pivot(index="seed", columns="perturbation", values="accuracy")
    for name in names:
        if name not in accuracy:
            raise NotRun(f"{name} was not run for k = {runs['k'].iloc[0]:,}")
    return [accuracy[name] for name in names]


def rewound_to_k(tables: Tables, runs: DataFrame) -> Series:
    """Accuracy by seed in points of the unperturbed tickets of the k and round of `runs`."""
    imp = by_rewind_iteration(supervised_runs(tables, "imp", ["seed", "k", "round"]), runs["round"].iloc[0])
    return rewound_to(imp, runs["k"].iloc[0])


def rewound_to_0(tables: Tables, runs: DataFrame) -> dict[str, Series]:
    """Accuracy by seed in points of rewinding to 0, in each reading of it that was run.

    The paper may mean the tickets of k = 0 with their own masks, or the masks of k.
    """
    imp = by_rewind_iteration(supervised_runs(tables, "imp", ["seed", "k", "round"]), runs["round"].iloc[0])
    readings = {"own masks": imp[0]} if 0 in imp else {}
    if (runs["perturbation"] == REWIND_TO_0).any():
        (readings["masks of k"],) = by_perturbation(runs, REWIND_TO_0)
    if not readings:
        raise NotRun("rewinding to 0 was not run to this density")
    return readings


def minus_rewinding_to_0(
    tables: Tables, *, names: tuple[str, ...], ks: tuple[Which, ...], halfway: bool = False
) -> DataFrame:
    """Accuracy gained by each perturbation in `names` over rewinding to 0, at every k and in each reading.

    Args:
        halfway: compare with the middle between rewinding to 0 and rewinding to k in place of 0.
    """
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which)
        k = runs["k"].iloc[0]
        for name, accuracy in zip(names, by_perturbation(runs, *names), strict=True):
            for reading, baseline in rewound_to_0(tables, runs).items():
                label = f"rewinding to 0 ({reading})"
                if halfway:
                    baseline = (baseline + rewound_to_k(tables, runs)) / 2
                    label = f"the middle between {label} and to k"
                gained[f"k = {k:,}: {name} minus {label}"] = accuracy - baseline
    return DataFrame(gained)


def minus_rewinding_to_k(tables: Tables, *, names: tuple[str, ...], ks: tuple[Which, ...]) -> DataFrame:
    """Accuracy gained by each perturbation in `names` over the unperturbed ticket, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which)
        for name, accuracy in zip(names, by_perturbation(runs, *names), strict=True):
            label = f"k = {runs['k'].iloc[0]:,}: {name} minus rewinding to k"
            gained[label] = accuracy - rewound_to_k(tables, runs)
    return DataFrame(gained)


def one_minus_other(tables: Tables, *, one: str, other: str, ks: tuple[Which, ...]) -> DataFrame:
    """Accuracy gained by the perturbation `one` over `other`, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which)
        accuracy, baseline = by_perturbation(runs, one, other)
        gained[f"k = {runs['k'].iloc[0]:,}: {one} minus {other}"] = accuracy - baseline
    return DataFrame(gained)


def growth(tables: Tables, *, one: str, other: str, early: Which, late: Which) -> DataFrame:
    """How much more `one` gains over `other` at the late k than at the early one."""
    gained = one_minus_other(tables, one=one, other=other, ks=(early, late))
    (_, before), (label, after) = gained.items()
    return DataFrame({f"{label}, minus the same at the early k": after - before})


def figure_8_points(tables: Tables, which: Which) -> tuple[DataFrame, str]:
    """Points of Figure 8 at one k, `effective_std` and `mean` accuracy, and a note on them."""
    runs = perturbed_runs(tables, which)
    runs = runs[runs["perturbation"].isin(FIGURE_8)]
    if runs.empty:
        raise NotRun("none of the perturbations of Figure 8 was run")
    points = perturbation_means(runs, ["k", "perturbation"])
    diverged = points["diverged"].sum()
    points = points[points["n"] > 0].reset_index(drop=True)
    note = f"n counts perturbations (the paper has {len(FIGURE_8)}), each a mean over seeds"
    if diverged:
        note += f"; left out: {diverged} diverged run{'s' if diverged > 1 else ''}"
    return points, note


def correlation_with_size(tables: Tables, *, ks: tuple[Which, ...]) -> list[OverPoints]:
    """Pearson's r between effective standard deviation and accuracy, at every k.

    Bounds by Fisher's transformation.
    """
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which)
        if len(points) < 4:
            raise NotRun(f"a correlation with bounds needs four perturbations; {len(points)} of use were run")
        line = fit_line(points["effective_std"], points["mean"])
        if np.isnan(line.r):
            raise NotRun("sizes or accuracies of all perturbations are equal")
        with np.errstate(divide="ignore"):
            half = 1.6449 / np.sqrt(len(points) - 3)  # 95 % quantile of the normal law
            low, high = np.tanh(np.arctanh(line.r) + np.array([-half, half]))
        name = f"k = {points['k'].iloc[0]:,}: r over perturbations"
        found.append(OverPoints(name, line.r, len(points), line.p, note, (low, high)))
    return found


def mixes_off_the_line(tables: Tables, *, ks: tuple[Which, ...]) -> list[OverPoints]:
    """How much farther from the line of Figure 8 the mixes of signs and magnitudes lie than the rest.

    The rank-biserial correlation: 1 if every mix has a larger residual in modulus than every other
    perturbation, 0 if they are alike. p is exact, over all choices of as many perturbations.
    """
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which)
        missing = set(MIXES) - set(points["perturbation"])
        if missing:
            raise NotRun(f"{', '.join(sorted(missing))} was not run")
        if len(points) <= len(MIXES):
            raise NotRun("no other perturbation was run")
        line = fit_line(points["effective_std"], points["mean"])
        residuals = (points["mean"] - line.slope * points["effective_std"] - line.intercept).abs()
        ranks = residuals.rank()
        mixes = points["perturbation"].isin(MIXES)
        centre = len(MIXES) * (len(points) + 1) / 2
        farthest = len(MIXES) * (len(points) - len(MIXES)) / 2
        shift = ranks[mixes].sum() - centre
        shifts = [sum(chosen) - centre for chosen in combinations(ranks, len(MIXES))]
        p = float(np.mean(np.abs(shifts) >= abs(shift) - 1e-9))
        places = residuals.rank(ascending=False)[mixes].sort_values()
        note = (
            f"places of the mixes by residual, 1 the largest: {', '.join(f'{at:g}' for at in places)}; {note}"
        )
        name = f"k = {points['k'].iloc[0]:,}: mixes against other perturbations"
        found.append(OverPoints(name, float(shift / farthest), len(points), p, note))
    return found


# The claims

SIGN = "short study: sign of the paired contrast"
LATE = "the largest k stands for the paper's late rewinding"

EARLY, LATE_K = (500,), (2000,)
BOTH = (*EARLY, *LATE_K)
SHORT_EARLY, SHORT_LATE = ("smallest",), ("largest",)
SHORT_BOTH = (*SHORT_EARLY, *SHORT_LATE)
ROLES = "the smallest and the largest perturbed k stand for the paper's 500 and 2,000"
AT_ROUND_6 = "at 26.2 % of weights"
READINGS = "rewinding to 0 both with its own masks and, where that was run, with the masks of k"
POSITIVE, NEGATIVE = (0, INFINITY), (-INFINITY, 0)


def no_better(names: tuple[str, ...], ks: tuple[Which, ...]) -> Criterion:
    """Full scale: at most 0.5 points above rewinding to 0."""
    return Criterion(
        partial(minus_rewinding_to_0, names=names, ks=ks),
        (-INFINITY, 0.5),
        f"{AT_ROUND_6}: one-sided, the gain over rewinding to 0 is below 0.5 points; {READINGS}; the worst "
        "contrast is shown",
    )


def loses_most(names: tuple[str, ...], ks: tuple[Which, ...]) -> Criterion:
    """Short study: less than half of the gain of rewinding to k is left."""
    return Criterion(
        partial(minus_rewinding_to_0, names=names, ks=ks, halfway=True),
        NEGATIVE,
        f"{SIGN} {AT_ROUND_6}: below the middle between rewinding to 0 and to k, so less than half of the "
        f"gain of rewinding is kept; {READINGS}; the worst contrast is shown; {ROLES}",
    )


def keeps_most(names: tuple[str, ...], ks: tuple[Which, ...], also: Criterion, prefix: str = "") -> Criterion:
    """More than half of the gain of rewinding to k is left, whatever the scale."""
    return Criterion(
        partial(minus_rewinding_to_0, names=names, ks=ks, halfway=True),
        POSITIVE,
        f"{prefix}{AT_ROUND_6}: above the middle between rewinding to 0 and to k, so more than half of the "
        f"gain of rewinding is kept; {READINGS}; the worst contrast is shown",
        also,
    )


def gain(
    measure: Callable[..., DataFrame],
    limit: float,
    rule: str,
    *,
    short: bool,
    also: Criterion | None = None,
    **options,
) -> Criterion:
    """The contrast of `measure` lies above `limit` points."""
    where = f"{SIGN} {AT_ROUND_6}" if short else f"{AT_ROUND_6}, the paired contrast"
    roles = f"; {ROLES}" if short else ""
    return Criterion(partial(measure, **options), (limit, INFINITY), f"{where}: {rule}{roles}", also)


CLAIMS = (
    Claim(
        "R1",
        "A ticket rewound to any k >= 500 matches the dense network at 16.8 % of weights",
        "no visible gap at 16.8 % (from the paper)",
        ("imp", "dense"),
        Criterion(
            partial(dense_minus_ticket, from_k=500),
            (-0.5, 0.5),
            "equivalence (TOST): the gap of every k >= 500 lies within ±0.5 points; the worst k is shown",
        ),
        Criterion(
            partial(dense_minus_ticket, from_k=None),
            (-INFINITY, 0.5),
            f"short study: one-sided non-inferiority, the gap is below 0.5 points; {LATE}",
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
            partial(rank_correlation_with_k, up_to=2000),
            (0, INFINITY),
            "rank correlation of accuracy with k in each seed: its mean is positive",
        ),
        Criterion(
            partial(rank_correlation_with_k, up_to=INFINITY),
            (0, INFINITY),
            f"{SIGN}: rank correlation of accuracy with k in each seed, its mean is positive",
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
    Claim(
        "P1",
        "k = 500: the signs of k with magnitudes of 0, or fresh ones, are no better than rewinding to 0",
        "as rewinding to 0, at effective std 0.042 (recollected)",
        ("perturbed", "imp"),
        Criterion(
            partial(minus_rewinding_to_0, names=SIGNS_K, ks=EARLY),
            (-0.5, 0.5),
            f"{AT_ROUND_6}: equivalence (TOST), both lie within ±0.5 points of rewinding to 0; {READINGS}; "
            "the worst contrast is shown",
        ),
        loses_most(SIGNS_K, SHORT_EARLY),
    ),
    Claim(
        "P2",
        "k = 500: the magnitudes of k with the signs of 0 are clearly better than rewinding to 0",
        "clearly above rewinding to 0, at effective std 0.033 (recollected)",
        ("perturbed", "imp"),
        gain(
            minus_rewinding_to_0,
            0.3,
            f"above 0.3 points; {READINGS}",
            short=False,
            names=(SIGNS_0,),
            ks=EARLY,
        ),
        gain(minus_rewinding_to_0, 0, f"positive; {READINGS}", short=True, names=(SIGNS_0,), ks=SHORT_EARLY),
    ),
    Claim(
        "P3",
        "k = 2,000: signs of k with magnitudes of 0 are now about as good as the reverse; both below k",
        "about equal at k = 2,000 (recollected)",
        ("perturbed", "imp"),
        Criterion(
            partial(one_minus_other, one=SIGNS_0, other=SIGNS_K[0], ks=LATE_K),
            (-0.5, 0.5),
            f"{AT_ROUND_6}: equivalence (TOST) of the two within ±0.5 points, and each below rewinding to k",
            Criterion(
                partial(minus_rewinding_to_k, names=(SIGNS_K[0], SIGNS_0), ks=LATE_K),
                NEGATIVE,
                f"{AT_ROUND_6}: each is below rewinding to k (and the two are equivalent)",
            ),
        ),
        Criterion(
            partial(growth, one=SIGNS_K[0], other=SIGNS_0, early=SHORT_EARLY[0], late=SHORT_LATE[0]),
            POSITIVE,
            f'{SIGN} {AT_ROUND_6}: signs of k catch up between the two k (no tolerance for "as good" is '
            f"known here), and each is below rewinding to k; {ROLES}",
            Criterion(
                partial(minus_rewinding_to_k, names=(SIGNS_K[0], SIGNS_0), ks=SHORT_LATE),
                NEGATIVE,
                f"{SIGN} {AT_ROUND_6}: each is below rewinding to k (and signs of k catch up); {ROLES}",
            ),
        ),
    ),
    Claim(
        "P4",
        "Signs alone are not enough in deeper networks, unlike in those of Zhou et al. 2019",
        "signs of k no better than rewinding to 0 at k = 500 (from the paper; no number)",
        ("perturbed", "imp"),
        no_better(SIGNS_K, EARLY),
        loses_most(SIGNS_K, SHORT_EARLY),
    ),
    Claim(
        "P5",
        "Shuffling kept weights globally or within layers is no better than rewinding to 0, at both k",
        "as rewinding to 0, at effective std 0.144 and 0.143 (recollected)",
        ("perturbed", "imp"),
        no_better(SHUFFLES[:2], BOTH),
        loses_most(SHUFFLES[:2], SHORT_BOTH),
    ),
    Claim(
        "P6",
        "Shuffling within filters, taken as 2-D slices, is better than within layers (and a smaller change)",
        "slightly better, at effective std 0.092 against 0.143 (recollected)",
        ("perturbed",),
        *(
            gain(
                one_minus_other,
                0,
                "positive at both k",
                short=short,
                one=FILTERS,
                other="shuffle_layers",
                ks=ks,
            )
            for short, ks in ((False, BOTH), (True, SHORT_BOTH))
        ),
    ),
    Claim(
        "P7",
        "Shuffling within filters, taken as 2-D slices, only among weights of one sign helps a lot",
        "well above the plain shuffle, at effective std 0.049 against 0.092 (recollected)",
        ("perturbed",),
        *(
            gain(
                one_minus_other,
                limit,
                f"above {limit} points at both k",
                short=short,
                one=f"{FILTERS}_signs_k",
                other=FILTERS,
                ks=ks,
            )
            for short, limit, ks in ((False, 0.5, BOTH), (True, 0, SHORT_BOTH))
        ),
    ),
    Claim(
        "P8",
        "Keeping signs in a shuffle within layers helps more at k = 2,000 than at k = 500",
        "slightly at 500, substantially at 2,000 (recollected)",
        ("perturbed",),
        *(
            gain(
                growth,
                0,
                "the gain from keeping signs is larger at the late k than at the early one",
                short=short,
                one="shuffle_layers_signs_k",
                other="shuffle_layers",
                early=early,
                late=late,
            )
            for short, (early, late) in ((False, BOTH), (True, SHORT_BOTH))
        ),
    ),
    Claim(
        "P9",
        "Magnitudes shuffled within layers under the signs of 0 are no better than rewinding to 0",
        "no better than noise, at effective std 0.087 (recollected)",
        ("perturbed", "imp"),
        no_better((LAYERS_SIGNS_0,), BOTH),
        loses_most((LAYERS_SIGNS_0,), SHORT_BOTH),
    ),
    Claim(
        "P10",
        "k = 500 tolerates Gaussian noise of 0.5 and 1 sigma; 2 and 3 sigma throw it back to rewinding to 0",
        "tolerates 0.5 to 1 sigma (recollected)",
        ("perturbed", "imp"),
        keeps_most(NOISE[:2], EARLY, no_better(NOISE[2:], EARLY)),
        keeps_most(NOISE[:2], SHORT_EARLY, loses_most(NOISE[2:], SHORT_EARLY), "short study: "),
    ),
    Claim(
        "P11",
        "k = 2,000 is robust to Gaussian noise of 1 sigma, and with 2 sigma still beats rewinding to 0",
        "1 and 2 sigma (recollected)",
        ("perturbed", "imp"),
        *(
            keeps_most(
                NOISE[1:2],
                ks,
                gain(minus_rewinding_to_0, 0, f"2 sigma; {READINGS}", short=short, names=NOISE[2:3], ks=ks),
                prefix,
            )
            for short, ks, prefix in ((False, LATE_K, ""), (True, SHORT_LATE, "short study: "))
        ),
    ),
    Claim(
        "P12",
        "The effective standard deviation of a perturbation explains its accuracy fairly well",
        "Pearson r = -0.67 (p = 0.008) at k = 500, -0.73 (p = 0.003) at 2,000, 14 points (recollected)",
        ("perturbed",),
        Criterion(
            partial(correlation_with_size, ks=BOTH),
            (-0.9, -0.45),
            f"{AT_ROUND_6}, over perturbations: r lies in [-0.9, -0.45] with p < 0.05; the worst k is shown",
        ),
        Criterion(
            partial(correlation_with_size, ks=SHORT_BOTH),
            (-1, 0),
            f"short study: sign of r {AT_ROUND_6}, over perturbations, with p < 0.05; the worst k is shown; "
            f"{ROLES}",
        ),
        unit="(Pearson r)",
    ),
    Claim(
        "P13",
        "Mixes of signs and magnitudes fit that line worst: similar sizes, very different accuracies",
        "largest residuals (recollected)",
        ("perturbed",),
        Criterion(
            partial(mixes_off_the_line, ks=BOTH),
            (0, 1),
            f"{AT_ROUND_6}, over perturbations: ranks of the residuals in modulus, exact p < 0.05; the worst "
            "k is shown",
        ),
        Criterion(
            partial(mixes_off_the_line, ks=SHORT_BOTH),
            (0, 1),
            f"short study: the same as in a full one, {AT_ROUND_6}: ranks of the residuals in modulus, exact "
            f"p < 0.05; the worst k is shown; {ROLES}",
        ),
        unit="(rank-biserial correlation)",
    ),
    Claim(
        "P14",
        "Weights after a few hundred iterations are far from independent: shuffling them loses what k gains",
        "shuffles no better than rewinding to 0 (from the paper; no number)",
        ("perturbed", "imp"),
        no_better(SHUFFLES[:2], BOTH),
        loses_most(SHUFFLES[:2], SHORT_BOTH),
    ),
)


# Judging


def judge(tables: Tables, study: dict) -> DataFrame:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: `full_scale`, whether network, data and length are the paper's; `sources`, optional,
            table name -> the file it came from, with {dataset} and {model} in it.

    Returns:
        A row per claim and network, of text but for `n`: `id`, `dataset`, `model`, `statement`,
        `paper`, `ours` with its unit, `error` (± sample standard deviation over seeds; over points the
        one-sided 95 % bounds), `n` (seeds used; over points their number), `test`, `verdict`, `source`.

    Source: the paper's Figure 1 and text; equivalence by two one-sided tests, Schuirmann 1987.
    """
    sources = study.get("sources", {})
    rows = []
    for claim in CLAIMS:
        criterion = claim.full if study["full_scale"] else claim.short
        for dataset, model in networks(tables):
            files = [sources.get(name, name) for name in claim.tables]
            source = ", ".join(files).format(dataset=dataset, model=model)
            ours = assess(of_network(tables, dataset, model), criterion, claim.unit)
            name = {"id": claim.id, "dataset": dataset, "model": model}
            rows.append(
                {**name, "statement": claim.statement, "paper": claim.paper, **ours, "source": source}
            )
    return DataFrame(rows)


def networks(tables: Tables) -> list[tuple[str, str]]:
    """Data set and model of each network in `tables`; one nameless network if there is none."""
    named = [table[NETWORK] for table in tables.values() if len(table)]
    found = concat(named).drop_duplicates().sort_values(NETWORK) if named else DataFrame(columns=NETWORK)
    return list(found.itertuples(index=False, name=None)) or [("", "")]


def of_network(tables: Tables, dataset: str, model: str) -> Tables:
    """The rows of one network."""
    return {
        name: table[(table["dataset"] == dataset) & (table["model"] == model)]
        for name, table in tables.items()
    }


def assess(tables: Tables, criterion: Criterion, unit: str) -> dict:
    """Judge one claim in one network: `ours`, `error`, `n`, `test`, `verdict`."""
    try:
        contrasts = criterion.measure(tables)
    except NotRun as missing:
        test = f"{criterion.rule}: {missing}"
        return {"ours": "", "error": "", "n": 0, "test": test, "verdict": NOT_RUN}
    if isinstance(contrasts, list):
        assessed = [assess_points(found, criterion, unit) for found in contrasts]
    else:
        assessed = [assess_contrast(contrasts[label], criterion, unit) for label in contrasts]
    if criterion.also:
        assessed.append(assess(tables, criterion.also, unit))
    severity = [NOT_RUN, NOT_REPRODUCED, INCONCLUSIVE, REPRODUCED]
    return min(assessed, key=lambda row: severity.index(row["verdict"]))


def assess_contrast(contrast: Series, criterion: Criterion, unit: str) -> dict:
    """Judge one contrast, a value per seed in `unit`, NaN where a run diverged or is missing."""
    values = contrast.dropna()
    left_out = len(contrast) - len(values)
    row = {
        "ours": f"{values.mean():+.2f} {unit}" if len(values) else "",
        "error": f"± {values.std():.2f}" if len(values) > 1 else "",
        "n": len(values),
    }
    test, verdict = f"{criterion.rule}; {contrast.name}", INCONCLUSIVE
    if len(values) > 1:
        low, high = t_interval(values)
        test += f": one-sided 95 % bounds {low:+.2f} and {high:+.2f}"
        verdict = verdict_on(low, high, criterion.target)
    else:
        test += ": no interval from fewer than two seeds"
    if left_out:
        test += f"; {left_out} of {len(contrast)} seeds left out, a run diverged or is missing"
    return {**row, "test": test, "verdict": verdict}


def assess_points(found: OverPoints, criterion: Criterion, unit: str) -> dict:
    """Judge one statistic over points."""
    inside = criterion.target[0] <= found.value <= criterion.target[1]
    test, outside = f"{criterion.rule}; {found.name}: p = {found.p:.2g}", not inside and found.p < 0.05
    error, verdict = "", INCONCLUSIVE
    if found.bounds:
        low, high = found.bounds
        error = f"{low:+.2f} to {high:+.2f}"
        test += f", one-sided 95 % bounds {low:+.2f} and {high:+.2f}"
        outside = verdict_on(low, high, criterion.target) == NOT_REPRODUCED
    if inside and found.p < 0.05:
        verdict = REPRODUCED
    elif outside:
        verdict = NOT_REPRODUCED
    ours = f"{found.value:+.2f} {unit[:-1]}, p = {found.p:.2g})"
    return {"ours": ours, "error": error, "n": found.n, "test": f"{test}; {found.note}", "verdict": verdict}


def verdict_on(low: float, high: float, target: tuple[float, float]) -> str:
    """Whether the interval from `low` to `high` lies inside `target`, outside it or across an edge."""
    if target[0] < low and high < target[1]:
        return REPRODUCED
    if high <= target[0] or target[1] <= low:
        return NOT_REPRODUCED
    return INCONCLUSIVE
