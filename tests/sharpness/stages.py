"""The largest loss of the dense network within a ball around its weights, at chosen iterations."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import BACKWARD, ROW, TIMES, section, training_spec
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SETTINGS = section(
    iterations=TIMES,
    radius={"type": "number", "exclusiveMinimum": 0, "description": "of the ball, in units of weights"},
    steps={"type": "integer", "minimum": 1, "description": "of gradient ascent"},
    sample={"type": "integer", "minimum": 1, "description": "training images"},
)


def states(run):
    """Iterations at which it is measured, rising."""
    return sorted(run.sharpness["iterations"])


def jobs(study: Study, run: Run) -> list[Block]:
    """Every time of sharpness."""
    return [{"seed": run.seeds, "k": states(run)}]


def spec(job: Job) -> dict:
    """A training, and the ball and the sample."""
    chosen = {key: value for key, value in job.run.sharpness.items() if key != "iterations"}
    return training_spec(job) | {"sharpness": chosen}


def work(job: Job) -> Work:
    """A gradient for each step of the ascent, and the loss where it ends."""
    calls = job.run.sharpness["steps"] * (1 + BACKWARD) + 1
    return Work(calls * job.run.sharpness["sample"], calls)


def size(job: Job) -> float:
    """Bytes of a row."""
    return ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Climb from the state after k iterations, and write what was gained."""
    from earlyphase.core.sharpness import largest_rise

    from earlyphase.core.networks.state import load_state
    from earlyphase.core.streams import generator
    from earlyphase.core.tasks import sample_at
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, chosen = job.spec["columns"]["k"], job.spec["sharpness"]
        model = training.network()
        load_state(model, load_state_at(inputs["state"], k))
        stream = generator(training.seed, "sharpness sample")
        batch = sample_at(training.task, training.sample_size(chosen["sample"]), k, stream)
        rise = largest_rise(model, batch, chosen["radius"], chosen["steps"])
        save_rows(outputs["row"], training.described([{"iteration": k, "sharpness": rise}]))
        training.resume.remove()


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    states=states,
    settings={"sharpness": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"sharpness": Table("row")},
)
