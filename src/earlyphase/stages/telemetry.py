"""Replay a dense run, and write down how its weights, gradients and accuracy change."""

from collections.abc import Iterator

from earlyphase.core.schedules import sampled_iterations
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import BACKWARD, RECORD, SCHEDULE, schedule_problems, section, training_spec
from earlyphase.study.jobs import Block, Job, Stage, Table, Work, each_seed
from earlyphase.study.limits import images_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SAMPLE = 0.2  # a sample takes as long as this many training steps; 0.14 to 0.26 measured
SAMPLE_SIZE = 5_000  # bytes of a sample, which has a row for each layer


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate, if anything is to be sampled."""
    return each_seed(study, run) if run.telemetry["schedule"] else []


def contradictions(run: Run) -> Iterator[str]:
    """Schedules that do not rise."""
    return schedule_problems(run, "telemetry", "schedule", "evaluations")


def span(job: Job) -> range:
    """Iterations that are replayed: to the last evaluation, or one past the last sample.

    The gradient at a sample is read one step later.
    """
    sampled, evaluated = (times(job, name)[-1] for name in ("schedule", "evaluations"))
    return range(min(max(sampled + 1, evaluated), job.run.iterations))


def times(job: Job, schedule: str) -> tuple[int, ...]:
    """Iterations of a schedule of the run."""
    return sampled_iterations(job.run.telemetry[schedule], job.run.iterations)


def spec(job: Job) -> dict:
    """A training, when it is looked at, and where the replay ends."""
    return training_spec(job) | {"telemetry": job.run.telemetry, "stop": job.span.stop}


def work(job: Job) -> Work:
    """The replay, its samples, and its evaluations."""
    steps = len(job.span) + SAMPLE * len(times(job, "schedule"))
    tested = images_of(job.study, job.run.dataset)["test"] * len(times(job, "evaluations"))
    return Work((1 + BACKWARD) * steps * job.run.training["batch_size"] + tested, (1 + BACKWARD) * steps)


def size(job: Job) -> float:
    """Bytes of the tables."""
    return len(times(job, "schedule")) * SAMPLE_SIZE + RECORD


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 once more, up to the last sample, and watch."""
    from earlyphase.core.images import iterations_per_epoch
    from earlyphase.core.networks.state import load_state
    from earlyphase.core.telemetry import Telemetry
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.trajectory import kept_states
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        settings, stop = training.settings, job.spec["stop"]
        sampled, evaluated = (
            sampled_iterations(job.spec["telemetry"][name], settings.iterations)
            for name in ("schedule", "evaluations")
        )
        model = training.network()
        start = training.initial_state(model)
        load_state(model, start)
        on_cpu = training.execution.device.type == "cpu"
        kept = kept_states(inputs["trajectory"])
        telemetry = Telemetry(model, sampled, kept, seed=training.seed, exact=on_cpu)
        progress = training.train(
            training.training(start, range(stop)), model, observer=telemetry,
            evaluates_at=frozenset(evaluated).__contains__,
        )  # fmt: skip
        per_epoch = iterations_per_epoch(len(training.task.train), settings.batch_size)
        state = (
            row | {"learning_rate": settings.learning_rate_at(row["iteration"])} for row in telemetry.rows()
        )
        evaluations = (row | {"epochs": row["iteration"] / per_epoch} for row in progress.rows)
        save_rows(outputs["state"], training.described(state))
        save_rows(outputs["traces"], training.described(telemetry.traces()))
        save_rows(outputs["evaluations"], training.described(evaluations))
        training.finish(outputs["run"], replayed=stop)


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    span=span,
    settings={"telemetry": section(schedule=SCHEDULE, evaluations=SCHEDULE)},
    contradictions=contradictions,
    looks_up=("models", "tasks"),
    tables={
        "telemetry": Table("state"),
        "traces": Table("traces"),
        "evaluations": Table("evaluations"),
    },
)
