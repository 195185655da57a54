"""Change the ticket of one round at iteration k and train it once; it is never pruned further."""

from typing import TYPE_CHECKING

from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import (
    branch_span,
    branch_spec,
    branches_of,
    dense_end,
    metrics_size,
    training_work,
)
from earlyphase.study.jobs import Block, Stage, Table
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    from earlyphase.core.branches import Ticket
    from earlyphase.stages._training import TrainingJob


def jobs(study: Study, run: Run) -> list[Block]:
    """Every perturbed ticket."""
    return [{"seed": run.seeds, **block} for block in branches_of(run.perturbed)]


def states(run: Run) -> list[int]:
    """Iteration 0, which perturbations look back at."""
    return [0] if run.perturbed else []


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Perturb, train, evaluate; each row also says how large the perturbation was.

    Raises:
        InvalidInput: a state is of another iteration, or a perturbation set the clock to a time that its
            decorator does not name.
    """
    from earlyphase.core.branches import apply, size_of_change
    from earlyphase.core.masks import density
    from earlyphase.runtime.storage import save_rows
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        end = training.settings.iterations
        before = ticket_of(training, inputs, end)
        after = apply(job.spec["perturbation"], before, training.seed)
        if after.iteration != job.spec["start"]:
            raise InvalidInput(
                f"the branch sets the clock to {after.iteration}, not to {job.spec['start']}; where it is "
                "to be another iteration than k, its decorator says so: @branch(clock=0)"
            )
        mean, std = size_of_change(before, after)
        rest = training.training(after.weights, range(after.iteration, end), after.mask)
        progress = training.train(rest, training.network())
        change = {"effective_mean": mean, "effective_std": std}
        metrics = training.metrics(progress, density(after.mask), after.mask)
        save_rows(outputs["metrics"], [row | change for row in metrics])
        training.finish(outputs["run"])


def ticket_of(training: "TrainingJob", inputs: Files, end: int) -> "Ticket":
    """Read the ticket that a job changes; the dense network was trained to `end`.

    Raises:
        InvalidInput: a state is of another iteration.
    """
    from earlyphase.core.branches import Ticket
    from earlyphase.runtime.storage import load_mask
    from earlyphase.runtime.tickets import load_state_at

    k = training.spec["columns"]["k"]
    rewound, initial, final = (
        load_state_at(inputs[role], iteration)
        for role, iteration in (("rewind", k), ("initial", 0), ("final", end))
    )
    law, mask = training.settings.initialisation, load_mask(inputs["mask"])
    return Ticket(rewound, initial, final, mask, k, training.spec["round"], initialisation=law)


STAGE = Stage(
    jobs=jobs,
    spec=branch_spec,
    work=training_work,
    size=metrics_size,
    span=branch_span,
    inputs=dense_end,
    states=states,
    looks_up=("models", "tasks", "perturbations"),
    tables={"perturbed": Table("metrics")},
)
