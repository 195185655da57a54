"""Measure the line between the trained tickets of consecutive rounds; the dense network is round 0.

Both are there already, so nothing is trained. The line is that of the stage `stability`: as many points, and
batch norm's statistics estimated anew at each.

Source: Paul, Chen, Larsen, Frankle, Ganguli & Dziugaite 2023, "Unmasking the lottery ticket hypothesis".
"""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import REWIND_ITERATIONS, ROUNDS, one_row, section
from earlyphase.stages.stability import line_work, spec
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SETTINGS = section(rewind_iterations=REWIND_ITERATIONS, rounds=ROUNDS)


def jobs(study: Study, run: Run) -> list[Block]:
    """Every round of the chains that are looked at, beside the one before it."""
    chosen = run.consecutive
    return [{"seed": run.seeds, "k": chosen["rewind_iterations"], "round": chosen["rounds"]}]


def inputs(job: Job) -> Inputs:
    """The trained network of the round before."""
    previous = int(job.names["round"]) - 1
    if previous == 0:
        return {"first": job.path("checkpoint", "state", k=job.run.iterations)}
    return {"first": job.path("imp_round", "weights", round=previous)}


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Measure the line, and write how high it rises.

    Raises:
        InvalidInput: a state is not that of the end of training.
    """
    from earlyphase.core.stability import barrier
    from earlyphase.runtime.storage import save_rows
    from earlyphase.runtime.tickets import load_state_at
    from earlyphase.stages._training import training_job
    from earlyphase.stages.stability import line_of

    with training_job(job, inputs, outputs) as training:
        end = training.settings.iterations
        first, second = (load_state_at(inputs[role], end) for role in ("first", "second"))
        line = line_of(training, training.network(), first, second)
        row = {f"{name}_error": line[place]["error"] for name, place in (("first", 0), ("second", -1))}
        row |= {"barrier": barrier([point["error"] for point in line])}
        row |= {"barrier_loss": barrier([point["loss"] for point in line])}
        save_rows(outputs["row"], training.described([row]))


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=line_work,
    size=one_row,
    inputs=inputs,
    settings={"consecutive": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"consecutive": Table("row")},
)
