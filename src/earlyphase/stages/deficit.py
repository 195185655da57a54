"""Train the dense network with a deficit: another task in a window of iterations."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import metrics_size, training_spec, training_work
from earlyphase.study.configuration import entries_of
from earlyphase.study.deficits import deficits_of, training_of
from earlyphase.study.jobs import Block, Job, Stage, Table, functions_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """Every training with a deficit in a window, or without any."""
    return [{"seed": run.seeds, **block} for block in deficits_of(run, study.config["regimes"])]


def span(job: Job) -> range:
    """Train from iteration 0 to the end that the path names."""
    return range(int(job.names["stop"]))


def deficit(job: Job) -> dict | list[dict]:
    """The task in the window."""
    return job.study.config["tasks"][job.names["deficit"]]


def spec(job: Job) -> dict:
    """A training as its regime has it, and the deficit; the columns say in which window."""
    end, stop = int(job.names["end"]), int(job.names["stop"])
    settings = training_of(job.run, job.study.config["regimes"], job.names["regime"], end, stop)
    return training_spec(job) | {"training": settings, "deficit": deficit(job)}


def roots(job: Job) -> list[str]:
    """The functions of the deficit, which the job looks up by name."""
    return functions_of("tasks", deficit(job))


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 to the end; outside of the window, this is how the dense network is trained."""
    from earlyphase.core.tasks import apply, with_deficit
    from earlyphase.runtime.storage import save_rows
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        window = range(job.spec["columns"]["first"], job.spec["columns"]["end"])
        harmful = apply(entries_of(job.spec["deficit"]), training.task, training.seed)
        training.task = with_deficit(training.task, harmful, window)
        model = training.network()
        start = training.initial_state(model)
        progress = training.train(training.training(start, range(training.settings.iterations)), model)
        save_rows(outputs["metrics"], training.metrics(progress, density=1.0))
        training.finish(outputs["run"])


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=training_work,
    size=metrics_size,
    span=span,
    looks_up=("models", "tasks"),
    roots=roots,
    tables={"deficits": Table("metrics")},
)
