"""Change the ticket of one round, then train what is left of the network on another task first."""

import argparse

from earlyphase.commands._job import training_job
from earlyphase.commands.perturb import TICKET, add_ticket_arguments, ticket_of
from earlyphase.core.branches import apply
from earlyphase.core.masks import density
from earlyphase.core.pretraining import fitting
from earlyphase.runtime.storage import save_mask, save_rows
from earlyphase.runtime.tickets import save_trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_ticket_arguments(parser)
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")
    parser.add_argument("--out-state", required=True, help="state at the end, .safetensors")
    parser.add_argument("--out-mask", required=True, help="mask of the changed ticket, .safetensors")
    parser.add_argument("--out-metrics", required=True, help="evaluations on this task, .csv")


def run(args: argparse.Namespace) -> None:
    """Perturb, train; pruned weights stay zero, and an output layer for other classes is dense.

    Raises:
        InvalidInput: a state is of another iteration.
    """
    with training_job(args, **{role: vars(args)[role] for role in TICKET}) as job:
        model, end = job.network(), job.settings.iterations
        ticket = apply(job.spec["perturbation"], ticket_of(args, job, job.spec["dense_end"]), job.seed)
        start = job.moved(ticket.weights, model, "initial")
        mask = fitting(ticket.mask, start)
        progress = job.train(job.training(start, range(end), mask), model)
        save_trained(args.out_state, progress.weights, mask, end)
        save_mask(args.out_mask, ticket.mask)
        save_rows(args.out_metrics, job.metrics(progress, density(ticket.mask), ticket.mask))
        job.finish(args.out_run)
