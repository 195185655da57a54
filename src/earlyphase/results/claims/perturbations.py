"""Claims on perturbed tickets, P1 to P14: the paper's Figures 4 to 8."""

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS, Contrast, Correlation, Ranking
from earlyphase.results.claims.judging import MARGIN, SIGN, Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import by_rewind_iteration, final_results, rewound_to, round_like
from earlyphase.results.summaries import fit_line, perturbation_means

# Perturbations by their names in config.yaml.
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
READINGS = ("own masks", "masks of k")  # of "rewinding to 0"

# Measures of perturbed tickets

Which = int | str  # a k, or "smallest" or "largest": the k of a short study in the role of 500 or 2,000


def perturbed_runs(tables: Tables, which: Which) -> DataFrame:
    """Results of the perturbed tickets of one k, in one round.

    For a k of the paper, that is its round 6, 26.2 % of weights, for which it has numbers. Where a k plays
    one's role, it is the sparsest round that was perturbed at every k: how many weights a network can spare
    differs, and a perturbation is seen to do harm where there are none to spare. A single k is "smallest"
    but not "largest": it cannot play both roles.
    """
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    runs = runs[runs["k"] > 0]
    if runs.empty:
        raise NotRun("no k above 0 was perturbed")
    imp_round = sparsest_of_all(runs) if isinstance(which, str) else round_like(runs, 6)
    runs = runs[runs["round"] == imp_round]
    ks = sorted(runs["k"].unique())
    if which == "largest" and len(ks) == 1:
        raise NotRun(f"k = {ks[0]:,} alone was perturbed; it stands for the paper's 500, none for 2,000")
    k = {"smallest": ks[0], "largest": ks[-1]}.get(which, which)
    if k not in ks:
        raise NotRun(f"k = {k:,} was not perturbed")
    return runs[runs["k"] == k]


def sparsest_of_all(runs: DataFrame) -> int:
    """The sparsest round that was perturbed at every k."""
    perturbed = [set(of_k["round"]) for _, of_k in runs.groupby("k")]
    if not (shared := set.intersection(*perturbed)):
        raise NotRun("no round was perturbed at every k")
    return max(shared)


def place_of(runs: DataFrame) -> str:
    """The k and density of `runs`, in words."""
    return f"k = {runs['k'].iloc[0]:,} at {runs['density'].mean():.1%}"


def by_perturbation(runs: DataFrame, *names: str) -> list[Series]:
    """Accuracy by seed in points of each perturbation in `names`; `runs` are of one k and round."""
    accuracy = POINTS * runs.pivot(index="seed", columns="perturbation", values="accuracy")
    for name in names:
        if name not in accuracy:
            raise NotRun(f"{name} was not run for k = {runs['k'].iloc[0]:,}")
    return [accuracy[name] for name in names]


def rewound_to_k(tables: Tables, runs: DataFrame) -> Series:
    """Accuracy by seed in points of the unperturbed tickets of the k and round of `runs`."""
    imp = by_rewind_iteration(final_results(tables, "imp", ["seed", "k", "round"]), runs["round"].iloc[0])
    return rewound_to(imp, runs["k"].iloc[0])


def rewound_to_0(tables: Tables, runs: DataFrame, reading: str) -> Series:
    """Accuracy by seed in points of rewinding to 0, at the round of `runs`.

    Args:
        reading: "own masks", the tickets of k = 0, or "masks of k", iteration 0 under the masks of k. The
            paper may mean either.
    """
    if reading == "masks of k":
        (accuracy,) = by_perturbation(runs, REWIND_TO_0)
        return accuracy
    imp = by_rewind_iteration(final_results(tables, "imp", ["seed", "k", "round"]), runs["round"].iloc[0])
    return rewound_to(imp, 0)


def over_rewinding_to_0(
    tables: Tables, *, reading: str, names: tuple[str, ...], ks: tuple[Which, ...], kept: float | None = None
) -> list[Contrast]:
    """Accuracy gained by each perturbation in `names` over rewinding to 0, at every k.

    Args:
        reading: of rewinding to 0, see `rewound_to_0`.
        kept: share of what rewinding to k gains over rewinding to 0; so much is subtracted, within seeds,
            so that the contrast is above 0 if more of it is kept. None subtracts nothing.

    Returns:
        Contrasts that have no test where rewinding itself surely gains nothing.
    """
    found = []
    for which in ks:
        runs = perturbed_runs(tables, which)
        baseline = rewound_to_0(tables, runs, reading)
        gain = rewound_to_k(tables, runs) - baseline
        for name, accuracy in zip(names, by_perturbation(runs, *names), strict=True):
            label = f"{place_of(runs)}: {name} minus rewinding to 0 ({reading})"
            difference = accuracy - baseline
            if kept is not None:
                difference, label = difference - kept * gain, f"{label} minus {kept} of rewinding's gain"
            found.append(Contrast(difference.rename(label), gain))
    return found


def minus_rewinding_to_k(tables: Tables, *, names: tuple[str, ...], ks: tuple[Which, ...]) -> DataFrame:
    """Accuracy gained by each perturbation in `names` over the unperturbed ticket, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which)
        for name, accuracy in zip(names, by_perturbation(runs, *names), strict=True):
            label = f"{place_of(runs)}: {name} minus rewinding to k"
            gained[label] = accuracy - rewound_to_k(tables, runs)
    return DataFrame(gained)


def one_minus_other(tables: Tables, *, one: str, other: str, ks: tuple[Which, ...]) -> DataFrame:
    """Accuracy gained by the perturbation `one` over `other`, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which)
        accuracy, baseline = by_perturbation(runs, one, other)
        gained[f"{place_of(runs)}: {one} minus {other}"] = accuracy - baseline
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


def one_per_draw(points: DataFrame, columns: list[str]) -> DataFrame:
    """Points that are independent draws: the levels of noise, which scale one draw, become their mean.

    Shuffles share the random keys by which they sort, but move different weights, and count each.
    """
    draws = points["perturbation"].where(~points["perturbation"].isin(NOISE), "noise")
    return points.groupby(draws, sort=False)[columns].mean()


def correlation_with_size(tables: Tables, *, ks: tuple[Which, ...]) -> list[Correlation]:
    """Pearson's r between effective standard deviation and accuracy, at every k."""
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which)
        draws = one_per_draw(points, ["effective_std", "mean"])
        if len(draws) < 4:
            raise NotRun(
                f"a correlation with bounds needs four independent draws; {len(draws)} of use were run"
            )
        line, honest = (fit_line(table["effective_std"], table["mean"]) for table in (points, draws))
        if np.isnan([line.r, honest.r]).any():
            raise NotRun("sizes or accuracies of all perturbations are equal")
        name = f"k = {points['k'].iloc[0]:,}"
        found.append(Correlation(name, line.r, len(points), line.p, len(draws), honest.r, honest.p, note))
    return found


def mixes_off_the_line(tables: Tables, *, ks: tuple[Which, ...]) -> list[Ranking]:
    """How much farther from the line of Figure 8 the mixes of signs and magnitudes lie than the rest.

    The rank-biserial correlation: 1 if every mix has a larger residual in modulus than every other
    perturbation, 0 if they are alike. p is exact, over all choices of as many independent draws.
    """
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which)
        missing = set(MIXES) - set(points["perturbation"])
        if missing:
            raise NotRun(f"{', '.join(sorted(missing))} was not run")
        residuals = residuals_by_draw(points)
        if len(residuals) <= len(MIXES):
            raise NotRun("no other perturbation was run")
        value, p = rank_biserial(residuals, list(MIXES))
        places = residuals.rank(ascending=False)[list(MIXES)].sort_values()
        places = f"places of the mixes by residual, 1 the largest: {', '.join(f'{at:g}' for at in places)}"
        name = f"k = {points['k'].iloc[0]:,}: mixes against other perturbations"
        note = f"{places}; {len(residuals)} independent draws; {note}"
        found.append(Ranking(name, value, len(points), p, note))
    return found


def residuals_by_draw(points: DataFrame) -> Series:
    """Distance of each independent draw from the line through all `points`, in accuracy."""
    line = fit_line(points["effective_std"], points["mean"])
    off = (points["mean"] - line.slope * points["effective_std"] - line.intercept).abs()
    return one_per_draw(points.assign(off=off), ["off"])["off"]


def rank_biserial(values: Series, chosen: list[str]) -> tuple[float, float]:
    """Compare the `chosen` entries of `values` with the others.

    Returns:
        1 if each is larger than every other, -1 if smaller; and its exact two-sided p, over all choices of
        as many entries.
    """
    ranks, size = values.rank(), len(chosen)
    centre, farthest = size * (len(values) + 1) / 2, size * (len(values) - size) / 2
    shift = ranks[chosen].sum() - centre
    some = np.array(list(combinations(range(len(values)), size)))
    shifts = ranks.to_numpy()[some].sum(axis=1) - centre
    return float(shift / farthest), float(np.mean(np.abs(shifts) >= abs(shift) - 1e-9))


# The claims

EARLY, LATE_K = (500,), (2000,)
BOTH = (*EARLY, *LATE_K)
SHORT_EARLY, SHORT_LATE = ("smallest",), ("largest",)
SHORT_BOTH = (*SHORT_EARLY, *SHORT_LATE)
ROLES = "the smallest and the largest perturbed k stand for the paper's 500 and 2,000"
AT_ROUND_6 = "at 26.2 % of weights"
SPARSEST = "at the sparsest density at which every k was perturbed"
SHARE = f"{100 * MARGIN:.0f} % of what rewinding to k gains over rewinding to 0"
POSITIVE, NEGATIVE = (0, INFINITY), (-INFINITY, 0)
KS = {False: (EARLY, LATE_K, BOTH), True: (SHORT_EARLY, SHORT_LATE, SHORT_BOTH)}  # by `short`


def no_better(names: tuple[str, ...], ks: tuple[Which, ...], *, short: bool) -> Criterion:
    """No better than rewinding to 0: by less than 0.5 points, in a short study by less than `MARGIN`."""
    if short:
        return Criterion(
            partial(over_rewinding_to_0, names=names, ks=ks, kept=MARGIN),
            NEGATIVE,
            f"short study: non-superiority {SPARSEST}, less than {SHARE} is kept; {ROLES}",
        )
    return Criterion(
        partial(over_rewinding_to_0, names=names, ks=ks),
        (-INFINITY, 0.5),
        f"{AT_ROUND_6}: non-superiority, the gain over rewinding to 0 is below 0.5 points",
    )


def better(names: tuple[str, ...], ks: tuple[Which, ...], *, short: bool, limit: float) -> Criterion:
    """Better than rewinding to 0: by more than `limit` points, in a short study by more than `MARGIN`."""
    if short:
        return Criterion(
            partial(over_rewinding_to_0, names=names, ks=ks, kept=MARGIN),
            POSITIVE,
            f"short study: {SPARSEST}, {', '.join(names)} keeps more than {SHARE}; {ROLES}",
        )
    return Criterion(
        partial(over_rewinding_to_0, names=names, ks=ks),
        (limit, INFINITY),
        f"{AT_ROUND_6}: the gain of {', '.join(names)} over rewinding to 0 exceeds {limit} points",
    )


def as_good_as_k(names: tuple[str, ...], ks: tuple[Which, ...], also: Criterion, *, short: bool) -> Criterion:
    """As good as rewinding to k: loses less than `MARGIN` of its gain, at any scale."""
    rule = f"non-inferiority {SPARSEST if short else AT_ROUND_6}, less than {SHARE} is lost"
    return Criterion(
        partial(over_rewinding_to_0, names=names, ks=ks, kept=1 - MARGIN),
        POSITIVE,
        f"short study: {rule}; {ROLES}" if short else rule,
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
    where = f"{SIGN} {SPARSEST}" if short else f"{AT_ROUND_6}, the paired contrast"
    roles = f"; {ROLES}" if short else ""
    return Criterion(partial(measure, **options), (limit, INFINITY), f"{where}: {rule}{roles}", also)


SIGNS_NO_BETTER = no_better(SIGNS_K, SHORT_EARLY, short=True)  # of P1 and P4
SHUFFLES_NO_BETTER = tuple(no_better(SHUFFLES[:2], KS[short][2], short=short) for short in (False, True))

PERTURBATIONS = (
    Claim(
        "P1",
        "k = 500: the signs of k with magnitudes of 0, or fresh ones, are no better than rewinding to 0",
        "as rewinding to 0, at effective std 0.042 (recollected)",
        ("perturbed", "imp"),
        Criterion(
            partial(over_rewinding_to_0, names=SIGNS_K, ks=EARLY),
            (-0.5, 0.5),
            f"{AT_ROUND_6}: equivalence (TOST), both lie within ±0.5 points of rewinding to 0",
        ),
        SIGNS_NO_BETTER,
        readings=READINGS,
    ),
    Claim(
        "P2",
        "k = 500: the magnitudes of k with the signs of 0 are clearly better than rewinding to 0",
        "clearly above rewinding to 0, at effective std 0.033 (recollected)",
        ("perturbed", "imp"),
        better((SIGNS_0,), EARLY, short=False, limit=0.3),
        better((SIGNS_0,), SHORT_EARLY, short=True, limit=0.3),
        readings=READINGS,
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
            f'{SIGN} {SPARSEST}: signs of k catch up between the two k (no tolerance for "as good" is '
            f"known here), and each is below rewinding to k; {ROLES}",
            Criterion(
                partial(minus_rewinding_to_k, names=(SIGNS_K[0], SIGNS_0), ks=SHORT_LATE),
                NEGATIVE,
                f"{SIGN} {SPARSEST}: each is below rewinding to k (and signs of k catch up); {ROLES}",
            ),
        ),
    ),
    Claim(
        "P4",
        "Signs alone are not enough in deeper networks, unlike in those of Zhou et al. 2019",
        "signs of k no better than rewinding to 0 at k = 500 (from the paper; no number)",
        ("perturbed", "imp"),
        no_better(SIGNS_K, EARLY, short=False),
        SIGNS_NO_BETTER,
        readings=READINGS,
    ),
    Claim(
        "P5",
        "Shuffling kept weights globally or within layers is no better than rewinding to 0, at both k",
        "as rewinding to 0, at effective std 0.144 and 0.143 (recollected)",
        ("perturbed", "imp"),
        *SHUFFLES_NO_BETTER,
        readings=READINGS,
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
        *(no_better((LAYERS_SIGNS_0,), KS[short][2], short=short) for short in (False, True)),
        readings=READINGS,
    ),
    Claim(
        "P10",
        "k = 500 tolerates Gaussian noise of 0.5 and 1 sigma; 2 and 3 sigma throw it back to rewinding to 0",
        "tolerates 0.5 to 1 sigma (recollected)",
        ("perturbed", "imp"),
        *(
            as_good_as_k(
                NOISE[:2], KS[short][0], no_better(NOISE[2:], KS[short][0], short=short), short=short
            )
            for short in (False, True)
        ),
        readings=READINGS,
    ),
    Claim(
        "P11",
        "k = 2,000 is robust to Gaussian noise of 1 sigma, and with 2 sigma still beats rewinding to 0",
        "1 and 2 sigma (recollected)",
        ("perturbed", "imp"),
        *(
            as_good_as_k(
                NOISE[1:2], KS[short][1], better(NOISE[2:3], KS[short][1], short=short, limit=0), short=short
            )
            for short in (False, True)
        ),
        readings=READINGS,
    ),
    Claim(
        "P12",
        "The effective standard deviation of a perturbation explains its accuracy fairly well",
        "Pearson r = -0.67 (p = 0.008) at k = 500, -0.73 (p = 0.003) at 2,000, 14 points (recollected)",
        ("perturbed",),
        Criterion(
            partial(correlation_with_size, ks=BOTH),
            (-0.9, -0.45),
            f"{AT_ROUND_6}, over perturbations: r lies in [-0.9, -0.45] with p < 0.05 over independent draws",
        ),
        Criterion(
            partial(correlation_with_size, ks=SHORT_BOTH),
            (-1, 0),
            f"short study: sign of r {SPARSEST}, over perturbations, with p < 0.05 over independent draws; "
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
            f"{AT_ROUND_6}, over perturbations: ranks of the residuals in modulus, exact p < 0.05",
        ),
        Criterion(
            partial(mixes_off_the_line, ks=SHORT_BOTH),
            (0, 1),
            f"short study: the same as in a full one, {SPARSEST}: ranks of the residuals in modulus, exact "
            f"p < 0.05; {ROLES}",
        ),
        unit="(rank-biserial correlation)",
    ),
    Claim(
        "P14",
        "Weights after a few hundred iterations are far from independent: shuffling them loses what k gains",
        "shuffles no better than rewinding to 0 (from the paper; no number)",
        ("perturbed", "imp"),
        *SHUFFLES_NO_BETTER,
        readings=READINGS,
    ),
)
