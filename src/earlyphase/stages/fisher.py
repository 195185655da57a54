"""The trace of the dense network's Fisher information at chosen iterations, and of the empirical one."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import BACKWARD, ROW, TIMES, section, training_spec
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

CLASSES = 10  # of a data set; more take longer than is asked for at first
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


def spec(job: Job) -> dict:
    """A training, and on how many images the Fisher information is measured."""
    chosen = {key: value for key, value in job.run.fisher.items() if key != "iterations"}
    return training_spec(job) | {"fisher": chosen}


def work(job: Job) -> Work:
    """Each image by itself: a forward pass, and a backward pass for each class."""
    sample = job.run.fisher["sample"]
    return Work(sample * (1 + BACKWARD * CLASSES), 3 * sample)  # calls of a single image are quick


def size(job: Job) -> float:
    """Bytes of a row."""
    return ROW


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
    spec=spec,
    work=work,
    size=size,
    states=states,
    settings={"fisher": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"fisher": Table("row")},
)
