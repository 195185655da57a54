"""Train a pretrained ticket on the task of its run."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments
from earlyphase.core.masks import density
from earlyphase.runtime.storage import load_mask, save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--state", required=True, help="state after pretraining, .safetensors")
    parser.add_argument("--mask", required=True, help="mask of the ticket, .safetensors")
    parser.add_argument("--out-metrics", required=True, help="evaluations, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def run(args: argparse.Namespace) -> None:
    """Train from the pretrained state to the end; the mask holds for a new output layer as well."""
    with training_job(args, state=args.state, mask=args.mask) as job:
        model, mask = job.network(), load_mask(args.mask)
        span = range(job.spec["second_phase"]["start"], job.settings.iterations)
        progress = job.train(job.training(job.second_phase(args.state, model), span, mask), model)
        save_rows(args.out_metrics, job.metrics(progress, density(mask), mask))
        job.finish(args.out_run)
