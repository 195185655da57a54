"""How fast the empirical tangent kernel of the dense network changes at chosen iterations."""

from collections.abc import Iterator

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import STARTS, image_by_image, measured_spec, one_row, section
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

STATES = 3  # a job computes the kernels of this many states
SETTINGS = section(
    iterations=STARTS,
    interval={"type": "integer", "minimum": 1, "description": "iterations between two states"},
    sample={"type": "integer", "minimum": 2, "description": "training images"},
)


def times(run: Run) -> list[int]:
    """Iterations at which it is measured, rising."""
    return sorted(run.kernel["iterations"])


def states(run: Run) -> list[int]:
    """These, and those an interval later."""
    return [time + later for time in times(run) for later in (0, run.kernel["interval"])]


def contradictions(run: Run) -> Iterator[str]:
    """An interval that ends after the training."""
    if times(run) and states(run)[-1] > run.iterations:
        yield (
            f"kernel.iterations has {times(run)[-1]}, and {run.kernel['interval']} iterations later {run} "
            f"has ended, at {run.iterations}; both states must be there"
        )


def jobs(study: Study, run: Run) -> list[Block]:
    """Every time of the kernel."""
    return [{"seed": run.seeds, "k": times(run)}]


def inputs(job: Job) -> Inputs:
    """The states an interval later, and at the end."""
    later = int(job.names["k"]) + job.run.kernel["interval"]
    return {
        "later": job.path("checkpoint", "state", k=later),
        "final": job.path("checkpoint", "state", k=job.run.iterations),
    }


def work(job: Job) -> Work:
    """The gradients of each image in each state."""
    return image_by_image(STATES * job.run.kernel["sample"])


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Compare the kernel with that an interval later, and with that of the end.

    Raises:
        InvalidInput: a state is of another iteration or network.
    """
    from earlyphase.core.kernel import kernel_distance, tangent_kernel
    from earlyphase.core.networks.state import load_state
    from earlyphase.core.streams import generator
    from earlyphase.core.tasks import sample_at
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, interval = job.spec["columns"]["k"], job.spec["kernel"]["interval"]
        count = training.sample_size(job.spec["kernel"]["sample"])
        sample = sample_at(training.task, count, k, generator(0, "kernel sample"))
        model, kernels = training.network(), []
        for role, iteration in (
            ("state", k),
            ("later", k + interval),
            ("final", training.settings.iterations),
        ):
            load_state(model, load_state_at(inputs[role], iteration))
            kernels.append(tangent_kernel(model, sample))
        distance = kernel_distance(kernels[0], kernels[1])
        row = {
            "iteration": k,
            "interval": interval,
            "images": count,
            "distance": distance,
            "velocity": distance / interval,
            "distance_final": kernel_distance(kernels[0], kernels[2]),
        }
        save_rows(outputs["row"], training.described(iter([row])))
        training.resume.remove()


STAGE = Stage(
    jobs=jobs,
    spec=measured_spec,
    work=work,
    size=one_row,
    inputs=inputs,
    states=states,
    settings={"kernel": SETTINGS},
    contradictions=contradictions,
    looks_up=("models", "tasks"),
    tables={"kernel": Table("row")},
)
