"""Tests of one quantity against its target: a contrast within seeds, an order over k, a relation over points.

Each kind of quantity has a method `evidence(target, unit)`. It gives two p-values, one for each verdict:

* `p_inside` is small if the quantity lies *inside* the target. It is the larger p of the one-sided tests
  against the target's edges, so with two edges it is that of two one-sided tests (TOST, Schuirmann 1987).
* `p_outside` is small if the quantity lies *outside* the target. With one edge it is the opposite one-sided
  test. With two edges it adds the tail beyond the other edge, without which a target that is narrow
  against the noise would be missed on either side by chance.

Either is small, below 5 %, in at most 5 % of studies whose truth lies on an edge; tests/test_error_rates.py
simulates it. How the evidence on several quantities becomes a verdict, `judging` says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.summaries import t_interval

POINTS = 100  # percentage points in an accuracy of 1
INFINITY = float("inf")
LEAST_GAIN = 0.5  # points that rewinding to k must surely gain, or nothing can be said of keeping it

Target = tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """What a test says of one quantity.

    Attributes:
        ours: the quantity with its unit.
        error: of it.
        n: seeds it is over, or points.
        words: the quantity's name and its test.
        inside: whether the estimate lies in the target.
        p_inside: of being inside; 1 where there is no test.
        p_outside: of being outside; 1 where there is no test.
        tested: whether there is a test.
        bounds: one-sided 95 % bounds, lower and upper; NaN where there are none.
        name: of the quantity.
    """

    ours: str
    error: str
    n: int
    words: str
    inside: bool = False
    p_inside: float = 1.0
    p_outside: float = 1.0
    tested: bool = False
    bounds: tuple[float, float] = (float("nan"), float("nan"))
    name: str = ""


def tail_ps(
    above_low: np.ndarray, below_high: np.ndarray, tail: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the distances of an estimate from both edges into `p_inside` and `p_outside`.

    Args:
        above_low: estimate minus lower edge, in standard errors; infinite where there is no lower edge.
        below_high: upper edge minus estimate, likewise; not infinite where `above_low` is.
        tail: value -> probability of a standardised estimate below it.
    """
    nearest, width = np.minimum(above_low, below_high), above_low + below_high
    return tail(-nearest), np.minimum(1, tail(nearest) + tail(nearest - width))


def t_ps(values: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """`p_inside` and `p_outside` by t tests of the mean over seeds.

    Args:
        values: (seeds, ...), at least two seeds, which must differ.
        target: lower and upper edge, one of them finite.
    """
    from scipy.special import stdtr  # scipy.stats has the same and takes a second longer to import

    seeds = len(values)
    mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(seeds)
    return tail_ps((mean - target[0]) / error, (target[1] - mean) / error, lambda t: stdtr(seeds - 1, t))


@dataclass(frozen=True)
class Contrast:
    """A difference within seeds.

    Attributes:
        values: seed -> difference, named; NaN where a run diverged or is missing.
        gain: seed -> what rewinding to k gains over rewinding to 0, in points, where the contrast asks how
            much of it is kept. Where it is not surely above `LEAST_GAIN`, there is no test.
        gained: what the gain is, where it is another one, in words: "weight decay itself gains".
    """

    values: Series
    gain: Series | None = None
    gained: str = "rewinding to k itself gains"

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test the mean over seeds."""
        values = self.values.dropna()
        low, high = bounds = t_interval(values)
        ours = f"{values.mean():+.2f} {unit}" if len(values) else ""
        error = f"± {values.std():.2f}" if len(values) > 1 else ""
        left_out = len(self.values) - len(values)
        note = f"; {left_out} of {len(self.values)} seeds left out, a run diverged or is missing"
        note = note if left_out else ""
        missing = self.missing(values)
        if missing:
            words = f"{self.values.name}: {missing}{note}"
            return Evidence(ours, error, len(values), words, name=str(self.values.name))
        inside, outside = t_ps(values.to_numpy(float), target)
        words = f"{self.values.name}: one-sided 95 % bounds {low:+.2f} and {high:+.2f}{note}"
        within = target[0] < values.mean() < target[1]
        return Evidence(
            ours,
            error,
            len(values),
            words,
            bool(within),
            float(inside),
            float(outside),
            True,
            bounds,
            str(self.values.name),
        )

    def missing(self, values: Series) -> str:
        """Say why there is no test; empty if there is one."""
        if len(values) < 2:
            return "no interval from fewer than two seeds"
        if np.isnan(t_interval(values)[0]):
            return "all seeds have the same value, which gives no interval"
        if self.gain is None:
            return ""
        gain = self.gain.dropna()
        lower = t_interval(gain)[0]
        if lower > LEAST_GAIN:
            return ""
        bound = "no bound" if np.isnan(lower) else f"lower bound {lower:+.2f}"
        return (
            f"{self.gained} {gain.mean():+.2f} points here ({bound}, where above "
            f"{LEAST_GAIN} is needed), so there is no gain to keep or to lose"
        )


@dataclass(frozen=True)
class Moved:
    """A difference within seeds that is claimed to be there, on either side of 0.

    Attributes:
        values: seed -> difference, named; NaN where a run diverged or is missing.
    """

    values: Series

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test the mean over seeds, as a `Contrast`, but for what it is tested against.

        Inside, the claim holds: the two-sided t test finds a difference. Outside, it fails: the difference
        lies within `target` (TOST), so it is negligible.
        """
        found = Contrast(self.values).evidence(target, unit)
        if not found.tested:
            return found
        one_sided = t_ps(self.values.dropna().to_numpy(float), (0, INFINITY))
        p = min(1.0, 2 * float(min(one_sided)))
        words = f"{found.words}; two-sided p = {p:.2g} of no difference"
        return replace(found, words=words, inside=not found.inside, p_inside=p, p_outside=found.p_inside)


@dataclass(frozen=True)
class Where:
    """A difference within seeds that is claimed where something else holds of the same runs.

    Attributes:
        contrast: the difference.
        condition: seed -> what must be above 0 for the claim to speak of these runs, named; NaN where a run
            diverged.
    """

    contrast: Contrast
    condition: Series

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test the contrast; either verdict needs the condition to hold at 5 % as well.

        So p is the larger of the two: where it is not sure that the claim speaks of these runs, they decide
        nothing.
        """
        found, condition = self.contrast.evidence(target, unit), self.condition.dropna()
        if not found.tested:
            return found
        words = f"{found.words}; where {condition.name}"
        if np.isnan(t_interval(condition)[0]):
            return replace(
                found, words=f"{words}, which cannot be tested", p_inside=1.0, p_outside=1.0, tested=False
            )
        p = float(t_ps(condition.to_numpy(float), (0, INFINITY))[0])
        p_inside, p_outside = max(found.p_inside, p), max(found.p_outside, p)
        return replace(found, words=f"{words}, p = {p:.2g}", p_inside=p_inside, p_outside=p_outside)


@dataclass(frozen=True)
class Order:
    """How accuracy is ordered over k, by the mean over seeds of Spearman's rank correlation.

    The test is exact: under the null hypothesis every order of the ks is equally likely within each seed,
    independently between seeds (Page 1963, "Ordered hypotheses for multiple treatments"). With few ks the
    correlation takes few values, for which no interval is of use.

    Attributes:
        accuracy: (seeds, ks), ks rising; NaN where a run diverged or is missing.
    """

    accuracy: DataFrame

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test whether the order rises; `target` must be (0, infinity)."""
        if target != (0, INFINITY):
            raise ValueError(f"the test of an order is against 0 only, got the target {target}")
        complete = self.accuracy.dropna()
        left_out = len(self.accuracy) - len(complete)
        note = f"; {left_out} of {len(self.accuracy)} seeds left out, a run diverged or is missing"
        called = f"Spearman over k = {', '.join(map(str, self.accuracy.columns))}"
        name = f"{called}{note if left_out else ''}"
        order = Series(range(complete.shape[1]), index=complete.columns, dtype=float)
        correlations = complete.rank(axis=1).corrwith(order, axis=1).fillna(0.0)
        n, mean = len(correlations), correlations.mean()
        ours = f"{mean:+.2f} {unit}" if n else ""
        if n < 2:
            return Evidence(ours, "", n, f"{name}: no test from fewer than two seeds", name=called)
        error = f"± {correlations.std():.2f}"
        rises, falls = page_ps(complete.rank(axis=1).to_numpy())
        words = f"{name}: exact over all orders of the ks in every seed, one-sided p = {rises:.2g}"
        return Evidence(ours, error, n, words, bool(mean > 0), rises, falls, True, name=called)


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


@dataclass(frozen=True)
class Correlation:
    """Pearson's r over the points of one k, a point for each perturbation.

    Several perturbations may be levels of one random draw: they make a line, but not as many independent
    points. So `r` is over all points, as in the paper, and the test is over one point for each draw.

    Attributes:
        r: over all `n` points.
        p: two-sided, over all points: what the paper quotes.
        draws: independent points.
        draws_r: over those.
        draws_p: two-sided, of `draws_r`.
        note: how the points came about.
    """

    name: str
    r: float
    n: int
    p: float
    draws: int
    draws_r: float
    draws_p: float
    note: str

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test r; inside needs r in the target and p < 5 % against no relation.

        Bounds as wide as those of 11 points fit inside no target as narrow as the paper's, so "inside" errs
        in 5 % of studies without any relation, not of studies on the target's edge. "Outside" is tested
        against the edges, by Fisher's transformation less its bias, r / (2 (draws - 1)).
        """
        from scipy.special import ndtr

        nearly = 1 - 1e-12  # a perfect line has no finite transform
        with np.errstate(divide="ignore"):
            centre, *edges = np.arctanh([np.clip(self.draws_r, -nearly, nearly), *np.clip(target, -1, 1)])
        centre, root = centre - self.draws_r / (2 * (self.draws - 1)), np.sqrt(self.draws - 3)
        low, high = bounds = tuple(np.tanh(centre + np.array([-1.6449, 1.6449]) / root))
        inside = target[0] <= self.r <= target[1]
        _, outside = tail_ps((centre - edges[0]) * root, (edges[1] - centre) * root, ndtr)
        agree = self.r * self.draws_r > 0
        words = (
            f"{self.name}: r = {self.draws_r:+.2f} over {self.draws} independent draws, "
            f"p = {self.draws_p:.2g}, one-sided 95 % bounds {low:+.2f} and {high:+.2f}; {self.note}"
        )
        ours = (
            f"{self.r:+.2f} {unit[:-1]} over {self.n} perturbations; {self.draws_r:+.2f}, "
            f"p = {self.draws_p:.2g}, over {self.draws} independent draws)"
        )
        return Evidence(
            ours,
            f"{low:+.2f} to {high:+.2f}",
            self.n,
            words,
            inside,
            self.draws_p if inside and agree else 1.0,
            1.0 if inside else float(outside),
            True,
            bounds,
            self.name,
        )


@dataclass(frozen=True)
class Ranking:
    """How much farther from a line some points lie than the rest: the rank-biserial correlation.

    Attributes:
        value: 1 if each of them has a larger residual in modulus than every other point, 0 if alike.
        n: points.
        p: two-sided, exact.
        note: how the points came about.
    """

    name: str
    value: float
    n: int
    p: float
    note: str

    def evidence(self, target: Target, unit: str) -> Evidence:
        """Test the value; it lies on a side of 0 if p < 5 %. `target` must be (0, infinity)."""
        if target != (0, INFINITY):
            raise ValueError(f"a ranking is tested against 0 only, got the target {target}")
        inside = self.value > 0
        ours = f"{self.value:+.2f} {unit[:-1]}, p = {self.p:.2g})"
        words = f"{self.name}: p = {self.p:.2g}; {self.note}"
        inner, outer = (self.p, 1.0) if inside else (1.0, self.p)
        return Evidence(ours, "", self.n, words, inside, inner, outer, True, name=self.name)
