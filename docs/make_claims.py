#!/usr/bin/env python3
"""Write docs/claims.md: every claim, the criterion it is judged by and its numbers, from the claims themselves.

A test holds the page to what this makes. usage: python docs/make_claims.py
"""

from pathlib import Path

from earlyphase.results.claims import claims

PAGE = Path(__file__).resolve().parent / "claims.md"
SECTIONS = {
    "R": "Rewinding, and lottery tickets",
    "P": "Perturbed tickets",
    "S": "The first iterations",
    "D": "What the early phase needs from the data",
    "N": "Wrong labels",
    "C": "What the paper builds on",
    "O": "Optimisers, and ways to retrain",
    "L": "What sparse networks promise",
    "N": "What followed: noise, and lines between networks",
    "M": "A finding of our own",
    "E": "The edge of stability",
    "B": "Early-bird tickets",
    "K": "The tangent kernel",
}
INTRODUCTION = """# The claims

What the papers say, and when a study reproduces it. Statements are written here with the paper's k and density; the table
of a study, `results/claims.csv`, has its own. This page is made from the claims (`python docs/make_claims.py`).

* **Ours** is what was measured, over seeds, with its two-sided 95 % interval. A difference is within seeds, ticket minus
  reference, in percentage points: negative is worse. Of a claim with several parts the one nearest to failing is shown;
  `results/contrasts.csv` has all.
* **Better, worse, below** ask for the sign of a difference, or for so many points.
* **As good, no better, without harm** ask how much counts as nothing, the **margin**: a quarter of what rewinding to k gains
  over rewinding to 0, but no less than half a point, the paper's tolerance. Where a ticket is said to match a network or to be
  unharmed it is no more than 1 point, twice that tolerance: else a ticket that is 4 points worse than the dense network would
  match it wherever rewinding to 0 loses 16. What lies inside for half a point passes whatever is gained; the share of the gain
  counts where it surely lies between.
* **Reproduced**: all parts lie where the claim has them. **Not reproduced**: one surely does not, after Holm's correction for
  their number. **Inconclusive**: neither is shown. Either of the first two is false in at most 2.5 % of studies whose truth
  lies on the edge, in less than 6 % beside a margin, which is measured itself (`tests/test_error_rates.py`); so a verdict on
  one part is what its interval shows. t tests need normal differences: three seeds alone cannot reject without.
* **Not run** says why: *not at this scale*, *not configured*, *not measurable here*, *another network*. **Not judged**: *networks
  died*, or did *not learn* what they were to learn first. A dead network is as good as guessing: its loss is no lower, its
  accuracy less than half as high again. It is left out, as one that diverged; but a ticket that died of a perturbation, of fresh
  weights or of pruning at once was harmed, which is what claims on these ask, and its accuracy counts.
* **Readings** are what a claim may be taken to mean, each with a verdict of its own.
* A **number** may be changed, and a claim removed: `claims: {R2: {least: 1.0}, R3: null}`.
"""


def shown(value):
    """A number as YAML has it."""
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, tuple) else f"{value}"


def entry(claim):
    """One claim: what is said, and by what it is judged."""
    rows = {
        "the paper": claim.paper,
        "it holds if": claim.judged_by(),
        "in": claim.source,
        "readings": "; ".join(filter(None, claim.readings)),
        "of networks": ", ".join(claim.networks) or ", ".join(f"not {name}" for name in claim.not_networks),
        "same test as": " ".join(claim.same_as) if isinstance(claim.same_as, tuple) else claim.same_as,
        "measured in": "" if claim.unit == "points" else claim.unit.strip("()"),
        "numbers": ", ".join(f"`{name}: {shown(value)}`" for name, value in claim.numbers.items()),
        "tables": ", ".join(f"`{name}`" for name in claim.reads),
    }
    lines = [f"### {claim.id}\n", f"{claim.stated()}.\n"]
    return "\n".join([*lines, *(f"* {name}: {text}" for name, text in rows.items() if text)]) + "\n"


def page():
    """The whole page."""
    parts = [INTRODUCTION]
    for section, title in SECTIONS.items():
        parts += [f"## {title}\n", *(entry(claim) for claim in claims().values() if claim.id[0] == section)]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
