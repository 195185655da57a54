"""What a study will take: seconds, bytes and iterations of each job, and its longest chain of jobs.

Trainings are reckoned by the speed that was measured for their network on this machine. What does not train
is reckoned by rough rules, which stand here with what they rest on.
"""

import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeVar

from earlyphase.core.schedules import sampled_iterations
from earlyphase.study.demand import CLASSES, images_of, known_of, mini_batches
from earlyphase.study.jobs import Job, inputs, jobs
from earlyphase.study.run import Run
from earlyphase.study.stages import STAGES, kept_iterations
from earlyphase.study.study import Study

WATCHED = 0.2  # iterations that a sample of telemetry takes as long as, 0.14 to 0.26; benchmarks/telemetry.py
PRODUCTS = 60  # with the Hessian, of an eigen-solve of one kind of statistics; 32 to 64 in the default study
PRODUCT = 9  # ways forward that a product takes as long as: three forward and back
RUNTIMES = 4  # a network is timed under, on average; five as pruned, two without its emptied channels
EIGENVECTORS = 10  # as many as classes; of a data set whose classes are not known before it is there

# Seconds of a job besides its work, as shares of what Python takes to import torch; benchmarks/fixed_cost.py
FORKED = 0.13  # a training job that is forked from a process that has imported torch
FIXED = {
    "data": 0.12,
    "checkpoint": 0.1,
    "pairs": 0.35,
    "collect": 0.1,
    "figure": 0.75,
    "claims": 0.35,
    "report": 0.5,
}

# Bytes, as a rule of thumb from the default study
ROW = 250  # of a table
SAMPLE = 5_000  # of telemetry, a row for each layer
RECORD = 1_500  # of a run record
FIGURE = 250_000  # as SVG, PNG and CSV


@dataclass(frozen=True)
class Speed:
    """A network on this machine, in the precision of the study.

    Attributes:
        step: seconds of an iteration.
        evaluation: seconds of an image of the test set.
        single: seconds of one image alone, forward and back.
        start: seconds to import torch.
        parameters: their number.
        prunable: weights that a mask is about.
        state: bytes of all tensors.
    """

    step: float
    evaluation: float
    single: float
    start: float
    parameters: int
    prunable: int
    state: int

    @classmethod
    def of(cls, measured: Mapping, precision: str) -> "Speed":
        """Read what was measured; a precision that the device does not tell apart is float32 there."""
        known = precision if precision in measured["step_seconds"] else "float32"
        return cls(
            statistics.median(measured["step_seconds"][known]), measured["evaluation_seconds"][known],
            measured["single_seconds"], measured["start_seconds"],
            measured["parameters"], measured["prunable"], measured["state_bytes"],
        )  # fmt: skip


def case_of(study: Study, run: Run) -> dict[str, object]:
    """What decides about the speed of a run's trainings: network, shape of an image, size of a mini-batch."""
    known = known_of(study.config["datasets"][run.dataset])
    sides = [known.get(side, known["size"]) for side in ("height", "width")]
    network = study.config["models"][run.model]
    return {
        "model": {key: value for key, value in network.items() if key != "training"},
        "shape": [known["channels"], *sides],
        "batch_size": run.training["batch_size"],
    }


# Iterations and evaluations


def iterations_of(study: Study, one: Job) -> range:
    """Iterations that a job trains for, in a study of which nothing is there yet.

    A checkpoint trains only where its k was added to the study after the dense run.
    """
    return range(0) if one.rule == "checkpoint" else STAGES[one.rule].trains(study, one.names)


def evaluations_of(study: Study, one: Job) -> int:
    """Evaluations of a training: at the cadence and at the end.

    Telemetry evaluates at its own times, a second copy at the end alone.
    """
    span = iterations_of(study, one)
    if not span:
        return 0
    if one.rule == "stability":
        return 1
    run = study.run(one.names)
    if one.rule == "telemetry":
        return watched(run, "evaluations", span)
    every = run.training["evaluate_every"]
    at_cadence = span.stop // every - (span.start - 1) // every
    return at_cadence + (span.stop % every != 0)


def watched(run: Run, kind: str, span: range) -> int:
    """How often telemetry evaluates (kind "evaluations") or takes a sample ("schedule") in a span."""
    return sum(time <= span.stop for time in sampled_iterations(run.telemetry[kind], run.iterations))


# Seconds


def seconds_of(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of a job, by itself on this machine."""
    fixed = FIXED.get(one.rule, FORKED if study.config["execution"]["preload"] else 1.0)
    work = WORK.get(one.rule, training_seconds)
    return fixed * speed.start + work(study, one, speed)


def training_seconds(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of iterations and evaluations."""
    run = study.run(one.names)
    tested = images_of(study.config["datasets"][run.dataset])["test"] + run.training["validation"]
    span = iterations_of(study, one)
    steps: float = mini_batches(study, one.rule, one.names, span)
    if one.rule == "telemetry":
        steps += WATCHED * watched(run, "schedule", span)
    return steps * speed.step + evaluations_of(study, one) * tested * speed.evaluation


def stability_seconds(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of a second copy, and of the line: at each point a way forward of sample and test set.

    The first copy is evaluated once more.
    """
    run = study.run(one.names)
    images = images_of(study.config["datasets"][run.dataset])
    sample = min(run.stability["sample"], images["train"] - run.training["validation"])
    seen = run.stability["points"] * (sample + images["test"]) + images["test"]
    return training_seconds(study, one, speed) + seen * speed.evaluation


def curvature_seconds(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of an eigen-solve for each kind of statistics, by the number of its products."""
    chosen = study.run(one.names).curvature
    products = PRODUCTS * len(chosen["statistics"])
    return products * PRODUCT * chosen["sample"] * speed.evaluation


def fisher_seconds(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of the passes of single images: a forward pass, and a backward pass for each class."""
    return study.run(one.names).fisher["sample"] * (1 + 2 * CLASSES) / 3 * speed.single


def inference_seconds(study: Study, one: Job, speed: Speed) -> float:
    """Seconds of all turns: two calls before them, then turns of a least length or of one call."""
    run = study.run(one.names)
    chosen, forms = run.inference, 1 + study.narrowed(run)  # as pruned, and without its emptied channels
    networks = 1 + forms * len(chosen["rounds"])
    calls = [size * speed.evaluation for size in chosen["batch_sizes"]]
    turns = sum(chosen["turns"] * max(chosen["least_seconds"], call) + 2 * call for call in calls)
    return networks * RUNTIMES * turns + speed.start


def no_seconds(study: Study, one: Job, speed: Speed) -> float:
    """None besides the fixed cost; a download is not reckoned."""
    return 0.0


WORK: dict[str, Callable[[Study, Job, Speed], float]] = {
    "curvature": curvature_seconds,
    "fisher": fisher_seconds,
    "inference": inference_seconds,
    "stability": stability_seconds,
    **dict.fromkeys(("data", "checkpoint", "pairs", "collect", "figure", "claims", "report"), no_seconds),
}


# Bytes


def bytes_of(study: Study, one: Job, speed: Speed) -> int:
    """Bytes of what a job leaves on disk, but for collected tables: `bytes_of_table`."""
    rows = bytes_of_rows(study, one)
    mask = speed.prunable // 8
    match one.rule:
        case "data":
            images = images_of(study.config["datasets"][one.names["dataset"]])
            return (images["train"] + images["test"]) * (images["channels"] * images["size"] ** 2 + 8)
        case "dense":  # weights and momentum of each state that is kept, and of the end
            kept = len(kept_iterations(study, one.names)) + 1
            return kept * (speed.state + 4 * speed.parameters) + rows + RECORD
        case "checkpoint":
            return speed.state
        case "pretrain":
            return speed.state + rows + RECORD
        case "imp_round" | "pretrain_ticket":  # kept values alone, with their mask
            pruned = 1 - (1 - study.run(one.names).prune_fraction) ** int(one.names["round"])
            return speed.state - int(4 * pruned * speed.prunable) + 2 * mask + rows + RECORD
        case "curvature":
            kinds = len(study.run(one.names).curvature["statistics"])
            return 4 * EIGENVECTORS * kinds * speed.parameters + rows
        case "figure":
            return FIGURE
        case "collect":
            return 0
    return rows + RECORD


def bytes_of_rows(study: Study, one: Job) -> int:
    """Bytes of the tables that a job makes itself."""
    if one.rule == "telemetry":
        run = study.run(one.names)
        return len(sampled_iterations(run.telemetry["schedule"], run.iterations)) * SAMPLE
    if one.rule == "stability":  # the pair, and the points of its line
        return (1 + study.run(one.names).stability["points"]) * ROW
    return max(1, evaluations_of(study, one)) * ROW


def bytes_of_table(study: Study, parts: Iterable[Job]) -> int:
    """Bytes of a table that is collected of the tables of other jobs."""
    return sum(bytes_of_rows(study, part) for part in parts)


# The graph


def needed_jobs(study: Study, everything: Sequence[Job]) -> dict[Job, list[Job]]:
    """Which jobs each job waits for."""
    makers = {path: one for one in everything for path in one.outputs}
    return {
        one: list(dict.fromkeys(makers[path] for paths in inputs(study, one).values() for path in paths))
        for one in everything
    }


@dataclass(frozen=True)
class Plan:
    """What a study will take: for each job seconds and bytes; and its longest chain."""

    seconds: dict[Job, float]
    sizes: dict[Job, int]
    chain: list[Job]

    @classmethod
    def of(cls, study: Study, speeds: Mapping[tuple[str, str], Speed]) -> "Plan":
        """Reckon every job; `speeds` are by data set and model."""
        everything = list(jobs(study))
        speed = {one: speed_of(one, speeds) for one in everything}
        seconds = {one: seconds_of(study, one, speed[one]) for one in everything}
        needs = needed_jobs(study, everything)
        sizes = {
            one: bytes_of_table(study, needs[one])
            if one.rule == "collect"
            else bytes_of(study, one, speed[one])
            for one in everything
        }
        return cls(seconds, sizes, longest_chain(seconds, needs))


def speed_of(one: Job, speeds: Mapping[tuple[str, str], Speed]) -> Speed:
    """Speed of a job's network; of the first on its data set, or of all, where it belongs to none."""
    names = one.names
    return next(
        speed
        for (dataset, model), speed in speeds.items()
        if names.get("dataset", dataset) == dataset and names.get("model", model) == model
    )


Node = TypeVar("Node", bound=Hashable)


def longest_chain(seconds: Mapping[Node, float], needs: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """The jobs that one after the other take longest: no number of cores makes a study faster than that.

    Args:
        seconds: of each job.
        needs: of each job, those that it waits for.

    Returns:
        The chain, from the first job to the last.

    Raises:
        graphlib.CycleError: jobs wait for one another in a circle.
    """
    ends: dict[Node, float] = {}
    before: dict[Node, Node | None] = {}
    for one in TopologicalSorter(needs).static_order():
        before[one] = previous = max(needs.get(one, ()), key=ends.__getitem__, default=None)
        ends[one] = seconds[one] + (0.0 if previous is None else ends[previous])
    chain, last = [], max(ends, key=ends.__getitem__, default=None)
    while last is not None:
        chain.append(last)
        last = before[last]
    return chain[::-1]
