"""The Hessian's top subspace at one state of a dense run, and how much of the gradient lies in it."""

import argparse

import numpy as np

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.curvature import Diverged, Eigenpairs, SampleLoss, fixed_sample, measure, parameters_of
from earlyphase.core.networks.state import load_state
from earlyphase.runtime.storage import Row, save_rows, save_tensors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_training_arguments(parser)
    parser.add_argument("--state", required=True, help="dense state after k iterations, .safetensors")
    parser.add_argument("--initial", required=True, help="dense state at iteration 0, .safetensors")
    parser.add_argument("--out-eigenpairs", required=True, help="eigenvalues and eigenvectors, .safetensors")
    parser.add_argument("--out-row", required=True, help="eigenvalues, residuals and shares, .csv")


def run(args: argparse.Namespace) -> None:
    """Find the eigenvectors; a state that is not finite is recorded as diverged.

    Raises:
        InvalidInput: the state is of another iteration or network.
    """
    with training_job(args, state=args.state, initial=args.initial) as job:
        k = job.spec["columns"]["k"]
        try:
            row, pairs = measured(job, args, k)
        except Diverged as error:
            print(f"recorded as diverged: {error}", flush=True)
            row, pairs = diverged(job.task.classes)
        save_tensors(
            args.out_eigenpairs, "eigenpairs",
            {"values": pairs.values, "vectors": pairs.vectors.astype(np.float32)}, iteration=k,
        )  # fmt: skip
        chosen = {name: job.spec["curvature"][name] for name in ("sample", "statistics", "tolerance")}
        chosen["sample"] = sample_size(job)
        save_rows(args.out_row, job.described([{"iteration": k} | chosen | row]))
        job.resume.remove()


def sample_size(job: Job) -> int:
    """Images that the Hessian is computed on: as many as asked for, or all that there are."""
    return min(job.spec["curvature"]["sample"], len(job.task.train))


def measured(job: Job, args: argparse.Namespace, k: int) -> tuple[Row, Eigenpairs]:
    """Measure the curvature at the state after k iterations."""
    model = job.network()
    vectors = []
    for path, iteration in ((args.initial, 0), (args.state, k)):
        load_state(model, load_state_at(path, iteration))
        vectors.append(parameters_of(model))
    settings, chosen = job.settings, job.spec["curvature"]
    sample = fixed_sample(job.task.train, sample_size(job))
    if len(sample) < chosen["sample"]:
        print(
            f"sample: all {len(sample)} training images, where {chosen['sample']} were asked for", flush=True
        )
    loss = SampleLoss(model, sample, statistics=chosen["statistics"])
    batch_at = job.task.batches(job.seed, settings.batch_size, settings.augmentation_at)
    row, pairs = measure(
        loss, vectors[1] - vectors[0], loss.gradient_on(*batch_at(k)),
        count=job.task.classes, seed=job.seed, tolerance=chosen["tolerance"],
    )  # fmt: skip
    return {"diverged": 0} | row | spectrum(pairs), pairs


def diverged(count: int) -> tuple[Row, Eigenpairs]:
    """What is recorded of a state that is not finite: no number, and no subspace."""
    nothing = np.full(count, np.nan)
    pairs = Eigenpairs(nothing, np.zeros((0, count)), nothing, 0)
    names = (
        "loss", "gradient_norm", "gradient_share", "minibatch_share", "displacement_share", "random_share",
        "chance", "residual",
    )  # fmt: skip
    return {"diverged": 1} | dict.fromkeys(names, float("nan")) | {"products": 0} | spectrum(pairs), pairs


def spectrum(pairs: Eigenpairs) -> Row:
    """Eigenvalues and their residuals as columns, the largest first."""
    columns = {"eigenvalue": pairs.values, "residual": pairs.residuals}
    return {
        f"{name}_{number}": float(value)
        for name, values in columns.items()
        for number, value in enumerate(values, start=1)
    }
