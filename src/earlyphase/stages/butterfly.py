"""Change the dense network a little at iteration k, train it on under the same noise, and see where it ends.

The first child is the dense run itself. The second goes on from its state at k, changed by an entry of
`perturbations` such as a single weight, with the optimiser's state there and the same mini-batches. The line
between their ends is that of the stage `stability`; a second line leads to the second child with its channels
renamed, so that its weights are near to those of the first.

Source: Kwok, Altıntaş, Raffel & Rolnick 2025, "The butterfly effect: neural network training trajectories are
highly sensitive to initial conditions". Renaming: Ainsworth, Hayase & Srinivasa 2022, "Git Re-Basin"; that
statistics must be estimated anew then: Jordan et al. 2022, "REPAIR".
"""

from typing import TYPE_CHECKING

from earlyphase.errors import InvalidInput
from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import RECORD, ROW, STARTS, dense_end, from_k, section, training_work
from earlyphase.stages.stability import line_work
from earlyphase.stages.stability import spec as line_spec
from earlyphase.study.configuration import entries_of
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    from earlyphase.core.masks import Weights
    from earlyphase.stages._training import TrainingJob

PERTURBATIONS = {"$ref": "#/$defs/perturbations", "description": "entries of `perturbations`"}
SETTINGS = section(iterations=STARTS, perturbations=PERTURBATIONS)


def states(run: Run) -> list[int]:
    """Every k, and iteration 0, which perturbations look back at."""
    return sorted({0, *run.butterfly["iterations"]}) if run.butterfly["iterations"] else []


def jobs(study: Study, run: Run) -> list[Block]:
    """Every perturbation at every k."""
    chosen = run.butterfly
    return [{"seed": run.seeds, "k": chosen["iterations"], "perturbation": chosen["perturbations"]}]


def spec(job: Job) -> dict:
    """A training, what is changed first, and how the line is measured."""
    return line_spec(job) | {"perturbation": entries_of(job.entry("perturbations"))}


def work(job: Job) -> Work:
    """A training and two lines."""
    training, line = training_work(job), line_work(job)
    return Work(training.images + 2 * line.images, training.calls + 2 * line.calls)


def size(job: Job) -> float:
    """Bytes of a row and of a run record."""
    return ROW + RECORD


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train the changed network; measure both lines and distances.

    Raises:
        InvalidInput: a state is of another iteration, or the perturbation prunes weights or sets the clock.
    """
    import numpy as np

    from earlyphase.core.branches import Ticket, apply
    from earlyphase.core.masks import full_mask, gather_kept
    from earlyphase.core.networks.state import prunable_names
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job

    with training_job(job, inputs, outputs) as training:
        k, end = job.spec["columns"]["k"], training.settings.iterations
        wanted = {"state": k, "initial": 0, "final": end}
        start, initial, first = (load_state_at(inputs[role], at) for role, at in wanted.items())
        model = training.network()
        every, law = full_mask(first, prunable_names(model)), training.settings.initialisation
        before = Ticket(start, initial, first, every, k, 0, initialisation=law)
        after = apply(job.spec["perturbation"], before, training.seed)
        if after.iteration != k or not all(kept.all() for kept in after.mask.values()):
            raise InvalidInput(
                f"butterfly: {job.spec['columns']['perturbation']} prunes weights or sets the clock; what is "
                "applied to the dense network here must only change its weights"
            )
        momentum = optimizer_state_at(training, inputs["trajectory"], k)
        changed = training.training(after.weights, range(k, end), optimizer_state=momentum)
        progress = training.train(changed, model, evaluates_at=end.__eq__)
        change = gather_kept(after.weights, every).astype(np.float64) - gather_kept(start, every)
        row = {"change": float(np.linalg.norm(change)), "second_accuracy": progress.rows[-1]["accuracy"]}
        save_rows(outputs["row"], training.described([row | lines(training, first, progress.weights)]))
        training.finish(outputs["run"])


def optimizer_state_at(training: "TrainingJob", trajectory: str, k: int) -> "Weights":
    """The dense run's optimiser at k; where k was added to the study later, trained on from what was kept."""
    from earlyphase.core.training import Run
    from earlyphase.runtime.trajectory import kept_before

    nearest, weights, state = kept_before(trajectory, k)
    before = training.training(weights, range(nearest, k), optimizer_state=state)
    run = Run(before, training.network(), training.task.test, training.autocast, evaluates_at=lambda _: False)
    for _ in run:
        pass
    return run.progress().optimizer_state


def lines(training: "TrainingJob", first: "Weights", second: "Weights") -> dict[str, float]:
    """Barriers between two networks and their distance, as they are and with channels renamed.

    Returns:
        `barrier`, of the error, `barrier_loss`, in nats, `distance`, L2 over all parameters; with `aligned_`
        before each the same after channels of the second were renamed, and `renamed`, the share of channels
        that were: NaN where the network's channels are not known.
    """
    import numpy as np

    from earlyphase.core.stability import barrier, distance
    from earlyphase.core.symmetry import channels_of, matching_orders, reordered
    from earlyphase.stages.stability import line_of

    model = training.network()
    names = [name for name, _ in model.named_parameters()]

    def measured(other: "Weights", prefix: str = "") -> dict[str, float]:
        line = line_of(training, model, first, other)
        return {
            f"{prefix}barrier": barrier([point["error"] for point in line]),
            f"{prefix}barrier_loss": barrier([point["loss"] for point in line]),
            f"{prefix}distance": distance(first, other, names),
        }

    found = measured(second)
    try:
        channels = channels_of(first)
    except InvalidInput as unknown:
        print(f"channels are not renamed: {unknown}", flush=True)
        return found | {name: float("nan") for name in [f"aligned_{name}" for name in found] + ["renamed"]}
    orders = matching_orders(first, second, channels, names)
    moved = np.concatenate([places != np.arange(len(places)) for places in orders.values()])
    return (
        found | measured(reordered(second, channels, orders), "aligned_") | {"renamed": float(moved.mean())}
    )


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    span=from_k,
    inputs=dense_end,
    states=states,
    settings={"butterfly": SETTINGS},
    looks_up=("models", "tasks", "perturbations"),
    tables={"butterfly": Table("row")},
)
