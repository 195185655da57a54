"""Perturb the ticket of one round at iteration k and train it once; it is never pruned further."""

import argparse

from earlyphase.commands.job import training_job
from earlyphase.commands.options import add_training_arguments
from earlyphase.core.branches import Ticket, branch, effective_std
from earlyphase.core.masks import density
from earlyphase.core.networks.state import load_state
from earlyphase.runtime.resume import train_resumably
from earlyphase.runtime.storage import load_mask, load_weights, save_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--rewind", required=True, help="dense state at iteration k, .safetensors")
    parser.add_argument("--initial", required=True, help="dense state at iteration 0, .safetensors")
    parser.add_argument("--mask", required=True, help="mask of the round, .safetensors")
    parser.add_argument("--out", required=True, help="evaluations, .csv")


def run(args: argparse.Namespace) -> None:
    """Perturb, train, evaluate; each row also says how large the perturbation was."""
    with training_job(args, rewind=args.rewind, initial=args.initial, mask=args.mask) as job:
        rewound, k = load_weights(args.rewind)
        initial, _ = load_weights(args.initial)
        before = Ticket(rewound, initial, load_mask(args.mask), k)
        entry = dict(job.spec["perturbation"])
        after = branch.named(entry.pop("function"))(before, job.seed, **entry)
        mean, std = effective_std(before.weights, after.weights, before.mask)
        model = job.network()
        load_state(model, after.weights)
        progress = train_resumably(
            model, after.mask, job.settings, job.train_images, job.test_images, job.resume, job.execution,
            seed=job.seed, start=after.iteration,
        )  # fmt: skip
        size = {"effective_mean": mean, "effective_std": std}
        save_rows(args.out, [row | size for row in job.metrics(progress, density(after.mask))])
        job.resume.remove()
