"""Change the ticket of one round, then train what is left of the network on another task first."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import (
    branch_spec,
    branches_of,
    dense_end,
    first_phase,
    first_phase_spec,
    ticket_size,
    training_work,
)
from earlyphase.study.jobs import Block, Job, Stage, Table
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """Every ticket that is pretrained after it was pruned."""
    return [{"seed": run.seeds, **block} for block in branches_of(run.sparse_pretraining)]


def states(run: Run) -> list[int]:
    """Iteration 0, which perturbations look back at."""
    return [0] if run.sparse_pretraining else []


def spec(job: Job) -> dict:
    """The first phase of a ticket, and what is done to it before."""
    branch = branch_spec(job)
    ticket = {name: branch[name] for name in ("perturbation", "round")} | {"dense_end": job.run.iterations}
    return first_phase_spec(job) | ticket


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Perturb, train; pruned weights stay zero, and an output layer for other classes is dense.

    Raises:
        InvalidInput: a state is of another iteration.
    """
    from earlyphase.core.branches import apply
    from earlyphase.core.masks import density
    from earlyphase.core.pretraining import fitting
    from earlyphase.runtime.storage import save_mask, save_rows
    from earlyphase.runtime.tickets import save_trained
    from earlyphase.stages._training import training_job
    from earlyphase.stages.perturb import ticket_of

    with training_job(job, inputs, outputs) as training:
        model, end = training.network(), training.settings.iterations
        before = ticket_of(training, inputs, job.spec["dense_end"])
        ticket = apply(job.spec["perturbation"], before, training.seed)
        start = training.moved(ticket.weights, model, "initial")
        mask = fitting(ticket.mask, start)
        progress = training.train(training.training(start, range(end), mask), model)
        save_trained(outputs["state"], progress.weights, mask, end)
        save_mask(outputs["mask"], ticket.mask)
        save_rows(outputs["metrics"], training.metrics(progress, density(ticket.mask), ticket.mask))
        training.finish(outputs["run"])


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=training_work,
    size=ticket_size,
    span=first_phase,
    inputs=dense_end,
    states=states,
    looks_up=("models", "pretraining", "perturbations"),
    tables={"ticket_pretraining": Table("metrics")},
)
