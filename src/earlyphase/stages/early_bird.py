"""Compare the masks that would be pruned at the states which a dense run keeps."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import ROW, section, training_spec
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, each_seed, no_work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SHARE = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
SETTINGS = section(
    pruned={"type": "array", "uniqueItems": True, "items": SHARE | {"description": "share of the weights"}}
)


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each replicate, if any share is to be pruned."""
    return each_seed(study, run) if run.early_bird["pruned"] else []


def spec(job: Job) -> dict:
    """The training, whose network says which weights are prunable, and the shares that are pruned."""
    return training_spec(job) | {"pruned": job.run.early_bird["pruned"]}


def times(job: Job) -> list[int]:
    """Iterations whose state is kept, the end among them."""
    return [*job.study.kept_iterations(job.run), job.run.iterations]


def inputs(job: Job) -> Inputs:
    """Every state that is kept, whatever for."""
    return {"states": [job.path("checkpoint", "state", k=k) for k in times(job)]}


def size(job: Job) -> float:
    """Bytes of a row for each time and share."""
    return len(times(job)) * len(job.run.early_bird["pruned"]) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write a row for each share and time, with the distances from the mask before and from the last."""
    from earlyphase.core.early_bird import distances_of_masks
    from earlyphase.core.networks.state import prunable_names
    from earlyphase.runtime.storage import load_weights, save_rows
    from earlyphase.stages._training import training_job

    with training_job(job, {"data": inputs["data"]}, outputs) as training:  # for its network alone
        names, states = prunable_names(training.network()), {}
        for path in inputs["states"]:
            weights, iteration = load_weights(path)
            states[iteration] = {name: weights[name] for name in names}
        states = dict(sorted(states.items()))
        rows = (
            {"pruned": pruned} | row
            for pruned in job.spec["pruned"]
            for row in distances_of_masks(states, pruned)
        )
        save_rows(outputs["table"], training.described(rows))
        training.resume.remove()


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=no_work,
    size=size,
    inputs=inputs,
    looks_up=("models", "tasks"),
    settings={"early_bird": SETTINGS},
    tables={"early_bird": Table("table")},
)
