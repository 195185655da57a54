"""Train a pretrained ticket on the task of its run."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import from_start, metrics_size, second_phase_spec, training_work
from earlyphase.stages.pretrain_ticket import jobs
from earlyphase.study.jobs import Stage, Table


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train from the pretrained state to the end; the mask holds for a new output layer as well."""
    from earlyphase.core.masks import density
    from earlyphase.runtime.storage import load_mask, save_rows
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        model, mask = training.network(), load_mask(inputs["mask"])
        span = range(job.spec["second_phase"]["start"], training.settings.iterations)
        start = training.second_phase(inputs["state"], model)
        progress = training.train(training.training(start, span, mask), model)
        save_rows(outputs["metrics"], training.metrics(progress, density(mask), mask))
        training.finish(outputs["run"])


STAGE = Stage(
    jobs=jobs,
    spec=second_phase_spec,
    work=training_work,
    size=metrics_size,
    span=from_start,
    looks_up=("models", "tasks"),
    tables={"pretrained_tickets": Table("metrics")},
)
