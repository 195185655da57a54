"""Train a second child of a network from iteration k under other SGD noise; measure the line between the two.

The first child is the run that exists already: the dense network, or the trained ticket. The second starts
from its state at k and, where it is dense, from the optimiser's state there; a ticket starts without any. So
the two differ in nothing but SGD noise.
"""

import argparse
from dataclasses import replace

from torch import nn

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.commands.checkpoint import kept_before
from earlyphase.core.images import BatchAt, in_turn
from earlyphase.core.masks import Mask, Weights, density, full_mask
from earlyphase.core.networks.state import load_state, prunable_names
from earlyphase.core.stability import barrier, distances, line_between, second_child_seed
from earlyphase.core.streams import generator
from earlyphase.core.tasks import sample_at
from earlyphase.core.training import Training, evaluate
from earlyphase.runtime.storage import Row, load_mask, save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--state", required=True, help="dense state at iteration k, .safetensors")
    parser.add_argument("--first", required=True, help="the first child at the end of training, .safetensors")
    parser.add_argument("--mask", help="of the ticket; none is the dense network")
    parser.add_argument("--trajectory", help="states of the dense run and of its optimiser; none is a ticket")
    parser.add_argument("--out-pair", required=True, help="instability and distances, .csv")
    parser.add_argument("--out-line", required=True, help="error and loss along the line, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def run(args: argparse.Namespace) -> None:
    """Train the second child; measure the line and the distances.

    Raises:
        InvalidInput: a state is of another iteration or network.
    """
    roles = ("state", "first", "mask", "trajectory")
    with training_job(args, **{role: vars(args)[role] for role in roles if vars(args)[role]}) as job:
        k, end = job.spec["columns"]["k"], job.settings.iterations
        start, first = load_state_at(args.state, k), load_state_at(args.first, end)
        mask = load_mask(args.mask) if args.mask else None
        training = child_of_ticket(job, start, mask) if mask else child_of_dense(job, args.trajectory)
        model = job.network()
        progress = job.train(training, model, evaluates_at=end.__eq__)
        accuracy = accuracy_of(job, model, first)
        line = line_of(job, model, first, progress.weights)
        kept = mask or full_mask(first, prunable_names(model))
        names = [name for name, _ in model.named_parameters()]
        pair = {
            "density": density(kept),
            "instability": barrier([row["error"] for row in line]),
            "instability_loss": barrier([row["loss"] for row in line]),
            "first_accuracy": accuracy,
            "second_accuracy": progress.rows[-1]["accuracy"],
            **distances(start, first, progress.weights, kept, names),
        }
        save_rows(args.out_pair, job.described([pair]))
        save_rows(args.out_line, job.described(line))
        job.finish(args.out_run)


def child_of_ticket(job: Job, start: Weights, mask: Mask) -> Training:
    """The training of a ticket from k under the noise of the second child."""
    span = range(job.spec["columns"]["k"], job.settings.iterations)
    ordinary = job.training(start, span, mask)
    return replace(ordinary, batch_at=noisy(job))


def child_of_dense(job: Job, trajectory: str) -> Training:
    """The training of the dense network, under the noise of the second child from k on.

    It begins at k or, where k was added to the study later, at the nearest iteration before k that the dense
    run kept; up to k it then repeats that run.
    """
    k = job.spec["columns"]["k"]
    nearest, weights, optimizer_state = kept_before(trajectory, k)
    span = range(nearest, job.settings.iterations)
    ordinary = job.training(weights, span, optimizer_state=optimizer_state)
    return replace(ordinary, batch_at=in_turn((0, ordinary.batch_at), (k, noisy(job))))


def noisy(job: Job) -> BatchAt:
    """The mini-batches of the second child; a task draws the same for an iteration, such as quarter turns."""
    settings = job.settings
    return job.task.batches(second_child_seed(job.seed), settings.batch_size, settings.augmentation_at)


def accuracy_of(job: Job, model: nn.Module, weights: Weights) -> float:
    """Test accuracy of a trained network under its own running statistics."""
    load_state(model, weights)
    return evaluate(model, job.task.test, job.autocast)["accuracy"]


def line_of(job: Job, model: nn.Module, first: Weights, second: Weights) -> list[Row]:
    """Error and loss on the line, with statistics of as many training images as asked for, or of all."""
    chosen = job.spec["stability"]
    has_statistics = any(True for _ in model.buffers())  # else there is nothing to estimate
    size, stream = job.sample_size(chosen["sample"]), generator(job.seed, "stability sample")
    images, _ = sample_at(job.task, size, job.settings.iterations, stream)
    rows = line_between(model, first, second, chosen["points"], images, job.task.test, job.autocast)
    return [row | {"sample": len(images) if has_statistics else 0} for row in rows]
