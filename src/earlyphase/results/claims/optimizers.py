"""Claims on Adam, on warm-up and on ways to retrain (Frankle & Carbin 2019; Renda, Frankle & Carbin 2020)."""

from pandas import DataFrame

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import Contrast
from earlyphase.results.claims.network import Network, Points, Share, Tickets, listed, round_near
from earlyphase.results.claims.rewinding import minus_dense

MATCHES, HELPS = "tickets match", "more than without it"  # of warm-up
LEARNING_RATE, FINE_TUNING = "learning_rate_rewinding", "fine_tuning"  # criteria, by their names
WEIGHTS, RATES = "weight rewinding", "learning-rate rewinding"


@claim(
    statement="Trained with Adam, a ticket rewound to k = 0 matches the dense network, at {density:.1%} of "
    "the weights",
    paper="LeNet-300-100 and Conv-2: tickets at about a fifth of the weights are more accurate than the "
    "dense network (recollected)",
    criterion="its accuracy is less than the margin below that of the dense network",
    source="Frankle & Carbin 2019, Figures 3 and 5",
    reads=("imp", "dense"),
    networks=("lenet_300_100", "conv"),
    places={"density": 0.211},
)
def O1(
    network: Network, *, density: Share = 0.168, margin: Points = 1.0, optimizer: str = "adam"
) -> Measured:
    """The tickets of k = 0; that they do better than fresh weights, `R7` asks."""
    if network.facts.get("optimizer") != optimizer:
        raise NotRun(f"it was not trained with {optimizer}")
    tickets = network.tickets(density)
    return Measured([minus_dense(network, tickets, 0, margin)], density=tickets.density)


@claim(
    statement="With a warm-up of the learning rate, a ticket rewound to k = 0 matches the dense network, "
    "at {density:.1%} of the weights",
    paper="with a warm-up rewinding to 0 finds winning tickets in VGG-19 and a ResNet, without it, at the "
    "usual learning rate, none (recollected)",
    criterion="its accuracy is less than the margin below that of the dense network; in the other reading, "
    "its accuracy minus that of the dense network is more than {least} points higher than in a network that "
    "is trained without the warm-up and differs in nothing else",
    source="Frankle & Carbin 2019, section 4",
    reads=("imp", "dense"),
    readings=(MATCHES, HELPS),
)
def O2(
    network: Network, reading: str, *, density: Share = 0.168, margin: Points = 1.0, least: Points = 0.5
) -> Measured:
    """The tickets of k = 0, in a network with a warm-up, and beside the same without it."""
    if not network.facts.get("warmup"):
        raise NotRun("its learning rate has no warm-up")
    tickets = network.tickets(density)
    own = minus_dense(network, tickets, 0, margin)
    if reading == MATCHES:
        return Measured([own], density=tickets.density)
    if not (model := network.facts.get("without_warmup")):
        raise NotRun("no network without the warm-up, and otherwise the same, was trained on these data")
    plain = network.other(model)
    gained = own.values - (plain.tickets(density).of(0) - plain.dense())
    name = f"k = 0 minus dense, minus the same in {model}"
    return Measured([Contrast(name, gained, edge=least)], density=tickets.density)


def retrained(network: Network, way: str, density: float) -> tuple[Tickets, DataFrame]:
    """Tickets that were rewound, and accuracies (seeds, ks) of those that another way retrained as long."""
    missing = f"no chain was retrained by {way.replace('_', ' ')}"
    chains = network.results("criteria", ["seed", "criterion", "k", "round"], missing)
    if (chains := chains[chains["criterion"] == way]).empty:
        raise NotRun(missing)
    number = round_near(chains, density)
    others = chains[chains["round"] == number].pivot(index="seed", columns="k", values="accuracy")
    tickets = network.tickets(imp_round=number)
    if not (shared := [k for k in others if k in tickets.accuracy]):
        raise NotRun(f"{missing} for a k that weights were rewound to")
    return tickets, others[shared]


@claim(
    statement="Learning-rate rewinding is as accurate as weight rewinding, at {density:.1%} of the weights, "
    "each retrained from k = {ks} to the end",
    paper="it matches weight rewinding or exceeds it in all networks (recollected)",
    criterion="at every k, so at every length of retraining, it is less than the margin less accurate",
    source="Renda, Frankle & Carbin 2020",
    reads=("imp", "criteria"),
    places={"ks": "any k"},
)
def O3(network: Network, *, density: Share = 0.168, margin: Points = 1.0) -> Measured:
    """Trained weights under the learning rates from k on, minus the weights of k under the same."""
    tickets, rates = retrained(network, LEARNING_RATE, density)
    nothing = network.matching(tickets, margin)
    contrasts = [
        Contrast(
            f"{RATES} minus {WEIGHTS} from k = {k:,}",
            rates[k] - tickets.of(k),
            "not worse",
            margin=nothing,
            sides=("falls short of it", "matches it", "exceeds it"),
        )
        for k in rates
    ]
    return Measured(contrasts, density=tickets.density, ks=listed(list(rates)))


@claim(
    statement="Rewinding beats fine-tuning, at {density:.1%} of the weights, each retrained for as long as "
    "from k = {ks} to the end",
    paper="both ways of rewinding outperform fine-tuning at the last learning rate (from the abstract, "
    "recollected)",
    criterion="at every k above 0, so at every such length of retraining, it is more accurate",
    source="Renda, Frankle & Carbin 2020, abstract",
    reads=("imp", "criteria"),
    readings=(WEIGHTS, RATES),
    places={"ks": "any k"},
)
def O4(network: Network, reading: str, *, density: Share = 0.168) -> Measured:
    """Either way of rewinding minus fine-tuning; at k = 0 weight rewinding is the ticket of `R2`."""
    tickets, tuned = retrained(network, FINE_TUNING, density)
    rewound = tickets.accuracy if reading == WEIGHTS else retrained(network, LEARNING_RATE, density)[1]
    if not (ks := [k for k in tuned if k > 0 and k in rewound]):
        raise NotRun(f"{reading} and fine-tuning were run for no k above 0 that they share")
    contrasts = [Contrast(f"{reading} minus fine-tuning from k = {k:,}", rewound[k] - tuned[k]) for k in ks]
    return Measured(contrasts, density=tickets.density, ks=listed(ks))
