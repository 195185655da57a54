"""Claims on what the early phase needs from the data: the paper's Figures 9 and 10.

In a short study the longest pretraining stands for the paper's 40 epochs, the largest k for its 500, and the
sparsest density that all compared networks have for its 26.2 %.
"""

from dataclasses import dataclass
from typing import Annotated

from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import DIED, NOT_LEARNED, NOT_MEASURABLE, Measured, NotRun
from earlyphase.results.claims.evidence import Contrast, Lies, Margin
from earlyphase.results.claims.network import (
    BASELINES,
    PAPER_DENSITY,
    Network,
    Points,
    Share,
    Tickets,
    round_near,
    shared_round,
)
from earlyphase.results.pretraining import FIRST, is_control
from earlyphase.results.summaries import NETWORK, last_evaluations

EPOCH = 391  # iterations, in the paper's data and batch
PLACES = {"duration": "40 epochs", "k": 500, "density": 0.262}  # the paper's
READS = ("pretrained_imp", "imp")
OWN_TASK = "the run's own task for as long"
BESIDE = ("rewinding to k", OWN_TASK)  # what a pretraining is to be as good as
DEAD = 0.8  # share of final features that are zero for all images, of a network that died of its first phase
LEARNED, OWN_RATE = "a rate at which they are learned", "the run's own learning rate"
AS_GOOD = (
    "after the longest pretraining tickets are less than the margin below those rewound to k; in the other "
    "reading, below those of a network that was trained on its own task for as long first"
)
LITTLE = "{share:.0%} of what rewinding to k gains over rewinding to 0, half a point at least, is more than "
"each gains"


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
        """The longest duration."""
        return int(self.accuracy.columns.max())

    def of(self, duration: int) -> Series:
        """Accuracy by seed after pretraining for so many iterations."""
        if duration not in self.accuracy:
            raise NotRun(f"{self.name} was not run for {duration:,} iterations")
        return self.accuracy[duration]

    def over_0(self, duration: int) -> tuple[str, Series]:
        """What pretraining gains over rewinding to 0, with its name."""
        place = f"{self.name} for {duration:,} at {self.tickets.density:.1%}"
        return f"{place} minus rewinding to 0", self.of(duration) - self.tickets.of(0)

    def measured(self, contrasts: list[Contrast], duration: int, k: int = 0) -> Measured:
        """Quantities, with what a statement names."""
        return Measured(contrasts, duration=f"{duration:,} iterations", k=k, density=self.tickets.density)


def pretrained(network: Network, name: str, imp_round: int | None = None) -> Pretrained:
    """Tickets after a pretraining, or after `OWN_TASK`, in the round compared or in `imp_round`."""
    runs = network.results(
        "pretrained_imp", [*FIRST, "round", "seed"], "no network was pretrained and pruned"
    )
    if imp_round is None:
        imp_round = compared_round(network, runs, FIRST)
    own = runs[is_control(runs)] if name == OWN_TASK else runs[runs["pretraining"] == name]
    own = own[own["round"] == imp_round]
    if own.empty:
        raise NotRun(f"no network was pretrained on {name} and pruned to round {imp_round}")
    accuracy = own.pivot_table(
        index="seed", columns="pretraining_iterations", values="accuracy", dropna=False
    )
    return Pretrained(name, accuracy, network.tickets(imp_round=imp_round))


def compared_round(network: Network, runs: DataFrame, by: list[str]) -> int:
    """The round at which `runs` are compared, which the columns `by` tell apart."""
    if network.full:
        return round_near(runs, PAPER_DENSITY)
    return shared_round(runs, by, "there is no round that all such networks have")


def learned_after(network: Network, name: str) -> list[int]:
    """The durations of a first phase after which every network has learned from it.

    It has where its loss on what it was trained on is below that of guessing. The labels of the test set are
    the true ones, so the loss there tells nothing of that.

    Raises:
        NotRun: half of the networks died in it, that is nearly all their features are zero and their loss is
            no lower than that of guessing; or there is no such duration.
    """
    runs = network.table("pretraining", "the first phase was not evaluated")
    last = last_evaluations(runs[runs["pretraining"] == name], [*NETWORK, *FIRST, "seed"])
    if "training_loss" not in last:
        raise NotRun("the loss on the random labels was not measured", NOT_MEASURABLE)
    below = last["training_loss"] < last["guessing_loss"]
    dead = ~below & (last["dead_features"] >= DEAD) if "dead_features" in last else Series(False, last.index)
    if dead.mean() >= 0.5:
        raise NotRun(f"{dead.sum()} of {len(dead)} networks died in the first phase", DIED)
    learned = below.groupby(last["pretraining_iterations"]).all()
    if not learned.any():
        highest, guessing = last["training_loss"].max(skipna=False), last["guessing_loss"].mean()
        raise NotRun(
            f"the loss on the random labels ends at up to {highest:.4f}, guessing has {guessing:.4f}",
            NOT_LEARNED,
        )
    return [int(duration) for duration in learned.index[learned]]


@claim(
    statement="Pretraining on random labels for {duration} does nothing: its tickets are as good as those "
    "rewound to 0, at {density:.1%} of the weights",
    paper="up to 10 epochs as rewinding to 0, worse after 40 (from the paper; numbers recollected)",
    criterion="after every duration in which the labels are learned, that is the loss on them falls below "
    "that of guessing, tickets differ from those rewound to 0 by less than the margin; in the paper's "
    "network up to {up_to} epochs, after which they are worse",
    source="Figure 9, upper left",
    reads=("pretraining", *READS),
    readings=(LEARNED, OWN_RATE),
    places=PLACES | {"duration": "up to 10 epochs"},
)
def D1(
    network: Network, reading: str, *, pretraining: str = "random_labels",
    at_own_rate: str = "random_labels_own_rate", up_to: Annotated[float, {"minimum": 0}] = 10,
    margin: Points = 1.0,
) -> Measured:  # fmt: skip
    """No use is told apart from harm."""
    name = at_own_rate if reading == OWN_RATE else pretraining
    first = pretrained(network, name)
    durations = [each for each in first.accuracy if each in learned_after(network, name)]
    nothing, sides = network.matching(first.tickets, margin), ("harmful", "no effect", "of use")
    brief = [each for each in durations if each <= up_to * EPOCH or not network.full]
    contrasts = [
        Contrast(*first.over_0(each), "as good", margin=nothing, sides=sides)
        if each in brief
        else Contrast(*first.over_0(each), "below")
        for each in durations
    ]
    return first.measured(contrasts, max(brief, default=first.longest))


def as_good(network: Network, name: str, reading: str, margin: Points) -> Measured:
    """The longest pretraining beside rewinding to k, or beside as long a training on the run's own task."""
    first = pretrained(network, name)
    k, duration = network.late(first.tickets), first.longest
    other = pretrained(network, OWN_TASK).of(duration) if reading == OWN_TASK else first.tickets.of(k)
    label = f"{name} for {duration:,} minus {reading if reading == OWN_TASK else f'rewinding to {k:,}'}"
    nothing = network.matching(first.tickets, margin)
    return first.measured(
        [Contrast(label, first.of(duration) - other, "not worse", margin=nothing)], duration, k
    )


@claim(
    statement="Pretraining on rotation for {duration} gives tickets as good as rewinding to k = {k:,}, at "
    "{density:.1%} of the weights",
    paper="after 40 epochs as k = 500 (from the paper; numbers recollected)",
    criterion=AS_GOOD,
    source="Figure 9, upper right",
    reads=READS,
    readings=BESIDE,
    places=PLACES,
)
def D2(network: Network, reading: str, *, pretraining: str = "rotation", margin: Points = 1.0) -> Measured:
    """Rotation beside what it is to replace, and beside longer training."""
    return as_good(network, pretraining, reading, margin)


@claim(
    statement="Labels speed up the early phase by an order of magnitude: k = {k:,} suffices, but of "
    "pretraining on rotation no less than {duration}",
    paper="40 epochs of rotation against 1.25 with labels (from the paper; numbers recollected)",
    criterion="with labels the first k suffices whose tickets are as good as those of late rewinding; "
    "pretraining shorter than {times:g} times that is worse than these, and the longest as good",
    source="Figure 9, upper right",
    reads=READS,
    places=PLACES,
)
def D3(
    network: Network, *, pretraining: str = "rotation", times: Annotated[float, {"minimum": 1}] = 10,
    margin: Points = 1.0,
) -> Measured:  # fmt: skip
    """The first k that suffices, and how long pretraining takes for the same."""
    first = pretrained(network, pretraining)
    tickets, late = first.tickets, network.late(first.tickets)
    nothing = network.matching(tickets, margin)

    def beside_late(name: str, accuracy: Series, lies: Lies = "not worse") -> Contrast:
        return Contrast(
            f"{name} minus rewinding to {late:,}", accuracy - tickets.of(late), lies, margin=nothing
        )

    earlier = {k: beside_late(f"rewinding to {k:,}", tickets.of(k)) for k in tickets.accuracy if 0 < k < late}
    k = min((each for each, one in earlier.items() if one.evidence("points").inside), default=late)
    brief = [each for each in first.accuracy if each < times * k]
    if not brief or first.longest < times * k:
        raise NotRun(
            f"pretraining must be run for less and for more than {times * k:,g} iterations, {times:g} times k"
        )
    contrasts = [earlier[k]] if k in earlier else []
    contrasts += [beside_late(f"{pretraining} for {each:,}", first.of(each), "worse") for each in brief]
    contrasts.append(beside_late(f"{pretraining} for {first.longest:,}", first.of(first.longest)))
    return first.measured(contrasts, int(times * k), k)


@claim(
    statement="Pretraining on blurred images with their labels for {duration} gives tickets as good as "
    "rewinding to k = {k:,}, at {density:.1%} of the weights",
    paper="about as k = 500 after 40 epochs (from the paper in kind; numbers recollected)",
    criterion=AS_GOOD,
    source="Figure 9, lower left",
    reads=READS,
    readings=BESIDE,
    places=PLACES,
)
def D4(network: Network, reading: str, *, pretraining: str = "blur", margin: Points = 1.0) -> Measured:
    """Blur beside what it is to replace, and beside longer training."""
    return as_good(network, pretraining, reading, margin)


@claim(
    statement="Pretraining on blurred rotation for {duration} gains less than {share:.0%} of what "
    "rewinding to k = {k:,} gains over rewinding to 0, at {density:.1%} of the weights",
    paper="as rewinding to 0 in ResNet-20, however long (recollected)",
    criterion=LITTLE,
    source="Figure 9, lower right",
    reads=READS,
    not_networks=("vgg",),  # of which the next claim says the opposite
    places=PLACES | {"duration": "any time"},
)
def D5(network: Network, *, pretraining: str = "blur_rotation", share: Share = 0.25) -> Measured:
    """Every duration beside rewinding to 0."""
    first = pretrained(network, pretraining)
    k = network.late(first.tickets)
    kept = Margin(first.tickets.of(k) - first.tickets.of(0), share=share)
    contrasts = [Contrast(*first.over_0(each), "not better", margin=kept) for each in first.accuracy]
    return first.measured(contrasts, first.longest, k)


@claim(
    statement="But in VGG-13 pretraining on blurred rotation for {duration} is better than rewinding to 0, "
    "at {density:.1%} of the weights",
    paper="better than rewinding to 0 in VGG-13 (recollected)",
    criterion="after the longest pretraining tickets are more accurate than those rewound to 0",
    source="Figure A9",
    reads=READS,
    networks=("vgg",),
    places=PLACES | {"duration": "any time"},
)
def D6(network: Network, *, pretraining: str = "blur_rotation") -> Measured:
    """The longest pretraining beside rewinding to 0."""
    first = pretrained(network, pretraining)
    return first.measured([Contrast(*first.over_0(first.longest))], first.longest)


@dataclass(frozen=True)
class Sparse:
    """Tickets that were pretrained, for as long as any, while they were sparse.

    Attributes:
        accuracy: (seeds, tickets), in points.
        tickets: those of the same round that were not pretrained.
        k: whose masks they have.
        duration: of pretraining, in iterations.
    """

    accuracy: DataFrame
    tickets: Tickets
    k: int
    duration: int

    def of(self, name: str) -> Series:
        """Accuracy by seed of one of the tickets."""
        if name not in self.accuracy:
            raise NotRun(f"the ticket {name} was not pretrained")
        return self.accuracy[name]

    def measured(self, contrasts: list[Contrast]) -> Measured:
        """Quantities, with what a statement names."""
        return Measured(
            contrasts, duration=f"{self.duration:,} iterations", k=self.k, density=self.tickets.density
        )


def pretrained_while_sparse(network: Network, name: str) -> Sparse:
    """Tickets that were pretrained on `name`, at one density."""
    by = [*FIRST, "k", "round", "perturbation"]
    runs = network.results("pretrained_tickets", [*by, "seed"], "no ticket was pretrained")
    if (runs := runs[runs["pretraining"] == name]).empty:
        raise NotRun(f"no ticket was pretrained on {name}")
    k, duration = int(runs["k"].max()), int(runs["pretraining_iterations"].max())
    runs = runs[(runs["pretraining_iterations"] == duration) & (runs["k"] == k)]
    imp_round = compared_round(network, runs, ["perturbation"])
    accuracy = runs[runs["round"] == imp_round].pivot(index="seed", columns="perturbation", values="accuracy")
    return Sparse(accuracy, network.tickets(imp_round=imp_round), k, duration)


@claim(
    statement="Pretraining a network that is sparse already, on rotation for {duration}, gains less than "
    "{share:.0%} of what rewinding to k = {k:,} gains over rewinding to 0, whatever its mask, at "
    "{density:.1%} of the weights",
    paper="no better than rewinding to 0 after 40 epochs (from the paper; numbers recollected)",
    criterion=LITTLE,
    source="Figure 10",
    reads=("pretrained_tickets", "imp", "perturbed"),
    readings=BASELINES,
    places=PLACES,
)
def D7(
    network: Network, reading: str, *, pretraining: str = "rotation", share: Share = 0.25,
    tickets: tuple[str, ...] = (
        "rewind", "reinitialised", "random_mask", "rewind_to_0", "reinitialised_from_0", "random_mask_from_0",
    ),
) -> Measured:  # fmt: skip
    """Each ticket beside rewinding to 0."""
    sparse = pretrained_while_sparse(network, pretraining)
    early = network.rewound_to_0(sparse.k, sparse.tickets.round, reading)
    kept = Margin(sparse.tickets.of(sparse.k) - early, share=share)
    label = f"{{}} minus rewinding to 0 ({reading})"
    return sparse.measured(
        [Contrast(label.format(name), sparse.of(name) - early, "not better", margin=kept) for name in tickets]
    )


@claim(
    statement="And it hurts a ticket that was at k = {k:,}: {duration} of rotation, at {density:.1%} of "
    "the weights",
    paper="below the ticket of k = 500 that is not pretrained (recollected)",
    criterion="the ticket of k is less accurate if it is pretrained",
    source="Figure 10",
    reads=("pretrained_tickets", "imp"),
    places=PLACES,
)
def D8(network: Network, *, pretraining: str = "rotation", ticket: str = "rewind") -> Measured:
    """The ticket with and without pretraining."""
    sparse = pretrained_while_sparse(network, pretraining)
    difference = sparse.of(ticket) - sparse.tickets.of(sparse.k)
    return sparse.measured(
        [Contrast(f"pretrained ticket of k = {sparse.k:,} minus the ticket", difference, "below")]
    )


@claim(
    statement="Pretraining on rotation for {duration} stands in for the early phase under a mask found "
    "after it, not under one found before, at {density:.1%} of the weights",
    paper="the conclusion from Figures 9 and 10 (from the paper in kind; no number)",
    criterion="from iteration 0, pretraining before the mask is found gains more than {least} points over "
    "as long a pretraining under a mask that was found without",
    source="Figures 9 and 10",
    reads=("pretrained_tickets", *READS),
    places=PLACES,
)
def D9(
    network: Network, *, pretraining: str = "rotation", ticket: str = "rewind_to_0", least: Points = 0.5
) -> Measured:
    """Pretrained while dense beside pretrained while sparse, of as many weights."""
    sparse = pretrained_while_sparse(network, pretraining)
    dense = pretrained(network, pretraining, sparse.tickets.round)
    label = f"pretrained for {sparse.duration:,} while dense, minus under the mask of k = {sparse.k:,}"
    return sparse.measured([Contrast(label, dense.of(sparse.duration) - sparse.of(ticket), edge=least)])
