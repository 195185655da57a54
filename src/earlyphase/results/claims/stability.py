"""Measures of stability to the noise of SGD (Frankle et al. 2020)."""

from pandas import Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import (
    MaybeShare,
    Share,
    by_rewind_iteration,
    dense_accuracy,
    latest,
    rewound_to,
    round_near,
)


@measure(reads=("stability", "imp", "dense"))
def tickets_minus_dense_by_stability(
    tables: Tables, *, stable: bool, threshold: float, density: Share, share: MaybeShare = None
) -> list[Contrast]:
    """Accuracy gained over the dense network by tickets of every k that is stable, or of every other.

    Args:
        stable: which of the two.
        threshold: in points; tickets of k are stable where the mean of their instability is below.
        share: of what the largest k gains over k = 0; so much is added, within seeds, so that the contrast is
            above 0 where the tickets lose less.
    """
    imp_round, instability = ticket_instability(tables, density)
    ks = [k for k, points in instability.items() if (points < threshold) == stable]
    if not ks:
        kind = "stable" if stable else "unstable"
        raise NotRun(f"tickets of no k are {kind}; instability in points is {listed(instability)}")
    accuracy, dense = by_rewind_iteration(tables, imp_round), dense_accuracy(tables)
    above = {k: rewound_to(accuracy, k) - dense for k in ks}
    label = {k: f"k = {k:,} minus dense (instability {instability[k]:.1f})" for k in ks}
    if share is None:
        return [Contrast(values.rename(label[k])) for k, values in above.items()]
    gain = rewound_to(accuracy, latest(accuracy)) - rewound_to(accuracy, 0)
    more = f"plus {share:g} of rewinding's gain"
    return [Contrast((one + share * gain).rename(f"{label[k]}, {more}"), gain) for k, one in above.items()]


def ticket_instability(tables: Tables, density: float) -> tuple[int, Series]:
    """The round near a density, and the mean instability of its tickets by k, in points."""
    if "stability" not in tables or (tickets := tables["stability"].query("round > 0")).empty:
        raise NotRun("no two copies of a ticket were trained with different orders of the data")
    imp_round = round_near(tickets, density)
    chosen = tickets[tickets["round"] == imp_round]
    return imp_round, POINTS * chosen.groupby("k")["instability"].mean()


def listed(instability: Series) -> str:
    """Write the instability of each k."""
    return ", ".join(f"{points:.1f} at k = {k:,}" for k, points in instability.items())
