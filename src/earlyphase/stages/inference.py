"""Measure what the sparsity of tickets buys: bytes of files, time and energy of inference."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import REWIND_ITERATIONS, ROUNDS, ROW, section, training_spec
from earlyphase.study.jobs import Block, Inputs, Job, Stage, Table, Work
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SETTINGS = section(
    rewind_iterations=REWIND_ITERATIONS,
    rounds=ROUNDS,
    batch_sizes={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"type": "integer", "minimum": 1, "maximum": 4096},
    },
    turns={"type": "integer", "minimum": 3, "description": "a median needs three"},
    least_seconds={
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 10,
        "description": "seconds of a turn",
    },
)


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for all tickets of a chain whose inference is measured: they are timed in turns."""
    return [{"seed": run.seeds, "k": run.inference["rewind_iterations"]}] if run.inference["rounds"] else []


def spec(job: Job) -> dict:
    """A training, and which of its tickets are timed how."""
    chosen = {key: value for key, value in job.run.inference.items() if key != "rewind_iterations"}
    return training_spec(job) | {"inference": chosen}


def inputs(job: Job) -> Inputs:
    """The trained dense network, and mask and weights of each round whose inference is measured."""
    rounds = job.run.inference["rounds"]
    tickets = {
        role: [job.path("imp_round", output, round=number) for number in rounds]
        for role, output in (("masks", "mask"), ("weights", "weights"))
    }
    return {"dense": job.path("checkpoint", "state", k=job.run.iterations)} | tickets


def timed_networks(run: Run) -> int:
    """How many networks are timed, once for each runtime: three as pruned, one without emptied channels."""
    return 3 + 4 * len(run.inference["rounds"])


def work(job: Job) -> Work:
    """All turns of the dense network and of its tickets."""
    chosen = job.run.inference
    calls = timed_networks(job.run) * (chosen["turns"] + 2)
    return Work(calls * sum(chosen["batch_sizes"]), calls * len(chosen["batch_sizes"]))


def size(job: Job) -> float:
    """Bytes of a row for each network, runtime and size of a mini-batch."""
    return timed_networks(job.run) * len(job.run.inference["batch_sizes"]) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Time all networks in turns, on one thread, and write a row for each with its runtime and batch size."""
    from earlyphase.stages._inference import measure

    measure(job, inputs, outputs)


STAGE = Stage(
    jobs=jobs,
    spec=spec,
    work=work,
    size=size,
    inputs=inputs,
    settings={"inference": SETTINGS},
    looks_up=("models", "tasks"),
    tables={"inference": Table("table")},
)
