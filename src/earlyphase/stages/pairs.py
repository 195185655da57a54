"""Compare the states of one dense run at two times each: the signs of weights, and the top subspaces."""

from itertools import combinations
from typing import TYPE_CHECKING

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages import curvature
from earlyphase.stages._settings import ROW
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, each_seed, no_work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    import numpy as np

    from earlyphase.core.masks import Weights


def times(run: Run) -> list[int]:
    """Iterations whose states are there to compare: those of curvature, and every k above 0."""
    return sorted({*curvature.times(run), *(k for k in run.rewind_iterations if k > 0)})


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate, if there are two states or their curvature is measured."""
    return each_seed(study, run) if len(times(run)) > 1 or curvature.times(run) else []


def spec(job: Job) -> dict:
    """The columns that name the run, and nothing else."""
    return {"columns": job.columns}


def inputs(job: Job) -> Inputs:
    """States at every time, and eigenpairs at those of curvature."""
    return {
        "eigenpairs": [job.path("curvature", "eigenpairs", k=k) for k in curvature.times(job.run)],
        "states": [job.path("checkpoint", "state", k=k) for k in times(job.run)],
    }


def size(job: Job) -> float:
    """Bytes of a row for each pair of times and kind of statistics."""
    number = len(times(job.run))
    return number * (number - 1) / 2 * len(job.run.curvature["statistics"]) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write a row for each pair of times and, where the subspace was computed at both, kind of statistics.

    The overlap with the subspace of a diverged run is NaN; where there is none, its columns are empty.
    """
    from earlyphase.core.subspaces import subspace_overlap
    from earlyphase.runtime.storage import load_tensors, load_weights, save_rows

    subspaces: dict = {}
    for eigenpairs in inputs.get("eigenpairs", []):
        tensors, header = load_tensors(eigenpairs, "eigenpairs")
        for statistics in header["statistics"]:
            basis = tensors[f"{statistics}/vectors"].astype("float64")
            subspaces.setdefault(statistics, {})[header["iteration"]] = basis
    signs = {}
    for state in inputs["states"]:
        weights, iteration = load_weights(state)
        signs[iteration] = prunable_signs(weights)
    changes = {
        pair: share_that_differ(*(signs[time] for time in pair)) for pair in combinations(sorted(signs), 2)
    }
    rows, without = [], dict.fromkeys(changes)
    for statistics, bases in subspaces.items():
        for pair in combinations(sorted(bases), 2):
            without.pop(pair, None)
            first, second = (bases[time] for time in pair)
            exist = len(first) and len(second)
            overlap = subspace_overlap(first, second) if exist else float("nan")
            rows.append((statistics, *pair, overlap, first.shape[1] / max(len(first), 1), changes[pair]))
    rows += [("", *pair, "", "", changes[pair]) for pair in without]
    measured = ("statistics", "earlier", "later", "overlap", "chance", "sign_changes")
    save_rows(outputs["table"], [job.spec["columns"] | dict(zip(measured, row, strict=True)) for row in rows])


def prunable_signs(weights: "Weights") -> "np.ndarray":
    """Signs of all weights of convolutions and linear layers, (P,): the tensors of two or more dimensions."""
    import numpy as np

    return np.concatenate(
        [np.sign(weights[name]).ravel() for name in sorted(weights) if weights[name].ndim >= 2]
    )


def share_that_differ(first: "np.ndarray", second: "np.ndarray") -> float:
    """Share of signs that differ, in [0, 1]; NaN where a weight is not finite."""
    import numpy as np

    if np.isnan(first).any() or np.isnan(second).any():
        return float("nan")
    return float((first != second).mean())


STAGE = Stage(jobs=jobs, spec=spec, work=no_work, size=size, inputs=inputs, tables={"pairs": Table("table")})
