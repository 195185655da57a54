"""From what a claim measured to its verdict.

* `reproduced`: *every* quantity lies where the claim has it. A claim that holds only if all its parts hold
  needs no correction for their number (an intersection-union test).
* `not reproduced`: *some* quantity lies elsewhere. The more there are, the likelier one of them does so by
  chance; so their p-values are corrected by Holm's method, within the claim.
* `inconclusive`: neither is shown.
* `not run`, `not judged`: why, `claim` says.

Each of the first two is false in at most `ERROR` of studies whose truth lies on the edge. Identical values
in all seeds give no interval, hence no verdict: an interval of zero width passes nothing. Only an exact test,
which counts orders and needs no interval (`evidence.Order`), may decide there.

**The quantity reported** is the one nearest to failing, see `nearest_to_failing`.
"""

from collections.abc import Sequence

import numpy as np
from pandas import Series

from earlyphase.results.claims.claim import ANOTHER_NETWORK, DIED, Claim, Measured, NotRun
from earlyphase.results.claims.evidence import ERROR, Evidence, written
from earlyphase.results.claims.network import Network

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE = "reproduced", "not reproduced", "inconclusive"
MEASURED = "measured, no claim of the paper"
FINDING = "M1"  # the claim that is none: a finding of our own, which is reported and not judged

ACROSS_CLAIMS = (
    "Verdicts are not corrected across claims: each claim, in each of its readings, is a test of its own. "
    "Of N tests whose truth lies on the edge of what is claimed, 0.025 N are expected to be falsely "
    "`reproduced` and at most as many falsely `not reproduced`: one in twenty of both together, fewer where "
    "the truth is clear of the edge. A row whose `same_test_as` names another claim repeats that claim's "
    "test: it is not counted in N and is no further evidence."
)


def assess(network: Network, claim: Claim, reading: str = "") -> tuple[dict, list[dict]]:
    """Judge one claim, in one reading, in one network.

    Returns:
        `statement`; `measured`, name of the quantity reported; `ours` with its unit; `interval`, two-sided
        95 %; `margin`; `n`; `test`, `verdict`. And a row for each quantity behind the verdict: see `row_of`.
    """
    numbers = dict(claim.numbers) | ({"reading": reading} if reading else {})
    network.died.clear()
    try:
        if not claim.is_about(function := network.facts.get("function")):
            raise NotRun(f"it is no claim on networks of {function}", ANOTHER_NETWORK)
        measured = claim.measure(network, **numbers)
        evidence = [each.evidence(claim.unit) for each in measured.quantities]
        refuse_dead(network, measured, evidence)
    except NotRun as missing:
        empty = dict.fromkeys(("measured", "ours", "interval", "margin"), "") | {"n": 0}
        why = {"test": str(missing), "verdict": missing.verdict}
        return {"statement": claim.stated()} | empty | why, []
    worst = nearest_to_failing(evidence)
    shown = evidence[worst]
    judged = decide([each.p_for for each in evidence], [each.p_against for each in evidence])
    verdict = MEASURED if claim.id == FINDING else judged
    side = side_of(shown, getattr(measured.quantities[worst], "sides", ("", "", "")))
    summary = {
        "statement": claim.stated(measured.places),
        "measured": shown.name,
        "ours": written(shown) + (f" ({side})" if side else ""),
        "interval": f"{shown.low:+.2f} to {shown.high:+.2f}" if np.isfinite(shown.low) else "",
        "margin": f"{shown.margin:.2f}" if np.isfinite(shown.margin) else "",
        "n": shown.n,
        "test": in_words(evidence, worst),
        "verdict": verdict,
    }
    return summary, [row_of(each) | {"reported": each is shown} for each in evidence]


def refuse_dead(network: Network, measured: Measured, evidence: Sequence[Evidence]) -> None:
    """Raise `NotRun` where runs died, and too few are left to test something that they are part of."""
    lacking = [getattr(each, "values", Series()).isna().any() for each in measured.quantities]
    if network.died and any(each.n < 2 and lacks for each, lacks in zip(evidence, lacking, strict=True)):
        tables = ", ".join(sorted({table for table, _ in network.died}))
        seeds = ", ".join(str(seed) for seed in sorted({seed for _, seed in network.died}))
        raise NotRun(f"networks died, in {tables} of seed {seeds}: they are as good as guessing", DIED)


def row_of(evidence: Evidence) -> dict:
    """What is known of one quantity.

    Returns:
        `contrast`, its name; `ours`, a number or words; `unit`; `std`, of seeds; `n`; `low`, `high`, of the
        two-sided 95 % interval; `margin`; `target_low` and `target_high`, where the claim has it; `p_for`
        and `p_against`, not corrected; `note`. Numbers that there are not are left out.
    """
    numbers = {
        "std": evidence.std, "low": evidence.low, "high": evidence.high, "margin": evidence.margin,
        "target_low": evidence.target[0], "target_high": evidence.target[1],
    }  # fmt: skip
    numbers |= {"p_for": evidence.p_for, "p_against": evidence.p_against} if evidence.tested else {}
    known = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
    ours = evidence.words or (float(evidence.mean) if np.isfinite(evidence.mean) else "")
    return {
        "contrast": evidence.name,
        "ours": ours,
        "unit": evidence.unit,
        "n": evidence.n,
        "note": evidence.note,
    } | known


def decide(p_for: Sequence[float], p_against: Sequence[float]) -> str:
    """Turn the p-values of a claim's quantities into its verdict."""
    if holm(p_against).min() < ERROR:
        return NOT_REPRODUCED
    return REPRODUCED if max(p_for) < ERROR else INCONCLUSIVE


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


def nearest_to_failing(every: Sequence[Evidence]) -> int:
    """Position of the quantity that is reported, whatever the verdict.

    One whose estimate lies elsewhere than claimed is nearer to failing than one that has no test, and that
    nearer than one whose estimate lies where it is claimed. Of the first it is the one with the smallest p
    against the claim, so the one that has failed if any has; of the last the one with the largest p for it,
    so the one that has not passed if any has not.
    """

    def key(evidence: Evidence) -> tuple[int, float]:
        if not evidence.tested:
            return 1, 0.0
        return (2, -evidence.p_for) if evidence.inside else (0, evidence.p_against)

    return min(range(len(every)), key=lambda at: key(every[at]))


def side_of(shown: Evidence, sides: tuple[str, str, str]) -> str:
    """Name the side on which a contrast lies, by its interval; empty where that does not tell."""
    if shown.high < min(0.0, shown.target[0]) or (shown.p_against < ERROR and shown.mean < 0):
        return sides[0]
    if shown.low > 0:
        return sides[2]
    return sides[1] if shown.p_for < ERROR else ""


def in_words(every: Sequence[Evidence], worst: int) -> str:
    """The test of the reported quantity, and what the correction for the others did."""
    shown = every[worst]
    words = f"p = {shown.p_for:.2g} for, {shown.p_against:.2g} against" if shown.tested else ""
    if len(every) > 1:
        words += f"; the nearest to failing of {len(every)}"
        if shown.p_against < ERROR:
            corrected = holm([each.p_against for each in every])[worst]
            words += f", p against it corrected for {len(every)} by Holm's method: {corrected:.2g}"
    return "; ".join(filter(None, [words, shown.note]))
