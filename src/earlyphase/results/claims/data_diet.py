"""Claims on which images the early phase needs: Paul et al. 2022, "Lottery Tickets on a Data Diet"."""

from pandas import DataFrame

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.data_dependence import compared_round
from earlyphase.results.claims.evidence import Contrast
from earlyphase.results.claims.network import Network, Points, Tickets, listed
from earlyphase.results.pretraining import FIRST

SOURCE, READS = "Paul et al. 2022, abstract", ("diet_imp", "imp")


def on_a_diet(network: Network, *names: str) -> tuple[list[DataFrame], Tickets]:
    """Accuracy in points, (seeds, ks), of tickets that saw each of these shares of the images until k.

    All are of the sparsest round that every share has, and with them the tickets of that round which saw all
    images. Their ks are those that both have.
    """
    runs = network.results(
        "diet_imp", [*FIRST, "round", "seed"], "no network saw a share of the images first"
    )
    imp_round = compared_round(network, runs, FIRST)
    runs, tickets = runs[runs["round"] == imp_round], network.tickets(imp_round=imp_round)
    accuracies = []
    for name in names:
        own = runs[(runs["pretraining"] == name) & runs["pretraining_iterations"].isin(tickets.accuracy)]
        if own.empty:
            raise NotRun(f"no network saw {name} until a k to which rounds rewind")
        accuracies.append(own.pivot(index="seed", columns="pretraining_iterations", values="accuracy"))
    return accuracies, tickets


@claim(
    statement="A random share of the images until k = {k} gives tickets as good as all images, at "
    "{density:.1%} of the weights",
    paper="as good at the same k (from the abstract)",
    criterion="at every k that was run tickets are less than the margin below those of all images",
    source=SOURCE,
    reads=READS,
    places={"k": "some hundred", "density": 0.168},
)
def D10(network: Network, *, pretraining: str = "random_eighth", margin: Points = 1.0) -> Measured:
    """The random share beside all images."""
    (random,), tickets = on_a_diet(network, pretraining)
    nothing = network.matching(tickets, margin)
    contrasts = [
        Contrast(
            f"{pretraining} until {k:,} minus all images",
            random[k] - tickets.of(k),
            "not worse",
            margin=nothing,
        )
        for k in random
    ]
    return Measured(contrasts, k=listed(list(random)), density=tickets.density)


@claim(
    statement="Easy images alone need fewer iterations: until k = {k:,} they give better tickets than all "
    "images and than a random share, at {density:.1%} of the weights",
    paper="fewer iterations than with all images or a random share (from the abstract)",
    criterion="at the smallest k of all three, tickets of the easy share are more accurate than either",
    source=SOURCE,
    reads=READS,
    places={"k": 100, "density": 0.168},
)
def D11(network: Network, *, pretraining: str = "easy_eighth", beside: str = "random_eighth") -> Measured:
    """The easy share beside both, where k is too small for all images."""
    (easy, random), tickets = on_a_diet(network, pretraining, beside)
    if (shared := easy.columns.intersection(random.columns)).empty:
        raise NotRun(f"there is no k until which both {pretraining} and {beside} were shown")
    k = int(min(shared))
    contrasts = [
        Contrast(f"{pretraining} until {k:,} minus {name}", easy[k] - other)
        for name, other in (("all images", tickets.of(k)), (beside, random[k]))
    ]
    return Measured(contrasts, k=k, density=tickets.density)
