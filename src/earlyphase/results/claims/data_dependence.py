"""Claims on what the early phase needs from the data: the paper's Figures 9 and 10."""

from dataclasses import dataclass
from math import log
from typing import Annotated

from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import NOT_LEARNED, NOT_MEASURABLE, Measured, NotRun
from earlyphase.results.claims.evidence import Contrast, Lies, Margin, Quantity
from earlyphase.results.claims.network import PAPER_DENSITY, Network, Tickets, round_near, shared_round
from earlyphase.results.claims.numbers import Points, Share
from earlyphase.results.pretraining import FIRST, is_control
from earlyphase.results.summaries import NETWORK, last_evaluations

EPOCH = 391  # iterations, in the paper's data and batch
CONTROL = "the own task"


@dataclass(frozen=True)
class Pretrained:
    """Tickets whose dense network learned something else first, of one round.

    Attributes:
        accuracy: (seeds, durations in iterations), in points.
        tickets: those of the same round that did not.
    """

    name: str
    accuracy: DataFrame
    tickets: Tickets

    @property
    def longest(self) -> int:
        """The longest duration, which stands for the paper's 40 epochs."""
        return int(self.accuracy.columns.max())

    def of(self, duration: int) -> Series:
        """Accuracy by seed after pretraining for so many iterations."""
        if duration not in self.accuracy:
            raise NotRun(f"{self.name} was not run for {duration:,} iterations")
        return self.accuracy[duration]

    def places(self, duration: int) -> dict[str, object]:
        """What a statement names."""
        return {"duration": f"{duration:,} iterations", "density": self.tickets.density}


def pretrained(network: Network, name: str, imp_round: int | None = None) -> Pretrained:
    """Tickets after a pretraining; `CONTROL` is the one on the run's own task, for longer.

    They are compared at the paper's density, in a short study at the sparsest that all such networks have, or in
    the round `imp_round`.
    """
    runs = network.results(
        "pretrained_imp", [*FIRST, "round", "seed"], "no network was pretrained and pruned"
    )
    if imp_round is None:
        imp_round = compared_round(network, runs, FIRST)
    control = name == CONTROL
    own = runs[is_control(runs)] if control else runs[runs["pretraining"] == name]
    own = own[own["round"] == imp_round]
    if own.empty:
        raise NotRun(f"no network was pretrained on {name} and pruned to round {imp_round}")
    accuracy = own.pivot_table(
        index="seed", columns="pretraining_iterations", values="accuracy", dropna=False
    )
    return Pretrained(name, accuracy, network.tickets(imp_round=imp_round))


def compared_round(network: Network, runs: DataFrame, by: list[str]) -> int:
    """The round at which `runs` are compared, which the columns `by` tell apart: see `pretrained`."""
    if network.full:
        return round_near(runs, PAPER_DENSITY)
    return shared_round(runs, by, "there is no round that all such networks have")


def over_0(first: Pretrained, duration: int) -> tuple[str, Series]:
    """What a pretraining gains over rewinding to 0, named."""
    place = f"{first.name} for {duration:,} at {first.tickets.density:.1%}"
    return f"{place} minus rewinding to 0", first.of(duration) - first.tickets.of(0)


def no_better_than_0(network: Network, name: str, share: Share, margin: Points) -> Measured:
    """Every duration of a pretraining gains less over rewinding to 0 than the margin."""
    first = pretrained(network, name)
    k = network.late(first.tickets)
    nothing = Margin(margin, gain=first.tickets.of(k) - first.tickets.of(0), share=share)
    found = [Contrast(*over_0(first, each), "not better", margin=nothing) for each in first.accuracy]
    return Measured(found, k=k, **first.places(first.longest))


def must_have_learned(network: Network, name: str) -> None:
    """Raise `NotRun` unless every seed's loss on the random labels themselves fell below that of guessing."""
    runs = network.table("pretraining", "the first phase was not evaluated")
    last = last_evaluations(runs[runs["pretraining"] == name], [*NETWORK, *FIRST, "seed"])
    if "training_loss" not in last or "classes" not in network.facts:
        raise NotRun("whether the random labels were learned was not measured", NOT_MEASURABLE)
    guessing = log(network.facts["classes"])
    if not (last["training_loss"] < guessing).all():
        highest = last["training_loss"].max()
        raise NotRun(
            f"the loss on the random labels ends at {highest:.3f}, guessing has {guessing:.3f}", NOT_LEARNED
        )


OWN_RATE = "the run's own learning rate"


@claim(
    statement="Pretraining on random labels for {duration} does nothing: its tickets are as good as those rewound to 0, at "
    "{density:.1%} of the weights",
    paper="up to 10 epochs as rewinding to 0, worse after 40 (from the paper; numbers recollected)",
    criterion="the labels are learned, that is their loss falls below that of guessing; then every duration, in the paper's "
    "network up to {up_to} epochs, differs from rewinding to 0 by less than the margin, and in the paper's network longer "
    "ones are worse",
    source="Figure 9, upper left",
    reads=("pretraining", "pretrained_imp", "imp"),
    readings=("the run's own learning rate", "a rate at which they are learned"),
    places={"duration": "up to 10 epochs", "density": 0.262},
)
def D1(
    network: Network, *, reading: str, pretraining: str = "random_labels", at_lower_rate: str = "random_labels_slow",
    up_to: Annotated[float, {"minimum": 0}] = 10, margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """No use is told apart from harm."""
    name = pretraining if reading == OWN_RATE else at_lower_rate
    first = pretrained(network, name)
    must_have_learned(network, name)
    nothing = network.matching(first.tickets, margin, most)
    sides = ("harmful", "no effect", "of use")
    brief = [each for each in first.accuracy if each <= up_to * EPOCH or not network.full]
    found: list[Quantity] = [
        Contrast(*over_0(first, each), "as good", margin=nothing, sides=sides) for each in brief
    ]
    found += [Contrast(*over_0(first, each), "below") for each in first.accuracy if each not in brief]
    return Measured(found, **first.places(max(brief, default=first.longest)))


def as_good(network: Network, name: str, reading: str, margin: Points, most: Points) -> Measured:
    """The longest pretraining beside rewinding to k, or beside as long a training on the run's own task."""
    first = pretrained(network, name)
    tickets, duration = first.tickets, first.longest
    k = network.late(tickets)
    longer = reading == LONGER
    other = pretrained(network, CONTROL).of(duration) if longer else tickets.of(k)
    label = f"{name} for {duration:,} minus {'the own task for as long' if longer else f'rewinding to {k:,}'}"
    nothing = network.matching(tickets, margin, most)
    found = Contrast(label, first.of(duration) - other, "not worse", margin=nothing)
    return Measured([found], k=k, **first.places(duration))


LONGER = "the run's own task for as long"


@claim(
    statement="Pretraining on rotation for {duration} gives tickets as good as rewinding to k = {k:,}, at {density:.1%} of the "
    "weights",
    paper="after 40 epochs as k = 500 (from the paper; numbers recollected)",
    criterion="after the longest pretraining tickets are less than the margin below those rewound to k; in the other reading, "
    "below those of a network trained on its own task for as long first",
    source="Figure 9, upper right",
    reads=("pretrained_imp", "imp"),
    readings=("rewinding to k", "the run's own task for as long"),
    places={"duration": "40 epochs", "k": 500, "density": 0.262},
)
def D2(
    network: Network, *, reading: str, pretraining: str = "rotation", margin: Points = 0.5, most: Points = 1.0
) -> Measured:
    """Rotation beside what it is to replace, and beside longer training."""
    return as_good(network, pretraining, reading, margin, most)


@claim(
    statement="Labels speed up the early phase by an order of magnitude: k = {k:,} suffices, but of pretraining on rotation "
    "no less than {duration}",
    paper="40 epochs of rotation against 1.25 with labels (from the paper; numbers recollected)",
    criterion="with labels the first k whose tickets are as good as those of late rewinding; pretraining shorter than {times:g} "
    "times that is worse than it, and the longest as good",
    source="Figure 9, upper right",
    reads=("pretrained_imp", "imp"),
    places={"duration": "40 epochs", "k": 500},
)
def D3(
    network: Network, *, pretraining: str = "rotation", times: Annotated[float, {"minimum": 1}] = 10,
    margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """The first k that suffices, and how long pretraining takes for the same."""
    first = pretrained(network, pretraining)
    tickets = first.tickets
    late, nothing = network.late(tickets), network.matching(first.tickets, margin, most)

    def beside_late(name: str, accuracy: Series, lies: Lies) -> Contrast:
        return Contrast(
            f"{name} minus rewinding to {late:,}", accuracy - tickets.of(late), lies, margin=nothing
        )

    earlier = {
        k: beside_late(f"rewinding to {k:,}", tickets.of(k), "not worse")
        for k in tickets.accuracy
        if 0 < k < late
    }
    k = min((each for each, one in earlier.items() if one.evidence("points").inside), default=late)
    brief = [each for each in first.accuracy if each < times * k]
    if not brief or first.longest < times * k:
        raise NotRun(
            f"pretraining must be run for less and for more than {times:g} times k, {times * k:,g} iterations"
        )
    found: list[Quantity] = [earlier[k]] if k in earlier else []
    found += [beside_late(f"{pretraining} for {each:,}", first.of(each), "worse") for each in brief]
    found.append(beside_late(f"{pretraining} for {first.longest:,}", first.of(first.longest), "not worse"))
    return Measured(found, k=k, duration=f"{times * k:,g} iterations")


@claim(
    statement="Pretraining on blurred images with their labels for {duration} gives tickets as good as rewinding to k = {k:,}, "
    "at {density:.1%} of the weights",
    paper="about as k = 500 after 40 epochs (from the paper in kind; numbers recollected)",
    criterion="after the longest pretraining tickets are less than the margin below those rewound to k; in the other reading, "
    "below those of a network trained on its own task for as long first",
    source="Figure 9, lower left",
    reads=("pretrained_imp", "imp"),
    readings=("rewinding to k", "the run's own task for as long"),
    places={"duration": "40 epochs", "k": 500, "density": 0.262},
)
def D4(
    network: Network, *, reading: str, pretraining: str = "blur", margin: Points = 0.5, most: Points = 1.0
) -> Measured:
    """Blur beside what it is to replace, and beside longer training."""
    return as_good(network, pretraining, reading, margin, most)


@claim(
    statement="Pretraining on blurred rotation for {duration} gains less than {share:.0%} of what rewinding to k = {k:,} gains "
    "over rewinding to 0, at {density:.1%} of the weights",
    paper="as rewinding to 0 in ResNet-20, however long (recollected)",
    criterion="every duration gains less than the margin over rewinding to 0: {share:.0%} of what rewinding to k gains, "
    "{margin} points at least",
    source="Figure 9, lower right",
    reads=("pretrained_imp", "imp"),
    not_networks=("vgg",),  # of which the next claim says the opposite
    places={"duration": "any time", "k": 500, "density": 0.262},
)
def D5(
    network: Network, *, pretraining: str = "blur_rotation", share: Share = 0.25, margin: Points = 0.5
) -> Measured:
    """Blurred rotation beside rewinding to 0."""
    return no_better_than_0(network, pretraining, share, margin)


@claim(
    statement="But in VGG-13 pretraining on blurred rotation for {duration} is better than rewinding to 0, at {density:.1%} of "
    "the weights",
    paper="better than rewinding to 0 in VGG-13 (recollected)",
    criterion="after the longest pretraining tickets are more accurate than those rewound to 0",
    source="Figure A9",
    reads=("pretrained_imp", "imp"),
    networks=("vgg",),
    places={"duration": "any time", "density": 0.262},
)
def D6(network: Network, *, pretraining: str = "blur_rotation") -> Measured:
    """Blurred rotation beside rewinding to 0."""
    first = pretrained(network, pretraining)
    return Measured([Contrast(*over_0(first, first.longest))], **first.places(first.longest))


def sparse(network: Network, name: str) -> tuple[DataFrame, Tickets, int, int]:
    """Accuracy of tickets after the longest pretraining `name` while sparse, (seeds, tickets).

    Returns:
        It; the tickets of the same round that were not pretrained; the k whose masks these have; and the duration.
    """
    by = [*FIRST, "k", "round", "perturbation"]
    runs = network.results("pretrained_tickets", [*by, "seed"], "no ticket was pretrained")
    if (runs := runs[runs["pretraining"] == name]).empty:
        raise NotRun(f"no ticket was pretrained on {name}")
    k, duration = int(runs["k"].max()), int(runs["pretraining_iterations"].max())
    runs = runs[(runs["pretraining_iterations"] == duration) & (runs["k"] == k)]
    imp_round = compared_round(network, runs, ["perturbation"])
    accuracy = runs[runs["round"] == imp_round].pivot(index="seed", columns="perturbation", values="accuracy")
    return accuracy, network.tickets(imp_round=imp_round), k, duration


def of_ticket(accuracy: DataFrame, name: str) -> Series:
    """The column of `accuracy` of one ticket."""
    if name not in accuracy:
        raise NotRun(f"the ticket {name} was not pretrained")
    return accuracy[name]


@claim(
    statement="Pretraining a network that is sparse already, on rotation for {duration}, gains less than {share:.0%} of what "
    "rewinding to k = {k:,} gains over rewinding to 0, whatever its mask, at {density:.1%} of the weights",
    paper="no better than rewinding to 0 after 40 epochs (from the paper; numbers recollected)",
    criterion="each ticket gains less than the margin over rewinding to 0: {share:.0%} of what rewinding to k gains, {margin} "
    "points at least",
    source="Figure 10",
    reads=("pretrained_tickets", "imp", "perturbed"),
    readings=("own masks", "masks of k"),
    places={"duration": "40 epochs", "k": 500, "density": 0.262},
)
def D7(
    network: Network, *, reading: str, pretraining: str = "rotation",
    tickets: tuple[str, ...] = (
        "rewind", "reinitialised", "random_mask", "rewind_to_0", "reinitialised_from_0", "random_mask_from_0",
    ),
    share: Share = 0.25, margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """Each ticket beside rewinding to 0."""
    accuracy, whole, k, duration = sparse(network, pretraining)
    early = network.rewound_to_0(k, whole.round, reading)
    nothing = Margin(margin, gain=whole.of(k) - early, share=share)
    label = f"{{}} minus rewinding to 0 ({reading})"
    found = [
        Contrast(label.format(name), of_ticket(accuracy, name) - early, "not better", margin=nothing)
        for name in tickets
    ]
    return Measured(found, k=k, duration=f"{duration:,} iterations", density=whole.density)


@claim(
    statement="And it hurts a ticket that was at k = {k:,}: {duration} of rotation, at {density:.1%} of the weights",
    paper="below the ticket of k = 500 that is not pretrained (recollected)",
    criterion="the ticket of k is less accurate if it is pretrained",
    source="Figure 10",
    reads=("pretrained_tickets", "imp"),
    places={"duration": "40 epochs", "k": 500, "density": 0.262},
)
def D8(network: Network, *, pretraining: str = "rotation", ticket: str = "rewind") -> Measured:
    """The ticket with and without pretraining."""
    accuracy, whole, k, duration = sparse(network, pretraining)
    difference = of_ticket(accuracy, ticket) - whole.of(k)
    found = Contrast(f"pretrained ticket of k = {k:,} minus the ticket", difference, "below")
    return Measured([found], k=k, duration=f"{duration:,} iterations", density=whole.density)


@claim(
    statement="Pretraining on rotation for {duration} stands in for the early phase under a mask found after it, not under one "
    "found before, at {density:.1%} of the weights",
    paper="the conclusion from Figures 9 and 10 (from the paper in kind; no number)",
    criterion="from iteration 0, pretraining before the mask is found gains more than {least} points over as long a pretraining "
    "under a mask that was found without",
    source="Figures 9 and 10",
    reads=("pretrained_tickets", "pretrained_imp", "imp"),
    places={"duration": "40 epochs", "density": 0.262},
)
def D9(
    network: Network, *, pretraining: str = "rotation", ticket: str = "rewind_to_0", least: Points = 0.5
) -> Measured:
    """Pretrained while dense beside pretrained while sparse, of as many weights."""
    accuracy, whole, k, duration = sparse(network, pretraining)
    dense = pretrained(network, pretraining, whole.round)
    label = f"pretrained for {duration:,} while dense, minus under the mask of k = {k:,}"
    difference = dense.of(duration) - of_ticket(accuracy, ticket)
    return Measured([Contrast(label, difference, edge=least)], **dense.places(duration))
