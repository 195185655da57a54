"""Train the dense network on something else first; what it then learns begins with the state it reaches."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import first_phase, first_phase_spec, metrics_size, state_size, training_work
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, Work
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


def spec(job: Job) -> dict:
    """The first phase, and which images it shows where these are not all."""
    images = job.study.first_phase(job.names).images
    return first_phase_spec(job) | ({"images": images} if images else {})


def inputs(job: Job) -> Inputs:
    """The scores that images are chosen by; nothing where they are not."""
    chosen = job.study.first_phase(job.names).images.get("chosen", "random")
    return {"scores": [] if chosen == "random" else job.path("scores", "scores", task=job.run.task)}


def size(job: Job) -> float:
    """Bytes of the state at the end, and of the evaluations."""
    return state_size(job) + metrics_size(job)


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from iteration 0 to the end of the first phase, and measure what was learned by then."""
    from earlyphase.core.diet import shown
    from earlyphase.core.networks.state import load_state
    from earlyphase.core.tasks import all_at
    from earlyphase.core.training import EVALUATION_BATCH, fit_of
    from earlyphase.runtime.storage import load_tensors, save_rows, save_weights
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        if "images" in job.spec:
            scores = load_tensors(inputs["scores"], "scores")[0]["el2n"] if "scores" in inputs else None
            training.task = shown(training.task, training.seed, scores, **job.spec["images"])
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
    spec=spec,
    work=work,
    size=size,
    span=first_phase,
    inputs=inputs,
    looks_up=("models", "pretraining"),
    tables={"pretraining": Table("metrics")},
)
