"""From which iteration on a network is stable to the noise of SGD.

Source: Frankle, Dziugaite, Roy & Carbin 2020, "Linear mode connectivity and the lottery ticket hypothesis".
"""

from pandas import DataFrame

from earlyphase.results.summaries import nearest_round, onset, t_interval

STABLE = 0.02  # instability, a fraction of the test set: the source's threshold
RULE = (
    "from this k on, the error on the line between two copies that part at k is less than 2 points above "
    "that of its ends (95 % t interval over seeds)"
)


def stable_from(pairs: DataFrame) -> tuple[float, float]:
    """Find between which two k a network becomes stable, by `RULE`.

    Args:
        pairs: of one network, or of tickets of one round: `seed`, `k`, `instability`; a pair of which a copy
            diverged has NaN, and is in no mean, nor is one of which a copy is `dead`, where that is known.

    Returns:
        The last k at which it is not surely stable and the first from which on it is, as `onset` has them.
    """
    if "dead" in pairs:
        pairs = pairs[~pairs["dead"]]
    return onset({
        k: t_interval(at_k["instability"].dropna())[1] < STABLE  # not where there is no interval
        for k, at_k in pairs.groupby("k")
    })  # fmt: skip


def ticket_round(pairs: DataFrame, density: float = 0.8**8) -> int | None:
    """Return the round of the tickets that is nearest to a density; None where there are no tickets."""
    tickets = pairs[pairs["round"] > 0]
    return None if tickets.empty else nearest_round(tickets, density)[0]
