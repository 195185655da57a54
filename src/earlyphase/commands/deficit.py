"""Train the dense network with a deficit: another task in a window of iterations."""

import argparse
from dataclasses import replace

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.core.images import BatchAt
from earlyphase.core.networks.state import initial_state
from earlyphase.core.tasks import task
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--out-metrics", required=True, help="evaluations, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def run(args: argparse.Namespace) -> None:
    """Train from iteration 0 to the end; outside of the window as the dense network is trained."""
    with training_job(args) as job:
        model = job.network()
        training = job.training(initial_state(model, job.seed), range(job.settings.iterations))
        training = replace(training, batch_at=with_deficit(job, training.batch_at))
        progress = job.carry_out(training, model)
        save_rows(args.out_metrics, job.metrics(progress, density=1.0))
        job.finish(args.out_run)


def with_deficit(job: Job, clean_at: BatchAt) -> BatchAt:
    """Return `batch_at`: the mini-batches of the deficit in its window, those of `clean_at` outside of it.

    The deficit is a task that changes the job's own. Both have the same order and augmentation.

    Raises:
        InvalidInput: the deficit has another number of classes, hence another network.
    """
    first, end = job.spec["columns"]["first"], job.spec["columns"]["end"]
    if first == end:
        return clean_at
    entry = dict(job.spec["deficit"])
    harmed = task.named(entry.pop("function"))(job.task, job.seed, **entry)
    if harmed.classes != job.task.classes:
        raise InvalidInput(
            f"a deficit of {harmed.classes} classes in a task of {job.task.classes}; they must be as many"
        )
    harmed_at = harmed.batches(job.seed, job.settings.batch_size, job.settings.augmentation_at)
    return lambda iteration: harmed_at(iteration) if first <= iteration < end else clean_at(iteration)
