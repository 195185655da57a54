"""Quantities to verdicts on claims.

A claim is data, see `claims.yaml`: what the paper says, which quantities measure it and where they must lie.
Nearly every claim is judged on differences *within* seeds (same initial weights, same data order), by
one-sided t tests at 5 % against the edges of a target. The kinds of quantities and their tests are in
`evidence`.

* `reproduced`: *every* quantity lies inside its target. A claim that holds only if all its parts hold
  needs no correction for their number (an intersection-union test: it errs in at most 5 %).
* `not reproduced`: *some* quantity lies outside its target. The more there are, the likelier one of them
  does so by chance; so their p-values are corrected by Holm's method, within the claim.
* `inconclusive`: neither is shown.
* `not run at this scale`: a run that a quantity needs does not exist.

Identical values in all seeds give no interval, hence no verdict: an interval of zero width passes nothing.
Only an exact test, which counts orders and needs no interval (`evidence.Order`), may decide there.

**The quantity reported** is the one nearest to failing, see `nearest_to_failing`.

**A target** of ±tolerance makes an equivalence test, so "matches" needs evidence of a small difference, not
the absence of evidence for a large one. A study of the full scale is held to tolerances in points. In a
shorter one most claims are held to the sign of a contrast, and "no better than rewinding to 0" to a share of
what rewinding gains in the study itself: `margin` in `claims.yaml`.

**Across claims** nothing is corrected: see `ACROSS_CLAIMS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame

from earlyphase.results.claims.evidence import (
    Contrast,
    Correlation,
    Evidence,
    Moved,
    Order,
    Ranking,
    Where,
)

Tables = dict[str, DataFrame]
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run at this scale"
FINDING = "M1"  # the claim that is none: a finding of our own, which is reported and not judged
OTHERS = "deficits in other models"  # key of the table of the other models on a network's data set
ERROR = 0.05  # of each verdict, where the truth lies on the edge of the target

ACROSS_CLAIMS = (
    "Verdicts are not corrected across claims: each claim, in each of its readings, is a test of its own. "
    "Of N tests whose truth lies on the edge of the target, 0.05 N are expected to be falsely `reproduced` "
    "and at most as many falsely `not reproduced`: one in twenty of either, fewer where the truth is clear "
    "of the edge. A row whose `same_test_as` names another claim repeats that claim's test: it is not "
    "counted in N and is no further evidence."
)

Quantity = Contrast | Moved | Where | Order | Correlation | Ranking


class NotRun(Exception):  # noqa: N818 - a verdict, not a fault
    """The study lacks a run that a quantity needs; the message says which."""


@dataclass(frozen=True)
class Criterion:
    """When a claim holds.

    Attributes:
        measure: tables of one network -> quantities; a DataFrame (seeds, contrasts) is a `Contrast` for each
            column. Raises `NotRun`.
        target: (low, high), where every quantity must lie, in the claim's unit.
        rule: the same in words.
        also: what must hold besides, if anything.
        unit: of the quantities, where it is not the claim's.
        sides: what to say of a contrast that is surely below 0, within the target, surely above 0.
        verdict: what to say of quantities that are reported and not judged.
    """

    measure: Callable[[Tables], "DataFrame | list[Quantity]"]
    target: tuple[float, float]
    rule: str
    also: "Criterion | None" = None
    unit: str | None = None
    sides: Sequence[str] | None = None
    verdict: str | None = None


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and how it is judged.

    Attributes:
        statement: the claim, in our words.
        paper: what the paper found; says where it is recollected, not checked against the text.
        cited: where it stands.
        tables: names of the tables that the measures read.
        unit: of the quantities.
        full: the criterion for the paper's network, data and length, by reading: what the claim may be read
            to mean, each judged in a row of its own. A claim of one reading has the reading "".
        short: the criterion for any other study, likewise.
        full_test: what `full` tests, as data; None where it tests nothing. Claims that share it are one test.
        short_test: likewise.
        networks: `only`, or all `but`: functions of the networks that the claim is about; {} for all.
        readings_of: what the readings tell apart, such as "batch norm"; None where any network does.
    """

    id: str
    statement: str
    paper: str
    cited: str
    tables: tuple[str, ...]
    unit: str
    full: Mapping[str, Criterion]
    short: Mapping[str, Criterion]
    full_test: object
    short_test: object
    networks: Mapping[str, Sequence[str]]
    readings_of: str | None = None

    def applies_to(self, network: str | None) -> bool:
        """Whether it is about networks made by this function; about one that is not known it is."""
        only, but = self.networks.get("only"), self.networks.get("but", ())
        return network is None or (network not in but and (only is None or network in only))

    def criteria(self, scale: str, lacks: Sequence[str]) -> Mapping[str, Criterion]:
        """The criterion of the scale, "full" or "short", in each reading that a network tells apart.

        Args:
            lacks: what the network has not; of a claim whose readings are of that, the first stands for all.
        """
        criteria: Mapping[str, Criterion] = getattr(self, scale)
        return {"": next(iter(criteria.values()))} if self.readings_of in lacks else criteria

    @property
    def readings(self) -> tuple[str, ...]:
        """Names of the readings."""
        return tuple(self.full)


@dataclass(frozen=True)
class Weighed:
    """A quantity that was tested, and the part of the criterion that asks for it."""

    part: Criterion
    evidence: Evidence


def weigh(tables: Tables, criterion: Criterion, unit: str) -> list[Weighed]:
    """Measure and test all quantities that a claim in one network rests on.

    Raises:
        NotRun: a run is missing; the message says what was to be tested, too.
    """
    found: list[Weighed] = []
    part: Criterion | None = criterion
    while part is not None:
        try:
            quantities = quantities_of(tables, part)
        except NotRun as missing:
            raise NotRun(f"{part.rule}: {missing}") from None
        found += [Weighed(part, one.evidence(part.target, part.unit or unit)) for one in quantities]
        part = part.also
    return found


def assess(tables: Tables, criterion: Criterion, unit: str) -> tuple[dict, list[dict]]:
    """Judge one claim in one network.

    Returns:
        `ours`, `error`, `n`, `test`, `verdict`; and a row for each quantity behind the verdict: `contrast`,
        its name, `ours`, `error`, `n`, and whether it is the one `reported`; where there are such numbers,
        `low` and `high`, its one-sided 95 % bounds, `target_low` and `target_high`, and `p_inside` and
        `p_outside`, not corrected.
    """
    try:
        weighed = weigh(tables, criterion, unit)
    except NotRun as missing:
        return not_run(str(missing)), []
    found = [one.evidence for one in weighed]
    verdict = criterion.verdict or decide([one.p_inside for one in found], [one.p_outside for one in found])
    worst = nearest_to_failing(found)
    shown, part = found[worst], weighed[worst].part
    side = side_of(shown, part.sides)
    words = f"; {shown.words}{in_words(found, worst, verdict)}" if shown.words else ""
    summary = {
        "ours": f"{shown.ours} ({side})" if side else shown.ours,
        "error": shown.error,
        "n": shown.n,
        "test": part.rule + words,
        "verdict": verdict,
    }
    return summary, [row_of(one) | {"reported": one is weighed[worst]} for one in weighed]


def not_run(because: str) -> dict:
    """What `assess` says of a claim that is not judged."""
    return {"ours": "", "error": "", "n": 0, "test": because, "verdict": NOT_RUN}


def row_of(weighed: Weighed) -> dict:
    """What is known of one quantity: see `assess`."""
    shown, numbers = weighed.evidence, {}
    numbers["low"], numbers["high"] = shown.bounds
    numbers["target_low"], numbers["target_high"] = weighed.part.target
    numbers |= {"p_inside": shown.p_inside, "p_outside": shown.p_outside} if shown.tested else {}
    known = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
    return {"contrast": shown.name, "ours": shown.ours, "error": shown.error, "n": shown.n} | known


def quantities_of(tables: Tables, criterion: Criterion) -> list[Quantity]:
    """What a criterion is about, measured."""
    measured = criterion.measure(tables)
    if isinstance(measured, DataFrame):
        return [Contrast(measured[label]) for label in measured]
    return measured


def decide(p_inside: Sequence[float], p_outside: Sequence[float]) -> str:
    """Turn the p-values of a claim's quantities into its verdict."""
    if holm(p_outside).min() < ERROR:
        return NOT_REPRODUCED
    return REPRODUCED if max(p_inside) < ERROR else INCONCLUSIVE


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Correct p-values for their number, by Holm's method (1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none may fall below one before it,
    or exceed 1. `statsmodels.stats.multitest.multipletests` does the same and takes 1.5 s to import.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = p_values.argsort()
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return corrected


def nearest_to_failing(found: Sequence[Evidence]) -> int:
    """Position of the quantity that is reported, whatever the verdict.

    One whose estimate lies outside its target is nearer to failing than one that has no test, and that
    nearer than one whose estimate lies inside. Of those outside it is the one with the smallest p of being
    outside, so the one that has failed if any has; of those inside the one with the largest p of being
    inside, so the one that has not passed if any has not.
    """

    def key(evidence: Evidence) -> tuple[int, float]:
        if not evidence.tested:
            return 1, 0.0
        return (2, -evidence.p_inside) if evidence.inside else (0, evidence.p_outside)

    return min(range(len(found)), key=lambda at: key(found[at]))


def side_of(shown: Evidence, sides: Sequence[str] | None) -> str:
    """Name the side on which a contrast lies, by its one-sided bounds; empty where they do not tell."""
    if sides is None or not shown.tested:
        return ""
    if shown.p_inside < ERROR:
        return sides[1]
    low, high = shown.bounds
    return sides[0] if high < 0 else sides[2] if low > 0 else ""


def in_words(found: Sequence[Evidence], worst: int, verdict: str) -> str:
    """Say how many quantities stand behind the reported one, and what the correction for them did."""
    if len(found) == 1:
        return ""
    words = f"; the nearest to failing of {len(found)}"
    corrected = holm([one.p_outside for one in found])[worst]
    if verdict == NOT_REPRODUCED or found[worst].p_outside < ERROR:
        words += f": p = {corrected:.2g} of lying outside, corrected for {len(found)} by Holm's method"
    return words
