"""Change the ticket of one round at iteration k and train it once; it is never pruned further."""

import argparse

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.branches import Ticket, apply, size_of_change
from earlyphase.core.masks import density
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_mask, save_rows

TICKET = ("rewind", "initial", "final", "mask")  # what a ticket is made of: three dense states and a mask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_ticket_arguments(parser)
    parser.add_argument("--out-metrics", required=True, help="evaluations, .csv")
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")


def add_ticket_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a training, and the states and the mask of a ticket: `TICKET`."""
    add_training_arguments(parser)
    parser.add_argument("--rewind", required=True, help="dense state at iteration k, .safetensors")
    parser.add_argument("--initial", required=True, help="dense state at iteration 0, .safetensors")
    parser.add_argument("--final", required=True, help="dense state at the end of training, .safetensors")
    parser.add_argument("--mask", required=True, help="mask of the round, .safetensors")


def run(args: argparse.Namespace) -> None:
    """Perturb, train, evaluate; each row also says how large the perturbation was.

    Raises:
        InvalidInput: a state is of another iteration, or a branch set the clock to a time that its
            decorator does not name.
    """
    with training_job(args, **{role: vars(args)[role] for role in TICKET}) as job:
        end = job.settings.iterations
        before = ticket_of(args, job, end)
        after = apply(job.spec["perturbation"], before, job.seed)
        if after.iteration != job.spec["start"]:
            raise InvalidInput(
                f"the branch sets the clock to {after.iteration}, not to {job.spec['start']}; where it is "
                "to be another iteration than k, its decorator says so: @branch(clock=0)"
            )
        mean, std = size_of_change(before, after)
        training = job.training(after.weights, range(after.iteration, end), after.mask)
        progress = job.train(training, job.network())
        size = {"effective_mean": mean, "effective_std": std}
        save_rows(
            args.out_metrics, [row | size for row in job.metrics(progress, density(after.mask), after.mask)]
        )
        job.finish(args.out_run)


def ticket_of(args: argparse.Namespace, job: Job, end: int) -> Ticket:
    """Read the ticket that a job changes; the dense network was trained to `end`.

    Raises:
        InvalidInput: a state is of another iteration.
    """
    k = job.spec["columns"]["k"]
    rewound, initial, final = (
        load_state_at(path, iteration)
        for path, iteration in ((args.rewind, k), (args.initial, 0), (args.final, end))
    )
    law, mask = job.settings.initialisation, load_mask(args.mask)
    return Ticket(rewound, initial, final, mask, k, job.spec["round"], initialisation=law)
