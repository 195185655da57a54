"""Replay a dense run, and follow the Hessian's largest eigenvalue from iteration to iteration."""

from collections.abc import Iterator

from earlyphase.core.schedules import sampled_iterations
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import (
    BACKWARD,
    RECORD,
    ROW,
    SCHEDULE,
    TOLERANCE,
    measured_spec,
    schedule_problems,
    section,
)
from earlyphase.stages.curvature import PRODUCT
from earlyphase.study.jobs import Block, Job, Stage, Table, Work, each_seed
from earlyphase.study.run import Run
from earlyphase.study.study import Study

PRODUCTS = 10  # products with the Hessian in a solve that starts where the last one ended; nine are usual
SETTINGS = section(
    schedule=SCHEDULE,
    sample={"type": "integer", "minimum": 2, "description": "training images"},
    tolerance=TOLERANCE,
)


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate, if anything is to be measured."""
    return each_seed(study, run) if run.edge_of_stability["schedule"] else []


def times(run: Run) -> tuple[int, ...]:
    """Iterations at which it is measured."""
    return sampled_iterations(run.edge_of_stability["schedule"], run.iterations)


def contradictions(run: Run) -> Iterator[str]:
    """A schedule that does not rise."""
    return schedule_problems(run, "edge_of_stability", "schedule")


def span(job: Job) -> range:
    """Iterations that are replayed: to the last at which it is measured."""
    return range(times(job.run)[-1])


def work(job: Job) -> Work:
    """The replay, and a short solve at every time."""
    products = PRODUCTS * len(times(job.run))
    steps = (1 + BACKWARD) * len(job.span)
    images = steps * job.run.training["batch_size"]
    return Work(images + products * PRODUCT * job.run.edge_of_stability["sample"], steps + products * PRODUCT)


def size(job: Job) -> float:
    """Bytes of a row for each time."""
    return len(times(job.run)) * ROW + RECORD


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 once more, up to the last time, and measure."""
    from earlyphase.core.curvature import fixed_sample
    from earlyphase.core.edge import Sharpness
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.trajectory import kept_states
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        settings, chosen = training.settings, job.spec["edge_of_stability"]
        measured = sampled_iterations(chosen["schedule"], settings.iterations)
        model = training.network()
        sample = fixed_sample(training.task, training.sample_size(chosen["sample"]), 0)
        sharpness = Sharpness(
            measured, kept_states(inputs["trajectory"]), sample, seed=training.seed,
            tolerance=chosen["tolerance"], exact=training.execution.device.type == "cpu",
        )  # fmt: skip
        replay = training.training(training.initial_state(model), range(measured[-1]))
        training.train(replay, model, observer=sharpness, evaluates_at=lambda iteration: False)
        save_rows(outputs["rows"], training.described(iter(sharpness.rows(settings))))
        training.finish(outputs["run"], replayed=measured[-1])


STAGE = Stage(
    jobs=jobs,
    spec=measured_spec,
    work=work,
    size=size,
    span=span,
    settings={"edge_of_stability": SETTINGS},
    contradictions=contradictions,
    looks_up=("models", "tasks"),
    tables={"edge_of_stability": Table("rows")},
)
