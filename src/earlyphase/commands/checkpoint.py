"""Take the state of the dense run at iteration k out of its trajectory.

Where the run did not keep that iteration, because k was added to the study later, training goes on
from the nearest kept one before it, with the optimiser's state there: the same bytes at the least cost.
"""

import argparse

from earlyphase.commands._options import add_training_arguments, begin
from earlyphase.core.masks import Weights
from earlyphase.runtime.storage import load_tensors, save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: those of any training job, though most of these need no training."""
    add_training_arguments(parser)
    parser.add_argument("--trajectory", required=True, help="states kept, .safetensors")
    parser.add_argument("--out", required=True, help="state after k iterations, .safetensors")


def run(args: argparse.Namespace) -> None:
    """Write the state after k iterations."""
    begin(args)
    k = args.spec["columns"]["k"]
    nearest, weights, optimizer_state = kept_before(args.trajectory, k)
    if nearest < k:
        print(f"iteration {k} was not kept: training on from {nearest}", flush=True)
        weights = train_on(args, weights, optimizer_state, range(nearest, k))
    save_weights(args.out, weights, iteration=k)


def kept_before(trajectory: str, k: int) -> tuple[int, Weights, Weights]:
    """The last iteration up to k whose state the dense run kept; its weights and the optimiser's state."""
    tensors, header = load_tensors(trajectory, "trajectory")
    nearest = max(iteration for iteration in header["iterations"] if iteration <= k)
    weights, kept = part(tensors, f"{nearest}/weights/"), part(tensors, f"{nearest}/")
    return nearest, weights, {name: kept[name] for name in kept if not name.startswith("weights/")}


def part(tensors: Weights, prefix: str) -> Weights:
    """Tensors whose name begins with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def train_on(args: argparse.Namespace, weights: Weights, optimizer_state: Weights, span: range) -> Weights:
    """Continue the dense run from its state at the start of `span`; return its state dict at the end."""
    from earlyphase.commands._job import training_job  # imports torch, which most checkpoints do not need

    with training_job(args, trajectory=args.trajectory) as job:
        training = job.training(weights, span, optimizer_state=optimizer_state)
        progress = job.train(training, job.network(), evaluates_at=lambda iteration: False)
        job.resume.remove()
        return progress.weights
