"""The Hessian's top subspace at one state of the dense run, and what lies in it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import CLASSES, ROW, TIMES, TOLERANCE, measured_spec, section, state_size
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    import numpy as np

    from earlyphase.core.curvature import Eigenpairs
    from earlyphase.core.images import Batch
    from earlyphase.runtime.storage import Row
    from earlyphase.stages._training import TrainingJob

PRODUCTS = 60  # products with the Hessian in an eigen-solve under one kind of statistics; 32 to 64 measured
PRODUCT = (
    9  # a product takes as long as nine forward passes: it makes three of them and three backward passes
)

SETTINGS = section(
    iterations=TIMES,
    sample={"type": "integer", "minimum": 1, "description": "training images"},
    statistics={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"enum": ["running", "sample", "batch"]},
    },
    tolerance=TOLERANCE,
)


def times(run: Run) -> list[int]:
    """Iterations at which it is measured, rising."""
    return sorted(run.curvature["iterations"])


def states(run: Run) -> list[int]:
    """Every time of curvature, and iteration 0, from which the displacement is measured."""
    return [0, *times(run)] if times(run) else []


def jobs(study: Study, run: Run) -> list[Block]:
    """Every time of curvature."""
    return [{"seed": run.seeds, "k": times(run)}]


def impossible(run: Run, network: str, lacks: Sequence[str]) -> Iterator[str | dict]:
    """Several kinds of statistics of a network without batch norm, whose curvature is measured once."""
    if "batch norm" not in lacks:
        return
    statistics = run.curvature["statistics"]
    if run.curvature["iterations"] and len(statistics) > 1:
        yield (
            f"curvature is measured once and not under each of {', '.join(statistics)} statistics: "
            f"{network} has no batch norm"
        )
    yield {"curvature": run.curvature | {"statistics": ["none"]}}


def work(job: Job) -> Work:
    """An eigen-solve for each kind of statistics, by the number of its products."""
    products = PRODUCTS * len(job.run.curvature["statistics"])
    return Work(products * PRODUCT * job.run.curvature["sample"], products * PRODUCT)


def size(job: Job) -> float:
    """Bytes of the eigenvectors of each kind of statistics, of which there are as many as classes."""
    return CLASSES * len(job.run.curvature["statistics"]) * state_size(job) + ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Find eigenvectors under each kind of statistics; a state that is not finite is recorded as diverged.

    Raises:
        InvalidInput: the state is of another iteration or network.
    """
    import numpy as np

    from earlyphase.core.curvature import Diverged, fixed_sample, parameters_of
    from earlyphase.core.networks.state import load_state
    from earlyphase.runtime.storage import save_rows, save_tensors
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, chosen = job.spec["columns"]["k"], job.spec["curvature"]
        model, vectors = training.network(), []
        for path, iteration in ((inputs["initial"], 0), (inputs["state"], k)):
            load_state(model, load_state_at(path, iteration))
            vectors.append(parameters_of(model))
        sample = fixed_sample(training.task, training.sample_size(chosen["sample"]), k)
        rows, tensors = [], {}
        for statistics in chosen["statistics"]:
            named = {"sample": len(sample[1]), "statistics": statistics, "tolerance": chosen["tolerance"]}
            try:
                row, pairs = measured(training, model, vectors[1] - vectors[0], sample, statistics)
            except Diverged as error:
                print(f"recorded as diverged, {statistics} statistics: {error}", flush=True)
                row, pairs = diverged(training.task.classes)
            rows.append({"iteration": k} | named | row)
            tensors[f"{statistics}/values"] = pairs.values
            tensors[f"{statistics}/vectors"] = pairs.vectors.astype(np.float32)
        save_tensors(
            outputs["eigenpairs"], "eigenpairs", tensors, iteration=k, statistics=chosen["statistics"]
        )
        save_rows(outputs["row"], training.described(rows))
        training.resume.remove()


def measured(
    training: "TrainingJob", model: object, displacement: "np.ndarray", sample: "Batch", statistics: str
) -> "tuple[Row, Eigenpairs]":
    """Measure the curvature of a network under one kind of batch norm's statistics."""
    from earlyphase.core.curvature import SampleLoss, measure, other_minibatches, training_gradient

    k, tolerance = training.spec["columns"]["k"], training.spec["curvature"]["tolerance"]
    minibatches = other_minibatches(training.task, len(sample[1]), training.settings, k, training.seed)
    row, pairs = measure(
        SampleLoss(model, sample, statistics=statistics), displacement,
        [training_gradient(model, *batch) for batch in minibatches],
        count=training.task.classes, seed=training.seed, tolerance=tolerance,
    )  # fmt: skip
    return {"diverged": 0} | row | spectrum(pairs), pairs


def diverged(count: int) -> "tuple[Row, Eigenpairs]":
    """What is recorded of a state that is not finite: no number, and no subspace."""
    import numpy as np

    from earlyphase.core.curvature import Eigenpairs

    nothing = np.full(count, np.nan)
    pairs = Eigenpairs(nothing, np.zeros((0, count)), nothing, 0)
    names = (
        "loss", "gradient_norm", "gradient_share", "minibatch_share", "displacement_share", "random_share",
        "chance", "residual",
    )  # fmt: skip
    return {"diverged": 1} | dict.fromkeys(names, float("nan")) | {"products": 0} | spectrum(pairs), pairs


def spectrum(pairs: "Eigenpairs") -> "Row":
    """Eigenvalues and their residuals as columns, the largest first."""
    columns = {"eigenvalue": pairs.values, "residual": pairs.residuals}
    return {
        f"{name}_{number}": float(value)
        for name, values in columns.items()
        for number, value in enumerate(values, start=1)
    }


STAGE = Stage(
    jobs=jobs,
    spec=measured_spec,
    work=work,
    size=size,
    states=states,
    settings={"curvature": SETTINGS},
    impossible=impossible,
    looks_up=("models", "tasks"),
    tables={"curvature": Table("row")},
)
