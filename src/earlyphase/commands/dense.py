"""Train the dense network once, keeping its state at every iteration that IMP returns to."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.runtime.resume import named
from earlyphase.runtime.storage import save_rows, save_tensors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")
    parser.add_argument("--start", help="state after pretraining, .safetensors; none begins at iteration 0")
    parser.add_argument("--keep", nargs="*", type=int, default=[], help="iterations whose state is kept")
    parser.add_argument("--out-trajectory", required=True, help="states kept, .safetensors")
    parser.add_argument("--out-metrics", required=True, help="evaluations, .csv")


def run(args: argparse.Namespace) -> None:
    """Train from iteration 0 to the end, or from a pretrained state and where its clock then stands."""
    with training_job(args, **({"start": args.start} if args.start else {})) as job:
        model, end = job.network(), job.settings.iterations
        if args.start:
            start, first = job.second_phase(args.start, model), job.spec["second_phase"]["start"]
        else:
            start, first = job.initial_state(model), 0
        training = job.training(start, range(first, end))
        progress = job.train(training, model, keep={*args.keep, end})
        tensors = {}
        for iteration, (weights, optimizer_state) in progress.states.items():
            tensors |= named(f"{iteration}/weights", weights) | named(f"{iteration}", optimizer_state)
        save_tensors(args.out_trajectory, "trajectory", tensors, iterations=list(progress.states))
        save_rows(args.out_metrics, job.metrics(progress, density=1.0))
        job.finish(args.out_run)
