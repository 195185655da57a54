"""The Hessian's top subspace at one state of a dense run, and how much of the gradient lies in it."""

import argparse

import numpy as np
from torch import nn

from earlyphase.commands._job import Job, training_job
from earlyphase.commands._options import add_training_arguments, load_state_at
from earlyphase.core.curvature import (
    Diverged,
    Eigenpairs,
    SampleLoss,
    fixed_sample,
    measure,
    other_minibatches,
    parameters_of,
    training_gradient,
)
from earlyphase.core.images import Batch
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
    """Find eigenvectors under each kind of statistics; a state that is not finite is recorded as diverged.

    Raises:
        InvalidInput: the state is of another iteration or network.
    """
    with training_job(args, state=args.state, initial=args.initial) as job:
        k, kinds = job.spec["columns"]["k"], job.spec["curvature"]["statistics"]
        model, displacement = states(job, args, k)
        sample = fixed_sample(job.task, job.sample_size(job.spec["curvature"]["sample"]), k)
        tolerance = job.spec["curvature"]["tolerance"]
        rows, tensors = [], {}
        for statistics in kinds:
            chosen = {"sample": len(sample[1]), "statistics": statistics, "tolerance": tolerance}
            try:
                row, pairs = measured(job, model, displacement, sample, statistics)
            except Diverged as error:
                print(f"recorded as diverged, {statistics} statistics: {error}", flush=True)
                row, pairs = diverged(job.task.classes)
            rows.append({"iteration": k} | chosen | row)
            tensors[f"{statistics}/values"] = pairs.values
            tensors[f"{statistics}/vectors"] = pairs.vectors.astype(np.float32)
        save_tensors(args.out_eigenpairs, "eigenpairs", tensors, iteration=k, statistics=kinds)
        save_rows(args.out_row, job.described(rows))
        job.resume.remove()


def states(job: Job, args: argparse.Namespace, k: int) -> tuple[nn.Module, np.ndarray]:
    """The network after k iterations, and the way of its parameters from their initial values, (d,)."""
    model = job.network()
    vectors = []
    for path, iteration in ((args.initial, 0), (args.state, k)):
        load_state(model, load_state_at(path, iteration))
        vectors.append(parameters_of(model))
    return model, vectors[1] - vectors[0]


def measured(
    job: Job, model: nn.Module, displacement: np.ndarray, sample: Batch, statistics: str
) -> tuple[Row, Eigenpairs]:
    """Measure the curvature of a network under one kind of batch norm's statistics."""
    loss = SampleLoss(model, sample, statistics=statistics)
    k = job.spec["columns"]["k"]
    minibatches = other_minibatches(job.task, len(sample[1]), job.settings, k, job.seed)
    row, pairs = measure(
        loss, displacement, [training_gradient(model, *batch) for batch in minibatches],
        count=job.task.classes, seed=job.seed, tolerance=job.spec["curvature"]["tolerance"],
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
