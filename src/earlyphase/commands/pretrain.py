"""Train the dense network on another task first; what it then learns begins with the state it reaches."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.runtime.storage import save_rows, save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")
    parser.add_argument("--out-state", required=True, help="state at the end, .safetensors")
    parser.add_argument("--out-metrics", required=True, help="evaluations on this task, .csv")


def run(args: argparse.Namespace) -> None:
    """Train from iteration 0 to the end of the first phase."""
    with training_job(args) as job:
        model, end = job.network(), job.settings.iterations
        progress = job.train(job.training(job.initial_state(model), range(end)), model)
        save_weights(args.out_state, progress.weights, end)
        save_rows(args.out_metrics, job.metrics(progress, density=1.0))
        job.finish(args.out_run)
