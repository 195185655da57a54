"""How hard each training image is: EL2N early in training, averaged over dense networks of all seeds."""

from itertools import product

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import TIMES, section, training_spec
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Work
from earlyphase.study.limits import images_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SETTINGS = section(iterations=TIMES)
BYTES = 8  # bytes of a score


def states(run: Run) -> list[int]:
    """Iterations whose networks judge the images, rising."""
    return sorted(run.scores["iterations"])


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for all seeds, if there is a time at which images are judged."""
    return [{}] if states(run) else []


def judges(job: Job) -> list[tuple[int, int]]:
    """Seed and iteration of each network that judges the images."""
    return list(product(job.run.seeds, states(job.run)))


def spec(job: Job) -> dict:
    """A training, and the networks by whose answers images are judged."""
    return training_spec(job) | {"judges": judges(job)}


def inputs(job: Job) -> Inputs:
    """The states of these networks."""
    return {"states": [job.path("checkpoint", "state", seed=seed, k=k) for seed, k in judges(job)]}


def work(job: Job) -> Work:
    """A forward pass of every training image in each network."""
    images = len(judges(job)) * images_of(job.study, job.run.dataset)["train"]
    return Work(images, len(judges(job)))


def size(job: Job) -> float:
    """Bytes of a score for each training image."""
    return BYTES * images_of(job.study, job.run.dataset)["train"]


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write the mean score of each training image of the data set, in its order.

    Each network judges by the labels that it was trained on. It keeps no progress, and is done in one go.

    Raises:
        InvalidInput: a state is of another iteration or network.
    """
    import numpy as np

    from earlyphase.core.diet import el2n
    from earlyphase.core.networks import network
    from earlyphase.core.networks.state import load_state
    from earlyphase.runtime.execution import explaining, prepare
    from earlyphase.runtime.storage import load_tensors, save_tensors
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import task_of

    data, header = load_tensors(inputs["data"], "data set")
    execution = prepare(job.device, job.precision)
    entry = dict(job.spec["model"])
    build = network.named(entry.pop("function"))
    scores = []
    with explaining(execution.device):
        for (seed, k), path in zip(job.spec["judges"], inputs["states"], strict=True):
            named = {"columns": job.spec["columns"] | {"seed": seed}}
            task = task_of(job.spec | named, data, header, execution)
            model = build(task.train.pixels.shape[-1], task.classes, **entry).to(execution.device)
            load_state(model, load_state_at(path, k))
            scores.append(el2n(model, task.train))
    save_tensors(outputs["scores"], "scores", {"el2n": np.mean(scores, axis=0)}, judges=job.spec["judges"])


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    inputs=inputs,
    states=states,
    settings={"scores": SETTINGS},
    looks_up=("models", "tasks"),
)
