"""Claims of what followed the paper, on noise and on the lines between trained networks."""

from earlyphase.registry import claim
from earlyphase.results.claims.claim import NOT_MEASURABLE, Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.network import Network, Points, Share, listed, round_near
from earlyphase.results.claims.rewinding import REWOUND, SPARSE

CONNECTED = "rounds without a barrier match"
EARLY, LATE = "early", "late"


@claim(
    statement="A ticket does not need the order of the data that found it: rewound to k = {k}, it is as "
    "accurate under another one, at {density:.1%} of the weights",
    paper="no claim of the paper; tickets that match are stable to the order (Frankle et al. 2020), so that "
    "they should not need theirs",
    criterion="under another order from k on the same ticket is less than the margin below its accuracy "
    "under the order of the rounds that found it",
    source="Frankle et al. 2020",
    reads=("stability", "imp"),
    readings=REWOUND,
    places=SPARSE,
)
def N1(network: Network, reading: str, *, density: Share = 0.168, margin: Points = 1.0) -> Measured:
    """The second child of a ticket's pair minus the first, which is the ticket as it was found."""
    pairs = network.table("stability", "no ticket was trained under another order of the data")
    if (pairs := pairs[pairs["round"] > 0]).empty:
        raise NotRun("no ticket was trained under another order of the data")
    pairs = pairs[pairs["round"] == round_near(pairs, density)]
    k = 0 if reading == REWOUND[0] else int(pairs["k"].max())
    if k not in set(pairs["k"]) or (k == 0) != (reading == REWOUND[0]):
        raise NotRun(f"no ticket {reading} was trained under another order of the data")
    own = pairs[(pairs["k"] == k) & pairs["instability"].notna()].set_index("seed")
    tickets = network.tickets(density)
    gap = POINTS * (own["second_accuracy"] - own["first_accuracy"])
    name = f"another order minus its own at k = {k:,}"
    contrast = Contrast(name, gap, "not worse", margin=network.matching(tickets, margin))
    return Measured([contrast], k=k, density=tickets.density)


@claim(
    statement="The ticket of a round matches the dense network where no barrier parts it from the ticket of "
    "the round before, and only there (k = {k}, {rounds} rounds)",
    paper="a round of pruning matches if and only if its ticket is linearly connected to that of the round "
    "before (Paul et al. 2023, recollected)",
    criterion="every round whose barrier to the one before is below {threshold} points matches the dense "
    "network; in the other reading, every round behind a higher barrier falls short of it by more than the "
    "margin. By its mean over seeds a round is one or the other; where that is not sure, it decides nothing",
    source="Paul et al. 2023",
    reads=("consecutive", "imp", "dense"),
    readings=(CONNECTED, "rounds behind a barrier do not"),
    places={"k": "0 and late", "rounds": "all"},
)
def N2(network: Network, reading: str, *, threshold: Points = 2.0, margin: Points = 1.0) -> Measured:
    """Every round of every k that is measured."""
    pairs = network.table("consecutive", "no line between tickets of consecutive rounds was measured")
    connected, contrasts, ks = reading == CONNECTED, [], set()
    for number, at_round in pairs.groupby("round"):
        tickets = network.tickets(imp_round=number)
        for k, barrier in (POINTS * at_round.pivot(index="seed", columns="k", values="barrier")).items():
            if (barrier.mean() < threshold) != connected:
                continue
            side, lies = ("below", "not worse") if connected else ("above", "worse")
            name = f"barrier before round {number} at k = {k:,} is {side} {threshold:g}"
            sure = Contrast(name, barrier, side, edge=threshold)
            nothing = network.matching(tickets, margin)
            gap = tickets.of(k) - network.dense()
            contrasts.append(
                Contrast(f"round {number} of k = {k:,} minus dense", gap, lies, margin=nothing, given=(sure,))
            )
            ks.add(k)
    if not contrasts:
        raise NotRun(f"{'every' if not connected else 'no'} round is connected to the one before")
    return Measured(contrasts, k=listed(sorted(ks)), rounds=len(contrasts))


@claim(
    statement="A change as small as one weight parts the dense network from its unchanged run where it is "
    "made early, and not where late (k = {k})",
    paper="a single weight reliably parts two trainings where it is changed early, and not where late",
    criterion="with the same noise, the barrier between the changed run and the unchanged one is above "
    "{threshold} points for every change at the smallest k; in the other reading, below them for `{change}` "
    "at the largest k",
    source="Kwok et al. 2025",
    reads=("butterfly",),
    readings=(EARLY, LATE),
    places={"k": "0, or late"},
)
def N3(network: Network, reading: str, *, change: str = "one_weight", threshold: Points = 2.0) -> Measured:
    """Every change at the smallest k, or one change at the largest."""
    runs = network.table("butterfly", "no small change of the dense network was trained on")
    ks = sorted(runs["k"].unique())
    if len(ks) < 2:
        raise NotRun("two k are needed, an early and a late one")
    k = ks[0] if reading == EARLY else ks[-1]
    barriers = POINTS * runs[runs["k"] == k].pivot(index="seed", columns="perturbation", values="barrier")
    if change not in barriers:
        raise NotRun(f"{change} was not applied to the dense network")
    lies, names = ("above", list(barriers)) if reading == EARLY else ("below", [change])
    contrasts = [
        Contrast(f"barrier after {one} at k = {k:,}", barriers[one], lies, edge=threshold) for one in names
    ]
    return Measured(contrasts, k=k)


@claim(
    statement="Only symmetry parts two trainings from k = {k}: with channels renamed there is no barrier",
    paper="of independent networks: connected up to a permutation of channels (conjectured by Entezari et "
    "al. 2021), so found in wide ones (Ainsworth et al. 2022), and nearer to it with statistics renewed "
    "(Jordan et al. 2022); recollected",
    criterion="after `{change}` at the smallest k, the barrier to the unchanged run, with the channels of "
    "one renamed to bring it near the other, and statistics estimated anew, is below {threshold} points; "
    "where it is not sure that without renaming it is above them, nothing is decided",
    source="Entezari et al. 2021; Ainsworth et al. 2022; Jordan et al. 2022",
    reads=("butterfly",),
    places={"k": "0"},
)
def N4(network: Network, *, change: str = "one_weight", threshold: Points = 2.0) -> Measured:
    """The barrier after a change at the smallest k, as it is and with channels renamed."""
    runs = network.table("butterfly", "no small change of the dense network was trained on")
    if runs["aligned_barrier"].isna().all():
        raise NotRun("channels of this network are not known", NOT_MEASURABLE)
    k = int(runs["k"].min())
    chosen = runs[(runs["k"] == k) & (runs["perturbation"] == change)]
    if chosen.empty:
        raise NotRun(f"{change} was not applied to the dense network at k = {k:,}")
    own = POINTS * chosen.set_index("seed")[["barrier", "aligned_barrier"]]
    parted = Contrast("barrier as they are", own["barrier"], "above", edge=threshold)
    aligned = Contrast(
        "barrier with channels renamed", own["aligned_barrier"], "below", edge=threshold, given=(parted,)
    )
    return Measured([aligned], k=k)
