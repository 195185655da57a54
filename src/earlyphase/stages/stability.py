"""Train a second child of a network from iteration k under other noise; measure the line between the two.

The first child is the run that exists already: the dense network, or the trained ticket. The second starts
from its state at k and, where it is dense, from the optimiser's state there; a ticket starts without any. So
the two differ in nothing but SGD noise.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import (
    RECORD,
    REWIND_ITERATIONS,
    ROUNDS,
    ROW,
    STARTS,
    from_k,
    section,
    training_spec,
    training_work,
)
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, Work
from earlyphase.study.limits import EVALUATED_AT_ONCE, images_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    from earlyphase.core.masks import Weights
    from earlyphase.core.training import Training
    from earlyphase.runtime.storage import Row
    from earlyphase.stages._training import TrainingJob

SETTINGS = section(
    dense=STARTS,
    rewind_iterations=REWIND_ITERATIONS,
    rounds=ROUNDS,
    points={"type": "integer", "minimum": 3, "description": "on the line, its ends included"},
    sample={"type": "integer", "minimum": 2, "description": "training images; a variance needs two"},
)


def states(run: Run) -> list[int]:
    """Iterations from which a second child of the dense network is trained, rising."""
    return sorted(run.stability["dense"])


def jobs(study: Study, run: Run) -> list[Block]:
    """Every second child: of the dense network, which is round 0, and of tickets."""
    tickets = {"k": run.stability["rewind_iterations"], "round": run.stability["rounds"]}
    return [{"seed": run.seeds, **block} for block in ({"k": states(run), "round": [0]}, tickets)]


def spec(job: Job) -> dict:
    """A training, and how the line between two children is measured."""
    return training_spec(job) | {"stability": {key: job.run.stability[key] for key in ("points", "sample")}}


def inputs(job: Job) -> Inputs:
    """What a second child is compared with and made like: the ordinary run of the same network.

    Of the dense network, round 0, these are its end, and its states with their momentum.
    """
    if job.names["round"] != "0":
        paths = {
            role: job.path("imp_round", output) for role, output in (("first", "weights"), ("mask", "mask"))
        }
        return paths | {"trajectory": []}
    end = job.path("checkpoint", "state", k=job.run.iterations)
    return {"first": end, "mask": [], "trajectory": job.path("dense", "trajectory")}


def work(job: Job) -> Work:
    """A training, and the line."""
    training, line = training_work(job), line_work(job)
    return Work(training.images + line.images, training.calls + line.calls)


def line_work(job: Job) -> Work:
    """At each point of a line a forward pass of the sample and of the test images."""
    chosen, images = job.run.stability, images_of(job.study, job.run.dataset)
    on_line = chosen["points"] * (chosen["sample"] + images["test"])
    return Work(on_line, on_line / EVALUATED_AT_ONCE)


def size(job: Job) -> float:
    """Bytes of the pair, and of the points of its line."""
    return (1 + job.run.stability["points"]) * ROW + RECORD


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train the second child; measure the line and the distances.

    Raises:
        InvalidInput: a state is of another iteration or network.
    """
    from earlyphase.core.masks import density, full_mask
    from earlyphase.core.networks.state import load_state, prunable_names
    from earlyphase.core.stability import barrier, distances
    from earlyphase.core.training import evaluate
    from earlyphase.runtime.storage import load_mask, save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, end = job.spec["columns"]["k"], training.settings.iterations
        start, first = load_state_at(inputs["state"], k), load_state_at(inputs["first"], end)
        mask = load_mask(inputs["mask"]) if "mask" in inputs else None
        if mask:
            ordinary = training.training(start, range(k, end), mask)
            second = replace(ordinary, batch_at=noisy_batches(training))
        else:
            second = second_dense(training, inputs["trajectory"])
        model = training.network()
        progress = training.train(second, model, evaluates_at=end.__eq__)
        load_state(model, first)
        children = evaluate(model, training.task.test, training.autocast), progress.rows[-1]
        line = line_of(training, model, first, progress.weights)
        kept = mask or full_mask(first, prunable_names(model))
        names = [name for name, _ in model.named_parameters()]
        pair = {
            "density": density(kept),
            "instability": barrier([row["error"] for row in line]),
            "instability_loss": barrier([row["loss"] for row in line]),
            "first_accuracy": children[0]["accuracy"],
            "second_accuracy": children[1]["accuracy"],
            "dead_features": max(child["dead_features"] for child in children),
            **distances(start, first, progress.weights, kept, names),
        }
        save_rows(outputs["pair"], training.described([pair]))
        save_rows(outputs["line"], training.described(line))
        training.finish(outputs["run"])


def second_dense(training: "TrainingJob", trajectory: str) -> "Training":
    """The training of the dense network, but for its noise from k on.

    It begins at k, or at the nearest iteration before it that the dense run kept, where k was added to the
    study later; up to k it then repeats that run.
    """
    from earlyphase.core.images import in_turn
    from earlyphase.runtime.trajectory import kept_before

    k = training.spec["columns"]["k"]
    nearest, weights, optimizer_state = kept_before(trajectory, k)
    span = range(nearest, training.settings.iterations)
    ordinary = training.training(weights, span, optimizer_state=optimizer_state)
    return replace(ordinary, batch_at=in_turn((0, ordinary.batch_at), (k, noisy_batches(training))))


def noisy_batches(training: "TrainingJob") -> object:
    """The mini-batches of the second child; what a task draws for an iteration, like a turn, stays."""
    from earlyphase.core.stability import second_child_seed

    settings = training.settings
    return training.task.batches(
        second_child_seed(training.seed), settings.batch_size, settings.augmentation_at
    )


def line_of(training: "TrainingJob", model: object, first: "Weights", second: "Weights") -> "list[Row]":
    """Error and loss on the line, with statistics of as many training images as asked for, or of all."""
    from earlyphase.core.stability import line_between
    from earlyphase.core.streams import generator
    from earlyphase.core.tasks import sample_at

    chosen = training.spec["stability"]
    has_statistics = any(True for _ in model.buffers())  # else there is nothing to estimate
    count, stream = training.sample_size(chosen["sample"]), generator(training.seed, "stability sample")
    images, _ = sample_at(training.task, count, training.settings.iterations, stream)
    rows = line_between(model, first, second, chosen["points"], images, training.task.test, training.autocast)
    return [row | {"sample": len(images) if has_statistics else 0} for row in rows]


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    span=from_k,
    inputs=inputs,
    states=states,
    settings={"stability": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"stability": Table("pair"), "lines": Table("line")},
)
