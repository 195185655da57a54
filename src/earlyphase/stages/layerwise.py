"""Move one layer at a time from the dense network to a second child, and see which layers meet a barrier.

The children are the two of the stage `stability`: the dense run, and its copy that was trained from iteration
k on under other noise. On the line of a layer only its parameters go from those of the first child to those
of the second; all else stays the first child's. Statistics are estimated anew at every point.

Source: Adilova, Andriushchenko, Kamp, Fischer & Jaggi 2024, "Layer-wise linear mode connectivity". They look
at the middle of each line, the average, and hold it against the two children.
"""

from typing import TYPE_CHECKING

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import RECORD, ROW, STARTS, dense_end, from_k, section, training_work
from earlyphase.stages.stability import line_work
from earlyphase.stages.stability import spec as line_spec
from earlyphase.study.jobs import Block, Job, Stage, Table, Work
from earlyphase.study.limits import network_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study

if TYPE_CHECKING:
    from earlyphase.runtime.storage import Row

SETTINGS = section(
    iterations=STARTS,
    intervals={
        "type": "integer",
        "minimum": 2,
        "multipleOf": 2,
        "description": "of each line; even, so that its middle is measured",
    },
)


def states(run: Run) -> list[int]:
    """Iterations from which a second child is trained, rising."""
    return sorted(run.layerwise["iterations"])


def jobs(study: Study, run: Run) -> list[Block]:
    """Every k."""
    return [{"seed": run.seeds, "k": states(run)}]


def spec(job: Job) -> dict:
    """A training, and how its lines are measured."""
    line = line_spec(job)
    return line | {"stability": line["stability"] | {"points": job.run.layerwise["intervals"] + 1}}


def lines(job: Job) -> int:
    """That of all layers, and that of each."""
    return 1 + network_of(job.study, job.run.dataset, job.run.model).layers


def work(job: Job) -> Work:
    """A training, and the lines."""
    training, line = training_work(job), line_work(job)
    count = lines(job) * (job.run.layerwise["intervals"] + 1) / job.run.stability["points"]
    return Work(training.images + count * line.images, training.calls + count * line.calls)


def size(job: Job) -> float:
    """Bytes of a row for each line, and of a run record."""
    return lines(job) * ROW + RECORD


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Train the second child; measure the line of all layers, which is layer 0, and that of each.

    Raises:
        InvalidInput: a state is of another iteration or network.
    """
    from earlyphase.core.networks.state import layers_of
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job
    from earlyphase.stages.stability import line_of, second_dense

    with training_job(job, inputs, outputs) as training:
        end, model = training.settings.iterations, training.network()
        first = load_state_at(inputs["final"], end)
        second = training.train(
            second_dense(training, inputs["trajectory"]), model, evaluates_at=end.__eq__
        ).weights
        whole = line_of(training, model, first, second)
        rows = [{"layer": 0, "name": "all"} | rises(whole, whole)]
        for number, (name, parameters) in enumerate(layers_of(model).items(), 1):
            moved = first | {parameter: second[parameter] for parameter in parameters}
            rows.append(
                {"layer": number, "name": name} | rises(line_of(training, model, first, moved), whole)
            )
        save_rows(outputs["rows"], training.described(iter(rows)))
        training.finish(outputs["run"])


def rises(line: "list[Row]", whole: "list[Row]") -> dict[str, float]:
    """How far error and loss on a line lie above the mean of the two children.

    Args:
        line: a row per point, of an odd number, evenly spaced, with `error` and `loss`.
        whole: likewise; its ends are the two children.

    Returns:
        `barrier`, of the error, as a fraction, at the highest point; `averaged`, likewise, in the middle of
        the line, which may lie below; `barrier_loss` and `averaged_loss`, in nats. NaN where the loss on
        either line is not finite.
    """
    import numpy as np

    found = {}
    for column, ending in (("error", ""), ("loss", "_loss")):
        values = [point[column] for point in line]
        level = (whole[0][column] + whole[-1][column]) / 2
        found |= {f"barrier{ending}": float(np.max(values) - level)}
        found |= {f"averaged{ending}": values[len(values) // 2] - level}
    return found


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    span=from_k,
    inputs=dense_end,
    states=states,
    settings={"layerwise": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"layerwise": Table("rows")},
)
