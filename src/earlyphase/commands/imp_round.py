"""One round of iterative pruning: prune by the criterion of the chain, rewind to iteration k, retrain."""

import argparse
from dataclasses import replace
from functools import partial

from earlyphase.commands._job import training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.criteria import Pruning, prune
from earlyphase.core.masks import density, full_mask
from earlyphase.core.networks.state import prunable_names
from earlyphase.core.retraining import retraining
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
    """Prune the network of the round before, retrain what is left to the end: see `core.retraining`."""
    inputs = {"rewind": args.rewind, "weights": args.weights}
    if args.mask:
        inputs["mask"] = args.mask
    with training_job(args, **inputs) as job:
        k, end = job.spec["columns"]["k"], job.settings.iterations
        rewound = load_state_at(args.rewind, k)  # normalisation statistics included
        trained, _ = load_trained(args.weights)
        model = job.network()
        previous = load_mask(args.mask) if args.mask else full_mask(trained, prunable_names(model))
        gradient = partial(mean_gradient, model, job.training(rewound, range(k, end), previous))
        given = Pruning(trained, rewound, previous, job.spec["prune_fraction"], gradient)
        criterion = dict(job.spec["criterion"])
        way = criterion.pop("retraining", "weight_rewinding")
        mask = prune(criterion, given, job.seed)
        start, settings = retraining(way, rewound, trained, job.settings)
        training = replace(job.training(start, range(k, end), mask), settings=settings)
        progress = job.train(training, model)
        save_mask(args.out_mask, mask)
        save_trained(args.out_weights, progress.weights, mask, end)
        save_rows(args.out_metrics, job.metrics(progress, density(mask), mask))
        job.finish(args.out_run, density=density(mask))
