"""How far each job of a study is, from files alone."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime import pace
from earlyphase.runtime.locks import is_held
from earlyphase.runtime.storage import stored_header
from earlyphase.study.jobs import Job
from earlyphase.study.stages import RECORD, STAGES, outputs
from earlyphase.study.study import Study

RECORDS = 50  # of finished jobs, that a speed is taken from


@dataclass(frozen=True)
class State:
    """How far a job is: "done", "running", "resumable", "failed" or "missing"."""

    name: str
    iteration: int | None = None  # last one saved; of a running job, last one that its log tells
    seconds_left: float | None = None  # of training, at the speed so far
    last_line: str = ""  # of the log
    rate: float | None = None  # iterations a second, of a running job


def state_of_job(study: Study, one: Job) -> State:
    """Find out from files alone how far a job is."""
    if all(map(os.path.exists, one.outputs)):
        return State("done")
    iteration, seconds_left = _progress(Path(one.resume), STAGES[one.rule].trains(study, one.names))
    if is_held(Path(f"{one.resume}.lock")):
        if said := pace.read(last_lines(Path(one.log))):
            left = (said.stop - said.iteration) / said.rate if said.rate else None
            return State("running", said.iteration, left, rate=said.rate)
        return State("running", iteration, seconds_left)
    if iteration is not None:
        return State("resumable", iteration, seconds_left)
    last_line = last_line_of(Path(one.log))
    return State("failed", last_line=last_line) if last_line else State("missing")


def _progress(resume: Path, span: range) -> tuple[int | None, float | None]:
    """Last iteration that was saved, and the seconds of training that are left at the speed so far."""
    if not resume.exists():
        return None, None
    try:
        header = stored_header(resume)
    except InvalidInput:
        return None, None  # being replaced, or damaged: the job starts anew
    done = header["iteration"] - span.start
    left = header["seconds"] * (span.stop - header["iteration"]) / done if done > 0 else None
    return header["iteration"], left


def last_line_of(log: Path) -> str:
    """Last line of a log that says something, or nothing."""
    return next((line.strip() for line in reversed(last_lines(log)) if line.strip()), "")


def last_lines(log: Path) -> list[str]:
    """The last lines of a log, as many as fit into 4 kB."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode(errors="replace").split("\n")


@dataclass(frozen=True)
class Left:
    """What is left of a study's training."""

    done: float  # share of all iterations that training jobs take, in [0, 1]
    seconds: float | None  # at the speed of finished jobs, as many at a time as run now; None: not known


def left_of(study: Study, states: Mapping[Job, State]) -> Left:
    """Reckon how much training is left, from what the records of finished jobs say that an iteration took."""
    every = {one: STAGES[one.rule].trains(study, one.names) for one in states}
    whole = {one: len(span) for one, span in every.items() if len(span)}
    open_ = 0.0
    for one, iterations in whole.items():
        state = states[one]
        taken = 0 if state.iteration is None else state.iteration - every[one].start
        open_ += 0 if state.name == "done" else iterations - taken
    total = sum(whole.values())
    finished = (one for one in reversed(whole) if states[one].name == "done")
    speeds = [
        speed for one in islice(finished, RECORDS) if (speed := seconds_of_iteration(study, one, whole[one]))
    ]
    running = sum(state.name == "running" for state in states.values())
    seconds = open_ * sum(speeds) / len(speeds) / max(1, running) if speeds else None
    return Left(1 - open_ / total if total else 1.0, seconds)


def seconds_of_iteration(study: Study, one: Job, iterations: int) -> float | None:
    """Seconds that an iteration of a finished job took, by its run record; None where it has none."""
    if RECORD not in study.rules[one.rule].outputs:
        return None
    try:
        record = Path(outputs(study, one.rule, RECORD, one.names))
        return json.loads(record.read_text(encoding="utf-8"))["seconds"] / iterations
    except (OSError, ValueError, KeyError, TypeError):
        return None  # being replaced, or damaged


def space_used() -> dict[str, int]:
    """Bytes in each folder of results."""
    return {
        folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted(Path("results").glob("*/"))
    }
