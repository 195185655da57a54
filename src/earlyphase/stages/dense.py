"""Train the dense network once, keeping its state at every iteration that anything goes back to."""

from functools import partial

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import (
    from_start,
    metrics_size,
    second_phase_spec,
    state_size,
    training_work,
)
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, each_seed
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """The dense network from its initial state, and from each state that was pretrained."""
    return [*each_seed(study, run), *pretrained(study, run), *on_a_diet(study, run)]


def begun(study: Study, run: Run, *, diet: bool) -> list[Block]:
    """Dense networks that learned something first: all images of a task or, on a `diet`, a share of them."""
    beginnings = [first for first, _ in study.beginnings(run) if bool(first.images) == diet]
    return [{"seed": run.seeds, "task": [first.label]} for first in beginnings]


pretrained = partial(begun, diet=False)
on_a_diet = partial(begun, diet=True)


def inputs(job: Job) -> Inputs:
    """The state that a pretrained network begins with; nothing where it was not pretrained."""
    first = job.study.pretraining(job.names)
    if first is None:
        return {"start": []}
    return {"start": job.path("pretrain", "state", pretraining=first.name, iterations=first.iterations)}


def kept(job: Job) -> list[int]:
    """Iterations whose state a dense run keeps, besides its end."""
    first = job.study.pretraining(job.names)
    return [first.start] if first else job.study.kept_iterations(job.run)


def size(job: Job) -> float:
    """Bytes of weights and momentum of each state that is kept, and of the end."""
    return 2 * (len(kept(job)) + 1) * state_size(job) + metrics_size(job)


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 to the end, or from a pretrained state and where its clock then stands."""
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.trajectory import save_trajectory
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        model, end = training.network(), training.settings.iterations
        if "start" in inputs:
            start, first = training.second_phase(inputs["start"], model), job.spec["second_phase"]["start"]
        else:
            start, first = training.initial_state(model), 0
        whole = training.training(start, range(first, end))
        progress = training.train(whole, model, keep={*job.keep, end})
        save_trajectory(outputs["trajectory"], progress.states)
        save_rows(outputs["metrics"], training.metrics(progress, density=1.0))
        training.finish(outputs["run"])


STAGE = Stage(
    jobs=jobs,
    spec=second_phase_spec,
    work=training_work,
    size=size,
    span=from_start,
    inputs=inputs,
    looks_up=("models", "tasks"),
    tables={
        "dense": Table("metrics", each_seed),
        "pretrained_dense": Table("metrics", pretrained),
        "diet_dense": Table("metrics", on_a_diet),
    },
)
