"""Measures of perturbed tickets: the paper's Figures 4 to 8."""

from itertools import combinations
from typing import Literal

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Contrast, Correlation, Ranking
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import (
    Baseline,
    Density,
    MaybeShare,
    beside_gain,
    by_rewind_iteration,
    final_results,
    rewound_to,
    rewound_to_0,
    round_near,
    shared_round,
)
from earlyphase.results.summaries import fit_line, perturbation_means

Which = int | Literal["smallest", "largest"]  # a k, or the one of a short study in its role


def perturbed_runs(tables: Tables, which: Which, density: Density) -> DataFrame:
    """Results of the perturbed tickets of one k, in one round.

    In a short study that is the sparsest round that was perturbed at every k: how many weights a network can
    spare differs, and a perturbation is seen to do harm where there are none to spare. A single k is
    "smallest" but not "largest": it cannot play both roles.
    """
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    runs = runs[runs["k"] > 0]
    if runs.empty:
        raise NotRun("no k above 0 was perturbed")
    imp_round = sparsest_of_all(runs) if density == "sparsest" else round_near(runs, density)
    runs = runs[runs["round"] == imp_round]
    ks = sorted(runs["k"].unique())
    if which == "largest" and len(ks) == 1:
        raise NotRun(
            f"k = {ks[0]:,} alone was perturbed; it stands for the paper's early k, none for its late one"
        )
    k = {"smallest": ks[0], "largest": ks[-1]}.get(which, which)
    if k not in ks:
        raise NotRun(f"k = {k:,} was not perturbed")
    return runs[runs["k"] == k]


def sparsest_of_all(runs: DataFrame) -> int:
    """The sparsest round that was perturbed at every k."""
    return shared_round(runs, ["k"], "no round was perturbed at every k")


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
    return rewound_to(by_rewind_iteration(tables, runs["round"].iloc[0]), runs["k"].iloc[0])


@measure(reads=("perturbed", "imp"))
def perturbed_minus_rewinding_to_0(
    tables: Tables,
    *,
    perturbations: list[str],
    ks: list[Which],
    baseline: Baseline,
    density: Density = "sparsest",
    kept: MaybeShare = None,
    lost: MaybeShare = None,
) -> list[Contrast]:
    """Accuracy gained by each perturbation over rewinding to 0, at every k; see `beside_gain`."""
    found = []
    for which in ks:
        runs = perturbed_runs(tables, which, density)
        early = rewound_to_0(tables, runs["k"].iloc[0], runs["round"].iloc[0], baseline)
        gain = rewound_to_k(tables, runs) - early
        for name, accuracy in zip(perturbations, by_perturbation(runs, *perturbations), strict=True):
            label = f"{place_of(runs)}: {name} minus rewinding to 0 ({baseline})"
            found.append(beside_gain(accuracy - early, label, gain, kept, lost, "rewinding's gain"))
    return found


@measure(reads=("perturbed", "imp"))
def perturbed_minus_rewinding_to_k(
    tables: Tables, *, perturbations: list[str], ks: list[Which], density: Density = "sparsest"
) -> DataFrame:
    """Accuracy gained by each perturbation over the unperturbed ticket, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which, density)
        for name, accuracy in zip(perturbations, by_perturbation(runs, *perturbations), strict=True):
            gained[f"{place_of(runs)}: {name} minus rewinding to k"] = accuracy - rewound_to_k(tables, runs)
    return DataFrame(gained)


@measure(reads=("perturbed",))
def perturbed_minus_perturbed(
    tables: Tables, *, one: str, other: str, ks: list[Which], density: Density = "sparsest"
) -> DataFrame:
    """Accuracy gained by the perturbation `one` over `other`, at every k."""
    gained = {}
    for which in ks:
        runs = perturbed_runs(tables, which, density)
        accuracy, baseline = by_perturbation(runs, one, other)
        gained[f"{place_of(runs)}: {one} minus {other}"] = accuracy - baseline
    return DataFrame(gained)


@measure(reads=("perturbed",))
def growth_of_contrast(
    tables: Tables, *, one: str, other: str, early: Which, late: Which, density: Density = "sparsest"
) -> DataFrame:
    """How much more the perturbation `one` gains over `other` at the late k than at the early one."""
    gained = perturbed_minus_perturbed(tables, one=one, other=other, ks=[early, late], density=density)
    (_, before), (label, after) = gained.items()
    return DataFrame({f"{label}, minus the same at the early k": after - before})


def figure_8_points(
    tables: Tables, which: Which, density: Density, perturbations: list[str]
) -> tuple[DataFrame, str]:
    """Points of Figure 8 at one k, `effective_std` and `mean` accuracy, and a note on them."""
    runs = perturbed_runs(tables, which, density)
    runs = runs[runs["perturbation"].isin(perturbations)]
    if runs.empty:
        raise NotRun("none of the perturbations of Figure 8 was run")
    points = perturbation_means(runs, ["k", "perturbation"])
    diverged = points["diverged"].sum()
    points = points[points["n"] > 0].reset_index(drop=True)
    note = f"n counts perturbations (the paper has {len(perturbations)}), each a mean over seeds"
    if diverged:
        note += f"; left out: {diverged} diverged run{'s' if diverged > 1 else ''}"
    return points, note


def one_per_draw(points: DataFrame, columns: list[str], one_draw: list[str]) -> DataFrame:
    """Points that are independent draws: the perturbations in `one_draw` become their mean.

    These are the levels of noise, which scale one draw. Shuffles share the random keys by which they sort,
    but move different weights, and count each.
    """
    draws = points["perturbation"].where(~points["perturbation"].isin(one_draw), "noise")
    return points.groupby(draws, sort=False)[columns].mean()


@measure(reads=("perturbed",))
def correlation_with_size(
    tables: Tables,
    *,
    perturbations: list[str],
    one_draw: list[str],
    ks: list[Which],
    density: Density = "sparsest",
) -> list[Correlation]:
    """Pearson's r between effective standard deviation and accuracy, at every k."""
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which, density, perturbations)
        draws = one_per_draw(points, ["effective_std", "mean"], one_draw)
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


@measure(reads=("perturbed",))
def residuals_of_mixes(
    tables: Tables,
    *,
    mixes: list[str],
    perturbations: list[str],
    one_draw: list[str],
    ks: list[Which],
    density: Density = "sparsest",
) -> list[Ranking]:
    """How much farther from the line of Figure 8 the mixes of signs and magnitudes lie than the rest.

    The rank-biserial correlation: 1 if every mix has a larger residual in modulus than every other
    perturbation, 0 if they are alike. p is exact, over all choices of as many independent draws.
    """
    found = []
    for which in ks:
        points, note = figure_8_points(tables, which, density, perturbations)
        missing = set(mixes) - set(points["perturbation"])
        if missing:
            raise NotRun(f"{', '.join(sorted(missing))} was not run")
        residuals = residuals_by_draw(points, one_draw)
        if len(residuals) <= len(mixes):
            raise NotRun("no other perturbation was run")
        value, p = rank_biserial(residuals, mixes)
        places = residuals.rank(ascending=False)[mixes].sort_values()
        places = f"places of the mixes by residual, 1 the largest: {', '.join(f'{at:g}' for at in places)}"
        name = f"k = {points['k'].iloc[0]:,}: mixes against other perturbations"
        note = f"{places}; {len(residuals)} independent draws; {note}"
        found.append(Ranking(name, value, len(points), p, note))
    return found


def residuals_by_draw(points: DataFrame, one_draw: list[str]) -> Series:
    """Distance of each independent draw from the line through all `points`, in accuracy."""
    line = fit_line(points["effective_std"], points["mean"])
    off = (points["mean"] - line.slope * points["effective_std"] - line.intercept).abs()
    return one_per_draw(points.assign(off=off), ["off"], one_draw)["off"]


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
