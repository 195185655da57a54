"""Take the state of the dense run at iteration k out of its trajectory.

Where the run did not keep that iteration, because k was added to the study later, training continues
from the nearest kept one before it, with the optimiser's state there: the same bytes at the least cost.
"""

from contextlib import suppress
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import state_size, training_spec, training_work
from earlyphase.stages.dense import kept
from earlyphase.study.jobs import Block, Job, Stage
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """The states that all dense runs keep, and their ends."""
    own = {"seed": run.seeds, "k": [*study.kept_iterations(run), run.iterations]}
    pretrained = [
        {"seed": run.seeds, "task": [first.label], "k": [first.start, run.iterations]}
        for first, _ in study.beginnings(run)
    ]
    return [own, *pretrained]


def span(job: Job) -> range:
    """Train to k from the nearest state that the dense run kept or, before it has run, is to keep."""
    k, iterations = int(job.names["k"]), [*kept(job), job.run.iterations]
    if (trajectory := Path(job.path("dense", "trajectory"))).exists():
        from earlyphase.runtime.storage import stored_header  # imports NumPy

        with suppress(InvalidInput):  # it is damaged, and then is made again
            iterations = stored_header(trajectory)["iterations"]
    return range(max((iteration for iteration in iterations if iteration <= k), default=0), k)


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write the state after k iterations."""
    from earlyphase.runtime.storage import save_weights
    from earlyphase.runtime.trajectory import kept_before

    k = job.spec["columns"]["k"]
    nearest, weights, optimizer_state = kept_before(inputs["trajectory"], k)
    if nearest < k:
        from earlyphase.stages._training import training_job  # imports torch, which is rarely needed

        print(f"iteration {k} was not kept: training on from {nearest}", flush=True)
        with training_job(job, inputs, outputs) as training:
            rest = training.training(weights, range(nearest, k), optimizer_state=optimizer_state)
            progress = training.train(rest, training.network(), evaluates_at=lambda iteration: False)
            training.resume.remove()
            weights = progress.weights
    save_weights(outputs["state"], weights, iteration=k)


STAGE = Stage(
    jobs=jobs,
    spec=training_spec,
    work=training_work,
    size=state_size,
    span=span,
    looks_up=("models", "tasks"),
)
