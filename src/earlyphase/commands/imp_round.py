"""One round of iterative pruning: prune by the criterion of the chain, rewind to iteration k, train."""

import argparse
from functools import partial

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.criteria import Pruning, prune
from earlyphase.core.masks import density, full_mask
from earlyphase.core.networks.state import prunable_names
from earlyphase.core.training import mean_gradient
from earlyphase.runtime.storage import load_mask, save_mask, save_rows
from earlyphase.runtime.tickets import load_trained, save_trained


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
        k, end = job.spec["columns"]["k"], job.settings.iterations
        rewound = load_state_at(args.rewind, k)  # normalisation statistics included; momentum starts at zero
        trained, _ = load_trained(args.weights)
        model = job.network()
        previous = load_mask(args.mask) if args.mask else full_mask(trained, prunable_names(model))
        gradient = partial(mean_gradient, model, job.training(rewound, range(k, end), previous))
        given = Pruning(trained, rewound, previous, job.spec["prune_fraction"], gradient)
        mask = prune(job.spec["criterion"], given, job.seed)
        progress = job.train(job.training(rewound, range(k, end), mask), model)
        save_mask(args.out_mask, mask)
        save_trained(args.out_weights, progress.weights, mask, end)
        save_rows(args.out_metrics, job.metrics(progress, density(mask), mask))
        job.finish(args.out_run, density=density(mask))
