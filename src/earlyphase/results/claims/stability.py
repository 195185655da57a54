"""Measures of stability to the noise of SGD (Frankle et al. 2020)."""

from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Where
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import (
    MaybeShare,
    Share,
    by_rewind_iteration,
    dense_accuracy,
    losing_less,
    rewound_to,
    round_near,
)


@measure(reads=("stability", "imp", "dense"))
def tickets_minus_dense_by_stability(
    tables: Tables, *, stable: bool, threshold: float, density: Share, share: MaybeShare = None
) -> list[Where]:
    """Accuracy gained over the dense network by tickets of every k that is stable, or of every other.

    By the mean over seeds a k is one or the other; where that is not sure, it decides nothing.

    Args:
        stable: which of the two.
        threshold: in points; tickets of k are stable where the mean of their instability is below.
        share: of what the largest k gains over k = 0; so much is added, within seeds, so that the contrast is
            above 0 where the tickets lose less.
    """
    imp_round, instability = ticket_instability(tables, density)
    means = instability.mean()
    ks = [k for k, points in means.items() if (points < threshold) == stable]
    if not ks:
        kind = "stable" if stable else "unstable"
        raise NotRun(f"tickets of no k are {kind}; instability in points is {listed(means)}")
    accuracy, dense = by_rewind_iteration(tables, imp_round), dense_accuracy(tables)
    found = []
    for k in ks:
        above = losing_less(rewound_to(accuracy, k) - dense, f"k = {k:,} minus dense", share, accuracy)
        room = threshold - instability[k] if stable else instability[k] - threshold
        kind = f"instability {means[k]:.1f} is {'below' if stable else 'above'} {threshold:g} points"
        found.append(Where(above, room.rename(kind)))
    return found


def ticket_instability(tables: Tables, density: float) -> tuple[int, DataFrame]:
    """The round near a density, and the instability of its tickets in points, (seeds, ks)."""
    if "stability" not in tables or (tickets := tables["stability"].query("round > 0")).empty:
        raise NotRun("no two copies of a ticket were trained with different orders of the data")
    imp_round = round_near(tickets, density)
    chosen = tickets[tickets["round"] == imp_round]
    return imp_round, POINTS * chosen.pivot(index="seed", columns="k", values="instability")


def listed(instability: Series) -> str:
    """Write the instability of each k."""
    return ", ".join(f"{points:.1f} at k = {k:,}" for k, points in instability.items())
