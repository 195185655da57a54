"""The tables of one network, as claims ask for them: accuracies in points, by seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pandas import DataFrame, Series

from earlyphase.results.claims.claim import ANOTHER_NETWORK, NOT_AT_SCALE, NotRun
from earlyphase.results.claims.evidence import POINTS, Margin
from earlyphase.results.summaries import NETWORK, Tables, is_dead, last_evaluations, nearest_round

REWIND_TO_0 = "rewind_to_0"  # a perturbation by its name in config.yaml: iteration 0 under the mask of k
OWN_MASKS = "own masks"  # of rewinding to 0: the tickets of k = 0; else 0 under the masks of k
BASELINES = (OWN_MASKS, "masks of k")  # the paper may mean either by "rewinding to 0"
PAPER_KS = (500, 2000)  # of its Figures 4 to 8
PAPER_DENSITY = 0.262  # of the same
Share = Annotated[float, {"minimum": 0, "maximum": 1}]  # of weights, of training, of a gradient
Points = Annotated[float, {"minimum": 0}]  # percentage points of accuracy


@dataclass(frozen=True)
class Tickets:
    """Tickets of one round.

    Attributes:
        accuracy: (seeds, ks), in points.
        density: share of weights kept, in [0, 1].
        round: of pruning.
    """

    accuracy: DataFrame
    density: float
    round: int

    def of(self, k: int) -> Series:
        """Accuracy by seed of tickets that rewind to `k`."""
        if k not in self.accuracy:
            raise NotRun(f"k = {k:,} was not run to {self.density:.1%} of the weights")
        return self.accuracy[k]

    @property
    def latest(self) -> int:
        """The largest k: in a short study, the stand-in for the paper's late rewinding."""
        if self.accuracy.columns.max() <= 0:
            raise NotRun(f"only k = 0 was run to {self.density:.1%} of the weights")
        return int(self.accuracy.columns.max())

    def gain(self) -> Series | None:
        """What rewinding to the largest k gains over rewinding to 0, by seed; None where one was not run."""
        both = 0 in self.accuracy and self.accuracy.columns.max() > 0
        return self.accuracy[self.latest] - self.accuracy[0] if both else None


@dataclass(frozen=True)
class Branches:
    """Perturbed tickets of one k and round.

    Attributes:
        k: iteration that they rewind to.
        accuracy: (seeds, perturbations), in points.
        runs: a row per run, with `effective_std`.
        ticket: accuracy by seed without a perturbation.
        place: k and density in words.
    """

    k: int
    density: float
    round: int
    accuracy: DataFrame
    runs: DataFrame
    ticket: Series

    @property
    def place(self) -> str:
        """K and density in words."""
        return f"k = {self.k:,} at {self.density:.1%}"

    def of(self, name: str) -> Series:
        """Accuracy by seed under one perturbation."""
        if name not in self.accuracy:
            raise NotRun(f"{name} was not run for k = {self.k:,}")
        return self.accuracy[name]


@dataclass
class Network:
    """What a study knows of one network.

    Attributes:
        tables: name -> rows of this network, one per evaluation.
        others: name -> rows of the other models on its data set.
        facts: of its study: `paper_until`, the iterations for which its training is that of the paper's
            ResNet-20; `full`, whether it is trained on CIFAR-10 for as long as the paper's networks;
            `classes`; `optimizer`, the function; `warmup`, iterations; `without_warmup`, the model that has
            no warm-up and is otherwise the same. What is missing is not known.
        died: runs that were read and are dead: table and seed.
    """

    tables: Tables
    others: Tables = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    died: set[tuple[str, int]] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether the paper's k and densities are those to look at."""
        return bool(self.facts.get("full"))

    def paper_until(self, iteration: int) -> bool:
        """Whether the training is that of the paper's ResNet-20 up to an iteration."""
        return self.facts.get("paper_until", 0) >= iteration

    def other(self, model: str) -> "Network":
        """Another model on the same data set; of what is known of the study, it has the classes."""
        rows = {name: table[table["model"] == model] for name, table in self.others.items()}
        return Network(rows, facts={"classes": self.facts.get("classes")})

    def table(self, name: str, missing: str = "") -> DataFrame:
        """The rows of a table; `missing` is what to say where there are none."""
        if name not in self.tables or self.tables[name].empty:
            raise NotRun(
                missing or f"the table {name!r} is {'empty' if name in self.tables else 'not there'}"
            )
        return self.tables[name]

    def living(self, name: str, runs: DataFrame, value: str) -> Series:
        """A column of `runs` of the table `name`, NaN where a run is dead; which are, is kept in `died`."""
        dead = is_dead(runs, self.facts.get("classes"))
        self.died |= {(name, seed) for seed in runs.loc[dead, "seed"]}
        return runs[value].where(~dead)

    def results(self, name: str, run: list[str], missing: str = "", *, harmed: bool = False) -> DataFrame:
        """Results of the runs in the table `name`, a row per run, which the columns `run` name.

        `accuracy` is in points, and NaN where the run diverged or died: a network that is as good as
        guessing is no evidence of what its weights learn. Of what harm is done to them it is: where a claim
        asks for that (`harmed`), its accuracy counts.
        """
        last = last_evaluations(self.table(name, missing), [*NETWORK, *run])
        accuracy = last["accuracy"] if harmed else self.living(name, last, "accuracy")
        return last.assign(accuracy=POINTS * accuracy)

    def dense(self) -> Series:
        """Accuracy of the dense network by seed."""
        return self.results("dense", ["seed"]).set_index("seed")["accuracy"]

    def tickets(
        self, density: float | None = None, *, below: float | None = None, imp_round: int | None = None
    ) -> Tickets:
        """Tickets of the round near a density, of the first one below another, or of a round.

        One round, not all below, so that the answer does not depend on how many were run.
        """
        runs = self.results("imp", ["seed", "k", "round"])
        densities = runs.groupby("round")["density"].mean()
        if density is not None:
            imp_round = round_near(runs, density)
        if below is not None:
            if densities.min() >= below:
                sparsest = f"{densities.min():.1%}"
                raise NotRun(
                    f"no round is below {100 * below:g} % of the weights; the sparsest has {sparsest}"
                )
            imp_round = densities[densities < below].index.min()
        if imp_round not in densities:
            raise NotRun(f"no ticket was pruned to round {imp_round}")
        runs = runs[runs["round"] == imp_round]
        return Tickets(
            runs.pivot(index="seed", columns="k", values="accuracy"), densities[imp_round], int(imp_round)
        )

    def late(self, tickets: Tickets) -> int:
        """The paper's k = 500 at its scale; else the largest, which stands for it."""
        return PAPER_KS[0] if self.full else tickets.latest

    def matching(self, tickets: Tickets, margin: float) -> Margin:
        """What counts as nothing between a ticket and the dense network, or another ticket."""
        return Margin(tickets.gain(), margin)

    def branches(self, ks: str = "both") -> list[Branches]:
        """Perturbed tickets of the paper's ks or, in a short study, of those in their roles.

        There it is the sparsest round that was perturbed at every k: how many weights a network can spare
        differs, and a perturbation is seen to do harm where there are none to spare. A single k plays the
        early role, and not the late one.

        Args:
            ks: "early", "late", or "both": then the one there is does, if there is only one.
        """
        missing = "no ticket was perturbed"
        runs = self.results("perturbed", ["seed", "k", "round", "perturbation"], missing, harmed=True)
        runs = runs[runs["k"] > 0]
        there = sorted(set(runs["k"]) & set(PAPER_KS) if self.full else set(runs["k"]))
        if not there:
            raise NotRun("no k above 0 was perturbed")
        if ks == "late" and len(there) == 1:
            raise NotRun(
                f"k = {there[0]:,} alone was perturbed; it stands for the paper's early k, not its late"
            )
        imp_round = round_near(runs, PAPER_DENSITY) if self.full else sparsest_of_all(runs)
        chosen = {"early": there[:1], "late": there[-1:], "both": sorted({there[0], there[-1]})}[ks]
        tickets = self.tickets(imp_round=imp_round)
        every = []
        for k in chosen:
            own = runs[(runs["k"] == k) & (runs["round"] == imp_round)]
            accuracy = own.pivot(index="seed", columns="perturbation", values="accuracy")
            every.append(Branches(int(k), own["density"].mean(), imp_round, accuracy, own, tickets.of(k)))
        return every

    def rewound_to_0(self, k: int, imp_round: int, baseline: str) -> Series:
        """Accuracy by seed of rewinding to 0: tickets of k = 0, or 0 under the masks of `k`."""
        if baseline == OWN_MASKS:
            return self.tickets(imp_round=imp_round).of(0)
        runs = self.results("perturbed", ["seed", "k", "round", "perturbation"])
        chosen = (runs["perturbation"] == REWIND_TO_0) & (runs["k"] == k) & (runs["round"] == imp_round)
        if not chosen.any():
            raise NotRun(f"{REWIND_TO_0} was not run for k = {k:,} at this density")
        return runs[chosen].set_index("seed")["accuracy"]


def round_near(runs: DataFrame, density: float) -> int:
    """The round of `runs` nearest to a density; it must lie within half a round (a factor of sqrt(0.8))."""
    nearest, off = nearest_round(runs, density)
    if off > 0.5:
        sparsest = runs.groupby("round")["density"].mean().min()
        raise NotRun(f"no round is near {density:.1%} of the weights; the sparsest has {sparsest:.1%}")
    return nearest


def shared_round(runs: DataFrame, by: list[str], otherwise: str) -> int:
    """The sparsest round that all of `runs` have, told apart by the columns `by`; else raise `otherwise`."""
    if not (shared := set.intersection(*(set(own["round"]) for _, own in runs.groupby(by)))):
        raise NotRun(otherwise)
    return max(shared)


def sparsest_of_all(runs: DataFrame) -> int:
    """The sparsest round that was perturbed at every k."""
    return shared_round(runs, ["k"], "no round was perturbed at every k")


def listed(values: list[int]) -> str:
    """Whole numbers in words: "20 and 100"."""
    words = [f"{value:,}" for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def at_scale(network: Network, iteration: int, what: str) -> None:
    """Raise `NotRun` unless the training is that of the paper's ResNet-20 up to an iteration."""
    if not network.paper_until(iteration):
        until = network.facts.get("paper_until")
        raise NotRun(
            f"{what} is of the first {iteration:,} iterations of the paper's ResNet-20; this training is the "
            f"same for {until or 0:,}", ANOTHER_NETWORK if until == 0 else NOT_AT_SCALE,
        )  # fmt: skip
