"""The trace of the dense network's Fisher information at chosen iterations, and of the empirical one."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import TIMES, image_by_image, measured_spec, one_row, section
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SETTINGS = section(
    iterations=TIMES,
    sample={"type": "integer", "minimum": 2, "description": "training images; an error needs two"},
)


def states(run: Run) -> list[int]:
    """Iterations at which it is measured, rising."""
    return sorted(run.fisher["iterations"])


def jobs(study: Study, run: Run) -> list[Block]:
    """Every time of the Fisher information."""
    return [{"seed": run.seeds, "k": states(run)}]


def work(job: Job) -> Work:
    """The gradients of each image."""
    return image_by_image(job.run.fisher["sample"])


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Measure both on as many training images as asked for, or on all that there are.

    Raises:
        InvalidInput: the state is of another iteration or network.
    """
    from earlyphase.core.fisher import fisher_trace
    from earlyphase.core.networks.state import load_state
    from earlyphase.core.streams import generator
    from earlyphase.core.tasks import sample_at
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, chosen = job.spec["columns"]["k"], job.spec["fisher"]
        model = training.network()
        load_state(model, load_state_at(inputs["state"], k))
        stream = generator(training.seed, "fisher sample")
        batch = sample_at(training.task, training.sample_size(chosen["sample"]), k, stream)
        save_rows(outputs["row"], training.described([{"iteration": k} | fisher_trace(model, batch)]))
        training.resume.remove()


STAGE = Stage(
    jobs=jobs,
    spec=measured_spec,
    work=work,
    size=one_row,
    states=states,
    settings={"fisher": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"fisher": Table("row")},
)
