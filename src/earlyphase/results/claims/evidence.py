"""Tests of one measured quantity against what a claim says of it.

A quantity has a method `evidence`, which gives two p-values, one for each verdict: `p_for` is
small if the quantity lies where the claim has it, `p_against` if it lies elsewhere. Where the truth lies on
the edge between the two, either is below `ERROR` in at most that share of studies; tests/test_error_rates.py
simulates it, and that beside a `Margin`, which is measured itself, it is in less than 6 %. How the evidence
on several quantities becomes a verdict, `judging` says.

**Intervals** are two-sided 95 % ones, everywhere. `ERROR` is what they leave on either side, so that a
verdict on a single quantity is what its interval shows: all of it lies where the claim has it, or all of it
elsewhere.

**Same or different.** A difference has a sign, and "better", "worse", "below" ask for that alone, or for so
many points. "As good", "no better" and "without harm" ask how much counts as nothing: a `Margin`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Literal

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.summaries import Line, t_interval

POINTS = 100  # percentage points in an accuracy of 1
INFINITY = float("inf")
NAN = float("nan")
ERROR = 0.025  # of each verdict, where the truth lies on the edge: what a 95 % interval leaves on a side
SHARE = 0.25  # of a gain that counts as nothing; of the paper's gain its tolerance is a sixth to a third
LEAST = 0.5  # points that count as nothing whatever is gained: the paper's tolerance

Target = tuple[float, float]
Lies = Literal["above", "below", "within", "apart", "not worse", "worse", "not better", "better", "as good"]


@dataclass(frozen=True)
class Evidence:
    """What a test says of one quantity; where a claim itself tests one, it gives this.

    Attributes:
        name: of the quantity.
        unit: of `mean` and of what follows it.
        mean: what was measured.
        std: sample standard deviation over seeds.
        n: seeds it is over, or points.
        low: lower bound of the two-sided 95 % interval; NaN where there is none.
        high: upper bound.
        margin: points that count as nothing; NaN where the claim asks for none.
        target: where the claim has it.
        inside: whether `mean` lies there.
        p_for: of lying there; 1 where there is no test.
        p_against: of lying elsewhere; 1 where there is no test.
        tested: whether there is a test.
        note: what else is to be known; why there is no test.
        words: `mean` where it is no number.
    """

    name: str
    unit: str
    mean: float = NAN
    std: float = NAN
    n: int = 0
    low: float = NAN
    high: float = NAN
    margin: float = NAN
    target: Target = (NAN, NAN)
    inside: bool = False
    p_for: float = 1.0
    p_against: float = 1.0
    tested: bool = False
    note: str = ""
    words: str = ""

    def evidence(self, unit: str) -> "Evidence":
        """Itself: it is tested already."""
        return self


@dataclass(frozen=True)
class Margin:
    """Points that count as nothing: a share of a gain, but no less than `LEAST`, the paper's tolerance.

    A tolerance in points alone would be all of the effect in one network and none of it in another; a share
    of the effect alone calls a ticket unharmed that is surely worse, wherever rewinding to 0 does badly. So
    where nobody may be harmed, it is no more than 1 point: twice the paper's tolerance, and about what the
    seeds of one network differ by, so that a reader of the two accuracies would call them the same.

    Attributes:
        gain: seed -> what rewinding gains, in points; None where that is not known.
        most: points; infinite where the claim itself is about a share of the gain.
        share: of the gain.
    """

    gain: Series | None = None
    most: float = INFINITY
    share: float = SHARE

    @property
    def least(self) -> float:
        """No less than this, nor more than the most."""
        return min(LEAST, self.most)


def tail_ps(
    above_low: np.ndarray, below_high: np.ndarray, tail: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the distances of an estimate from both edges of a target into p-values of inside and outside.

    Inside is the larger p of the one-sided tests against the edges, so with two edges that of two one-sided
    tests (TOST, Schuirmann 1987). Outside adds the tail beyond the other edge, without which a target that is
    narrow against the noise would be missed on either side by chance.

    Args:
        above_low: estimate minus lower edge, in standard errors; infinite where there is no lower edge.
        below_high: upper edge minus estimate, likewise; not infinite where `above_low` is.
        tail: value -> probability of a standardised estimate below it.
    """
    nearest, width = np.minimum(above_low, below_high), above_low + below_high
    return tail(-nearest), np.minimum(1, tail(nearest) + tail(nearest - width))


def t_ps(values: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """p-values of the mean over seeds lying inside and outside a target, by t tests.

    Args:
        values: (seeds, ...), at least two seeds, which must differ.
        target: lower and upper edge, one of them finite.
    """
    from scipy.special import stdtr  # scipy.stats has the same and takes a second longer to import

    seeds = len(values)
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(seeds)
    return tail_ps((mean - target[0]) / error, (target[1] - mean) / error, lambda t: stdtr(seeds - 1, t))


def margin_ps(values: np.ndarray, gain: np.ndarray, margin: Margin) -> tuple[np.ndarray, np.ndarray]:
    """p-values of a mean that lies above minus the margin, and of one that lies below it.

    The margin is measured itself. What lies above minus the least margin is above for every one, and what
    lies below minus the most is below for every one; between them the share of the gain decides, where it
    surely lies between.

    Args:
        values: (seeds, ...), at least two seeds, which must differ.
        gain: likewise; zeros where there is none.
        margin: of which the gain is not looked at.
    """
    least, most, part = margin.least, margin.most, margin.share * gain
    by_share, over_least = p_above(values + part, 0.0), p_above(part, least)
    lenient = np.minimum(p_above(values, -least), np.maximum(by_share, over_least))
    under_share, under_most = p_above(-values - part, 0.0), p_above(-part, -most)
    strict = np.minimum(p_above(-values, most), np.maximum(under_share, under_most))
    return np.maximum(p_above(values, -most), lenient), np.maximum(p_above(-values, least), strict)


def p_above(values: np.ndarray, edge: float) -> np.ndarray:
    """p-value of a mean over seeds that lies above an edge, which may be infinite, by a one-sided t test.

    Values that are the same in all seeds lie surely where they are; on the edge, on neither side.
    """
    from scipy.special import stdtr  # scipy.stats has the same and takes a second longer to import

    seeds = len(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (values.mean(axis=0) - edge) / (values.std(axis=0, ddof=1) / np.sqrt(seeds))
    return stdtr(seeds - 1, -np.nan_to_num(t))


@dataclass(frozen=True)
class Contrast:
    """A difference within seeds, and where the claim has it.

    Attributes:
        name: of the difference: "k = 100 minus dense".
        values: seed -> difference, NaN where a run diverged, died or is missing.
        lies: above or below `edge`, within `span`, or apart from 0 by more than `edge` on either side; beside
            a margin m: not worse (above -m), worse (below -m), not better (below m), better (above m), as
            good (both not worse and not better).
        edge: in `unit`.
        span: lower and upper edge.
        margin: of what counts as nothing.
        given: other contrasts, which must lie where they are said to for this one to decide anything.
        unit: of `values`, where it is not that of the claim.
        sides: what to say of an interval below 0, where it is said to lie, and above 0.
    """

    name: str
    values: Series
    lies: Lies = "above"
    edge: float = 0.0
    span: Target = (NAN, NAN)
    margin: Margin | None = None
    given: "tuple[Contrast, ...]" = ()
    unit: str | None = None
    sides: tuple[str, str, str] = ("", "", "")

    def evidence(self, unit: str) -> Evidence:
        """Test the mean over seeds."""
        values = self.values.astype(float)
        gain = values * 0 if self.margin is None or self.margin.gain is None else self.margin.gain
        both = DataFrame({"values": values, "gain": gain}).reindex(values.index)
        known = both.dropna()
        values, left_out = known["values"], len(both) - len(known)
        note = f"{left_out} of {len(both)} seeds left out, whose run diverged, died or is missing"
        tested = Evidence(
            self.name, self.unit or unit, values.mean(), values.std(), len(values), *t_interval(values),
            note=note if left_out else "",
        )  # fmt: skip
        if missing := no_interval(values):
            return replace(tested, note="; ".join(filter(None, [missing, tested.note])))
        m = self.margin
        size = NAN if m is None else float(np.clip(m.share * known["gain"].mean(), m.least, m.most))
        p_for, p_against = self.ps(*known.to_numpy().T)
        target = self.target(size)
        inside = bool(target[0] < tested.mean < target[1]) != (self.lies == "apart")
        tested = replace(
            tested, target=target, inside=inside, tested=True, margin=size, p_for=p_for, p_against=p_against
        )
        for condition in self.given:
            tested = conditional(tested, condition.evidence(unit))
        return tested

    def target(self, margin: float) -> Target:
        """Between which edges the claim has the difference; between which it has not, if `apart`."""
        match self.lies:
            case "above" | "better" | "not worse":
                return {"above": self.edge, "better": margin, "not worse": -margin}[self.lies], INFINITY
            case "below" | "worse" | "not better":
                return -INFINITY, {"below": self.edge, "worse": -margin, "not better": margin}[self.lies]
            case "apart":
                return -self.edge, self.edge
            case "as good":
                return -margin, margin
        return self.span

    def ps(self, values: np.ndarray, gain: np.ndarray) -> tuple[float, float]:
        """p-values for and against, by the tests of `t_ps` and `margin_ps`."""
        match self.lies:
            case "above" | "below" | "within":
                both = t_ps(values, self.target(NAN))
            case "apart":  # not 0 (two-sided, of which each side has half the error), against equivalence
                both = min(t_ps(values, (0.0, INFINITY))), t_ps(values, self.target(NAN))[0]
            case _:
                assert self.margin is not None
                worse, better = (margin_ps(signed, gain, self.margin) for signed in (values, -values))
                both = {
                    "not worse": worse, "worse": worse[::-1], "not better": better, "better": better[::-1],
                    "as good": (max(worse[0], better[0]), 2 * min(worse[1], better[1])),  # on either side
                }[self.lies]  # fmt: skip
        return float(both[0]), min(1.0, float(both[1]))


def no_interval(values: Series) -> str:
    """Say why values have no interval; empty where they have one."""
    if len(values) < 2:
        return "no interval from fewer than two seeds"
    return "all seeds have the same value, which gives no interval" if np.isnan(t_interval(values)[0]) else ""


def conditional(evidence: Evidence, given: Evidence) -> Evidence:
    """Evidence that counts only where other evidence holds, too: either p is the larger of the two.

    So where it is not sure that the claim speaks of these runs, they decide nothing.
    """
    note = "; ".join(
        filter(None, [evidence.note, f"given that {given.name} ({written(given)}), p = {given.p_for:.2g}"])
    )
    p_for, p_against = (max(p, given.p_for) for p in (evidence.p_for, evidence.p_against))
    return replace(
        evidence, note=note, p_for=p_for, p_against=p_against, tested=evidence.tested and given.tested
    )


def written(evidence: Evidence) -> str:
    """What was measured, with its unit: "-3.70 points"."""
    return evidence.words or ("" if np.isnan(evidence.mean) else f"{evidence.mean:+.2f} {evidence.unit}")


def order(accuracy: DataFrame) -> Evidence:
    """How accuracy is ordered over k, by the mean over seeds of Spearman's rank correlation; it is to rise.

    The test is exact: under the null hypothesis every order of the ks is equally likely within each seed,
    independently between seeds (Page 1963, "Ordered hypotheses for multiple treatments"). With few ks the
    correlation takes few values, for which no interval is of use.

    Args:
        accuracy: (seeds, ks), ks rising; NaN where a run diverged or is missing.
    """
    complete = accuracy.dropna()
    left_out = len(accuracy) - len(complete)
    places = Series(range(complete.shape[1]), index=complete.columns, dtype=float)
    correlations = complete.rank(axis=1).corrwith(places, axis=1).fillna(0.0)
    evidence = Evidence(
        f"Spearman over k = {', '.join(map(str, accuracy.columns))}", "(rank correlation)",
        correlations.mean(), correlations.std(), len(complete), target=(0.0, INFINITY),
        note=f"{left_out} of {len(accuracy)} seeds left out" if left_out else "",
    )  # fmt: skip
    if len(complete) < 2:
        return replace(evidence, note="no test from fewer than two seeds")
    rises, falls = page_ps(complete.rank(axis=1).to_numpy())
    return replace(evidence, inside=bool(evidence.mean > 0), p_for=rises, p_against=falls, tested=True)


def page_ps(ranks: np.ndarray) -> tuple[float, float]:
    """Exact one-sided p-values of a rise and of a fall of `ranks` along their columns, by Page's test.

    Args:
        ranks: (seeds, ks), average ranks within each seed.
    """
    doubled = np.rint(2 * ranks).astype(int)  # average ranks of ties are halves
    places = np.arange(1, doubled.shape[1] + 1)
    law = reduce(np.convolve, [sum_law(tuple(sorted(row.tolist()))) for row in doubled])
    seen = int((doubled * places).sum())
    return float(law[seen:].sum()), float(law[: seen + 1].sum())


@lru_cache(maxsize=64)
def sum_law(ranks: tuple[int, ...]) -> np.ndarray:
    """Law of sum(place * rank) where `ranks` are put in random order on the places 1, 2, ...

    Places are filled in turn, and what is left depends on the set of ranks used, not on their order: 2^n
    sets in place of n! orders.

    Returns:
        Probability of each sum from 0 on.
    """
    top = sum((place + 1) * rank for place, rank in enumerate(sorted(ranks)))
    ways = {0: np.eye(1, top + 1)[0]}  # set of used ranks, as bits -> number of orders with each sum
    for place in range(1, len(ranks) + 1):
        following: dict[int, np.ndarray] = {}
        for used, counts in ways.items():
            for at, rank in enumerate(ranks):
                if not used >> at & 1:
                    moved = np.zeros_like(counts)
                    moved[place * rank :] = counts[: top + 1 - place * rank]
                    following[used | 1 << at] = following.get(used | 1 << at, 0) + moved
        ways = following
    (counts,) = ways.values()
    return counts / counts.sum()


def correlation(name: str, points: Line, n: int, draws: Line, of_draws: int, note: str) -> Evidence:
    """Pearson's r over the perturbations of one k, which is to be negative; the interval is Fisher's.

    Several perturbations may be levels of one random draw: they make a line, but not as many independent
    points. So r is over all points, as in the paper, and interval and test are over one point for each draw.

    Args:
        points: the line through all `n` points.
        draws: that through the independent ones, of which there are `of_draws`.
    """
    nearly = 1 - 1e-12  # a perfect line has no finite transform
    centre, half = np.arctanh(np.clip(draws.r, -nearly, nearly)), 1.959964 / np.sqrt(of_draws - 3)
    negative, positive = (draws.p / 2, 1 - draws.p / 2)[:: -1 if draws.r > 0 else 1]
    return Evidence(
        name, "(Pearson r)", points.r, n=n,
        low=float(np.tanh(centre - half)), high=float(np.tanh(centre + half)), target=(-1.0, 0.0),
        inside=points.r < 0, p_for=negative if points.r < 0 else 1.0,
        p_against=positive if points.r > 0 else 1.0, tested=True,
        note=f"{draws.r:+.2f} over {of_draws} independent draws; {note}",
    )  # fmt: skip
