"""Train the dense network with a deficit: another task in a window of iterations."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.core.tasks import apply, with_deficit
from earlyphase.runtime.storage import save_rows
from earlyphase.study.configuration import entries_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--out-metrics", required=True, help="evaluations, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def run(args: argparse.Namespace) -> None:
    """Train from iteration 0 to the end; outside of the window, this is how the dense network is trained."""
    with training_job(args) as job:
        window = range(job.spec["columns"]["first"], job.spec["columns"]["end"])
        harmful = apply(entries_of(job.spec["deficit"]), job.task, job.seed)
        job.task = with_deficit(job.task, harmful, window)
        model = job.network()
        training = job.training(job.initial_state(model), range(job.settings.iterations))
        progress = job.train(training, model)
        save_rows(args.out_metrics, job.metrics(progress, density=1.0))
        job.finish(args.out_run)
