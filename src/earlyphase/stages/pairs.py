"""Compare the states of one dense run at two times each: their top subspaces, and the signs of weights."""

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


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate whose curvature is measured."""
    return each_seed(study, run) if curvature.times(run) else []


def spec(job: Job) -> dict:
    """The columns that name the run, and nothing else."""
    return {"columns": job.columns}


def inputs(job: Job) -> Inputs:
    """States and eigenpairs at every time of curvature."""
    times = curvature.times(job.run)
    return {
        "eigenpairs": [job.path("curvature", "eigenpairs", k=k) for k in times],
        "states": [job.path("checkpoint", "state", k=k) for k in times],
    }


def size(job: Job) -> float:
    """Bytes of a row for each pair of times and kind of statistics."""
    times = len(curvature.times(job.run))
    return times * (times - 1) / 2 * len(job.run.curvature["statistics"]) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write a row for each kind of statistics and pair of times; the subspace of a diverged run is NaN."""
    import numpy as np

    from earlyphase.core.subspaces import subspace_overlap
    from earlyphase.runtime.storage import load_tensors, load_weights, save_rows

    subspaces, signs = {}, {}
    for eigenpairs, state in zip(inputs["eigenpairs"], inputs["states"], strict=True):
        weights, iteration = load_weights(state)
        signs[iteration] = prunable_signs(weights)
        tensors, header = load_tensors(eigenpairs, "eigenpairs")
        for statistics in header["statistics"]:
            basis = tensors[f"{statistics}/vectors"].astype(np.float64)
            subspaces.setdefault(statistics, {})[iteration] = basis
    changes = {
        (earlier, later): share_that_differ(signs[earlier], signs[later])
        for earlier, later in combinations(sorted(signs), 2)
    }
    rows = []
    for statistics, bases in subspaces.items():
        for (earlier, later), changed in changes.items():
            first, second = bases[earlier], bases[later]
            exist = len(first) and len(second)
            rows.append(
                job.spec["columns"]
                | {
                    "statistics": statistics,
                    "earlier": earlier,
                    "later": later,
                    "overlap": subspace_overlap(first, second) if exist else float("nan"),
                    "chance": first.shape[1] / max(len(first), 1),
                    "sign_changes": changed,
                }
            )
    save_rows(outputs["table"], rows)


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
