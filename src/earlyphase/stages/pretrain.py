"""Train the dense network on another task first; what it then learns begins with the state it reaches."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import first_phase, first_phase_spec, metrics_size, state_size, training_work
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.limits import enlargement, images_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each first phase of the dense network and each of its lengths."""
    return [
        {"seed": run.seeds, "pretraining": entry["pretraining"], "iterations": entry["iterations"]}
        for entry in run.pretrained
    ]


def work(job: Job) -> Work:
    """The training, and an evaluation on all that it learned from."""
    training, images = training_work(job), images_of(job.study, job.run.dataset)["train"]
    return Work(training.images + enlargement(job.entry("pretraining")) * images, training.calls)


def size(job: Job) -> float:
    """Bytes of the state at the end, and of the evaluations."""
    return state_size(job) + metrics_size(job)


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 to the end of the first phase, and measure what was learned by then."""
    from earlyphase.core.networks.state import load_state
    from earlyphase.core.tasks import all_at
    from earlyphase.core.training import EVALUATION_BATCH, fit_of
    from earlyphase.runtime.storage import save_rows, save_weights
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        model, end = training.network(), training.settings.iterations
        start = training.initial_state(model)
        progress = training.train(training.training(start, range(end)), model)
        load_state(model, progress.weights)
        learned = fit_of(model, all_at(training.task, EVALUATION_BATCH, end - 1), training.autocast)
        *earlier, last = progress.rows
        progress.rows = [*(row | dict.fromkeys(learned, "") for row in earlier), last | learned]
        save_weights(outputs["state"], progress.weights, end)
        save_rows(outputs["metrics"], training.metrics(progress, density=1.0))
        training.finish(outputs["run"])


STAGE = Stage(
    jobs=jobs,
    spec=first_phase_spec,
    work=work,
    size=size,
    span=first_phase,
    looks_up=("models", "pretraining"),
    tables={"pretraining": Table("metrics")},
)
