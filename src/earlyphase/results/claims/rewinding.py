"""Claims on tickets that rewind to k: Figure 1, lottery tickets, stability (Frankle et al.)."""

from itertools import pairwise

from pandas import DataFrame

from earlyphase.registry import claim
from earlyphase.results.claims.claim import DIED, Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast, order
from earlyphase.results.claims.network import Network, Points, Share, Tickets, listed, round_near

SPARSE = {"k": "0 or late", "density": 0.086}  # where nothing was measured
REWOUND = ("rewound to 0", "rewound late")  # large networks have no ticket at 0, unless the rate is low
STABLE = "stable tickets match"


def minus_dense(network: Network, tickets: Tickets, k: int, margin: float) -> Contrast:
    """The tickets of k minus the dense network, which they match if they are not worse."""
    return Contrast(
        f"k = {k:,} minus dense",
        tickets.of(k) - network.dense(),
        "not worse",
        margin=network.matching(tickets, margin),
        sides=("falls short of the dense network", "matches it", "exceeds it"),
    )


@claim(
    statement="A ticket rewound to k = {k} matches the dense network at {density:.1%} of the weights",
    paper="k = 500 and above: no visible gap at 16.8 % of the weights (from the paper)",
    criterion="its accuracy is less than the margin below that of the dense network; in a study that is "
    "not of the paper's length the largest k stands for late rewinding",
    source="Figure 1",
    reads=("imp", "dense"),
)
def R1(network: Network, *, k: int = 500, density: Share = 0.168, margin: Points = 1.0) -> Measured:
    """Every k from the paper's 500 on or, in a short study, the largest."""
    tickets = network.tickets(density)
    ks = [each for each in tickets.accuracy if each >= k] if network.full else [tickets.latest]
    if not ks:
        raise NotRun(f"no k from {k:,} on was run")
    contrasts = [minus_dense(network, tickets, each, margin) for each in ks]
    return Measured(contrasts, k=listed(ks), density=tickets.density)


@claim(
    statement="A ticket rewound to 0 does not: k = {k:,} is clearly more accurate, at {density:.1%} of the "
    "weights",
    paper="k = 0 clearly below k = 500 at 16.8 % of the weights (from the paper), by 1.5 to 3 points "
    "(recollected)",
    criterion="late rewinding gains more than {least} points over rewinding to 0, and rewinding to 0 falls "
    "short of the dense network by more than the margin",
    source="Figure 1",
    reads=("imp", "dense"),
    places={"k": 500},
)
def R2(network: Network, *, density: Share = 0.168, least: Points = 0.5, margin: Points = 1.0) -> Measured:
    """What late rewinding gains over 0, and 0 beside the dense network."""
    tickets = network.tickets(density)
    k, nothing = network.late(tickets), network.matching(tickets, margin)
    gained = Contrast(f"k = {k:,} minus k = 0", tickets.of(k) - tickets.of(0), edge=least)
    short = Contrast("k = 0 minus dense", tickets.of(0) - network.dense(), "worse", margin=nothing)
    return Measured([gained, short], k=k, density=tickets.density)


@claim(
    statement="Rewinding to k = {late:,} gains nothing over k = {k:,}, at {density:.1%} of the weights",
    paper="k = 4,000 as good as k = 2,000 (from the paper's text; no figure)",
    criterion="of the two largest k, of which the smaller matches the dense network already, the larger "
    "gains less than the margin",
    source="Section 3",
    reads=("imp", "dense"),
    places={"k": 2000, "late": 4000},
)
def R3(network: Network, *, density: Share = 0.168, margin: Points = 1.0) -> Measured:
    """The two largest k, where the smaller is past the one from which on tickets match."""
    tickets = network.tickets(density)
    ks = sorted(each for each in tickets.accuracy if each > 0)
    if len(ks) < 2:
        raise NotRun("two k above 0 are needed")
    k, late = ks[-2:]
    matches = minus_dense(network, tickets, k, margin)
    contrasts = matches.evidence("points")
    if contrasts.tested and not contrasts.inside:
        raise NotRun(
            f"k = {late:,} lies past no k whose tickets match the dense network: those of {k:,} do not"
        )
    difference, nothing = tickets.of(late) - tickets.of(k), network.matching(tickets, margin)
    gained = Contrast(
        f"k = {late:,} minus k = {k:,}", difference, "not better", margin=nothing, given=(matches,)
    )
    return Measured([gained], k=k, late=late, density=tickets.density)


@claim(
    statement="The later the k, of {ks}, the more accurate the ticket, up to a plateau, at {density:.1%} "
    "of the weights",
    paper="accuracy ordered by k, up to 2,000 (recollected)",
    criterion="the rank correlation of accuracy with k within seeds is positive on average, and no k is "
    "worse than the one before it by the margin",
    source="Figure 1",
    reads=("imp",),
    places={"ks": "0 to 2,000"},
)
def R4(network: Network, *, density: Share = 0.168, margin: Points = 1.0) -> Measured:
    """The order over all k, and each step."""
    tickets = network.tickets(density)
    ks, nothing = sorted(tickets.accuracy), network.matching(tickets, margin)
    if len(ks) < 3:
        raise NotRun(f"an order over k needs three k; {len(ks)} were run to this density")
    steps = [
        Contrast(
            f"k = {after:,} minus k = {before:,}",
            tickets.of(after) - tickets.of(before),
            "not worse",
            margin=nothing,
        )
        for before, after in pairwise(ks)
    ]
    return Measured([order(tickets.accuracy[ks]), *steps], ks=listed(ks), density=tickets.density)


@claim(
    statement="At {density:.1%} of the weights, rewinding to k = {k:,} still trains far better than "
    "rewinding to 0",
    paper="k = 500 trains well above 90 % sparsity (from the paper, without a number)",
    criterion="in the first round below {below:.0%} of the weights late rewinding gains more than {least} "
    "points over rewinding to 0",
    source="Figure 1",
    reads=("imp",),
    places={"k": 500, "density": 0.086},
)
def R5(network: Network, *, below: Share = 0.1, least: Points = 1.0) -> Measured:
    """What late rewinding gains over 0 where few weights are left; whether it harms, `R6` asks."""
    tickets = network.tickets(below=below)
    k = network.late(tickets)
    gained = Contrast(f"k = {k:,} minus k = 0", tickets.of(k) - tickets.of(0), edge=least)
    return Measured([gained], k=k, density=tickets.density)


@claim(
    statement="A network can lose over 90 % of its weights unharmed: {density:.1%} of them are enough, "
    "rewound to k = {k}",
    paper="over 90 % fewer parameters, no loss (Frankle & Carbin 2019)",
    criterion="in the first round below {below:.0%} of the weights the ticket is less than the margin "
    "below the dense network",
    source="Frankle & Carbin 2019",
    reads=("imp", "dense"),
    readings=REWOUND,
    places=SPARSE,
)
def R6(network: Network, reading: str, *, below: Share = 0.1, margin: Points = 1.0) -> Measured:
    """The same question as `R1` where few weights are left."""
    tickets = network.tickets(below=below)
    k = 0 if reading == REWOUND[0] else tickets.latest
    return Measured([minus_dense(network, tickets, k, margin)], k=k, density=tickets.density)


def minus_control(network: Network, control: str, reading: str) -> Measured:
    """The ticket minus a control, a perturbation, at the sparsest density at which that was run.

    Of the k that it was run for: 0, or the largest.
    """
    run = ["seed", "k", "round", "perturbation"]
    runs = network.results("perturbed", run, f"{control} was not run", harmed=True)
    early = reading == REWOUND[0]
    runs = runs[(runs["perturbation"] == control) & ((runs["k"] == 0) if early else (runs["k"] > 0))]
    if runs.empty:
        raise NotRun(f"{control} was not run for {'k = 0' if early else 'any k above 0'}")
    k = int(runs["k"].max())
    runs = runs[runs["k"] == k]
    runs = runs[runs["round"] == runs["round"].max()]
    tickets = network.tickets(imp_round=runs["round"].iloc[0])
    difference = tickets.of(k) - runs.set_index("seed")["accuracy"]
    return Measured([Contrast(f"ticket minus {control}", difference)], k=k, density=tickets.density)


@claim(
    statement="The mask of the ticket of k = {k} with fresh weights trains worse than the ticket, at "
    "{density:.1%} of the weights",
    paper="worse, the more so the sparser (recollected)",
    criterion="at the sparsest density at which fresh weights were run, the ticket is more accurate",
    source="Frankle & Carbin 2019",
    reads=("imp", "perturbed"),
    readings=REWOUND,
    places=SPARSE,
)
def R7(network: Network, reading: str, *, control: str = "reinitialised") -> Measured:
    """The ticket minus the same mask with weights drawn anew."""
    return minus_control(network, control, reading)


@claim(
    statement="Pruned at once to {density:.1%} of the weights, a network does worse than pruned in rounds, "
    "rewound to k = {k}",
    paper="one-shot below iterative (Frankle & Carbin 2019, recollected)",
    criterion="at the sparsest density at which pruning at once was run, the ticket of the rounds is more "
    "accurate",
    source="Frankle & Carbin 2019",
    reads=("imp", "perturbed"),
    readings=REWOUND,
    places=SPARSE,
)
def R8(network: Network, reading: str, *, control: str = "one_shot") -> Measured:
    """The ticket minus as many weights pruned at once."""
    return minus_control(network, control, reading)


@claim(
    statement="Tickets match the dense network where they are stable to the noise of SGD, and only there "
    "(k = {k}, at {density:.1%} of the weights)",
    paper="stable and matching from the same k on (Frankle et al. 2020, recollected)",
    criterion="every k whose instability is below {threshold} points matches the dense network; in the "
    "other reading, every k whose instability is above falls short of it by more than the margin. By its "
    "mean over seeds a k is one or the other; where that is not sure, it decides nothing",
    source="Frankle et al. 2020",
    reads=("stability", "imp", "dense"),
    readings=(STABLE, "unstable tickets do not"),
    places={"k": "from 500 on, or before"},
)
def C6(
    network: Network, reading: str, *, density: Share = 0.168, threshold: Points = 2.0, margin: Points = 1.0
) -> Measured:
    """Tickets of every k that is stable, or of every other one."""
    stable, instability = reading == STABLE, instability_of(network, density)
    if (means := instability.mean().dropna()).empty and network.died:
        raise NotRun("of every pair of tickets a copy is dead: as good as guessing", DIED)
    chosen = [k for k, points in means.items() if (points < threshold) == stable]
    if not chosen:
        known = ", ".join(f"{points:.1f} at k = {k:,}" for k, points in means.items())
        raise NotRun(f"tickets of no k are {'' if stable else 'un'}stable; instability in points is {known}")
    tickets, dense = network.tickets(density), network.dense()
    nothing, contrasts = network.matching(tickets, margin), []
    for k in chosen:
        side = "below" if stable else "above"
        sure = Contrast(
            f"instability at k = {k:,} is {side} {threshold:g}", instability[k], side, edge=threshold
        )
        gap, lies = tickets.of(k) - dense, "not worse" if stable else "worse"
        contrasts.append(Contrast(f"k = {k:,} minus dense", gap, lies, margin=nothing, given=(sure,)))
    return Measured(contrasts, k=listed(chosen), density=tickets.density)


def instability_of(network: Network, density: float) -> DataFrame:
    """Instability of the tickets near a density in points, (seeds, ks); NaN of a pair with a dead copy."""
    missing = "no two copies of a ticket were trained with different orders of the data"
    pairs = network.table("stability", missing)
    if (tickets := pairs[pairs["round"] > 0]).empty:
        raise NotRun(missing)
    chosen = tickets[tickets["round"] == round_near(tickets, density)]
    chosen = chosen.assign(instability=POINTS * network.living("stability", chosen, "instability"))
    return chosen.pivot(index="seed", columns="k", values="instability")
