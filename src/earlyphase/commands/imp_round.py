"""One round of iterative magnitude pruning: prune, rewind to iteration k, train."""

import argparse

from earlyphase.commands.job import training_job
from earlyphase.commands.options import add_training_arguments
from earlyphase.core.masks import density, full_mask, prune_by_magnitude
from earlyphase.core.networks.state import load_state, prunable_names
from earlyphase.errors import InvalidInput
from earlyphase.runtime.resume import train_resumably
from earlyphase.runtime.storage import load_mask, load_weights, save_mask, save_rows, save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--out-run", required=True, help="run record, .json; written last")
    parser.add_argument("--rewind", required=True, help="dense state at iteration k, .safetensors")
    parser.add_argument("--weights", required=True, help="trained weights of the round before")
    parser.add_argument("--mask", help="mask of the round before; none means every weight is kept")
    parser.add_argument("--out-mask", required=True)
    parser.add_argument("--out-weights", required=True)
    parser.add_argument("--out-metrics", required=True)


def run(args: argparse.Namespace) -> None:
    """Prune the network of the round before, rewind what is left, train it to the end."""
    inputs = {"rewind": args.rewind, "weights": args.weights}
    if args.mask:
        inputs["mask"] = args.mask
    with training_job(args, **inputs) as job:
        if job is None:
            return
        rewound, k = load_weights(args.rewind)
        if k != job.spec["columns"]["k"]:
            raise InvalidInput(f"{args.rewind} is the state at iteration {k}, not {job.spec['columns']['k']}")
        trained, _ = load_weights(args.weights)
        model = job.network()
        load_state(model, rewound)  # normalisation statistics included; momentum starts at zero
        previous = load_mask(args.mask) if args.mask else full_mask(trained, prunable_names(model))
        mask = prune_by_magnitude(trained, previous, job.spec["prune_fraction"])
        progress = train_resumably(
            model, mask, job.settings, job.train_images, job.test_images, job.resume, job.execution,
            seed=job.seed, start=k,
        )  # fmt: skip
        save_mask(args.out_mask, mask)
        save_weights(args.out_weights, progress.weights, job.settings.iterations)
        save_rows(args.out_metrics, job.metrics(progress, density(mask)))
        job.finish(args.out_run, progress.seconds, density=density(mask))
