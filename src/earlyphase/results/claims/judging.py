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

from pandas import DataFrame, Series

from earlyphase.results.summaries import t_interval

Tables = dict[str, DataFrame]
POINTS = 100  # percentage points in an accuracy of 1
INFINITY = float("inf")
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run at this scale"
SIGN = "short study: sign of the paired contrast"


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
        unit: of the contrast, where it is not the claim's.
    """

    measure: Callable[[Tables], "DataFrame | list[OverPoints]"]
    target: tuple[float, float]
    rule: str
    also: "Criterion | None" = None
    unit: str | None = None


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


def assess(tables: Tables, criterion: Criterion, unit: str) -> dict:
    """Judge one claim in one network: `ours`, `error`, `n`, `test`, `verdict`."""
    own = criterion.unit or unit
    try:
        contrasts = criterion.measure(tables)
    except NotRun as missing:
        test = f"{criterion.rule}: {missing}"
        return {"ours": "", "error": "", "n": 0, "test": test, "verdict": NOT_RUN}
    if isinstance(contrasts, list):
        assessed = [assess_points(found, criterion, own) for found in contrasts]
    else:
        assessed = [assess_contrast(contrasts[label], criterion, own) for label in contrasts]
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
