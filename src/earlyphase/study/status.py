"""How far each job of a study is, from files alone."""

import os
from dataclasses import dataclass
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.locks import is_held
from earlyphase.runtime.storage import stored_header
from earlyphase.study.jobs import Job
from earlyphase.study.stages import STAGES
from earlyphase.study.study import Study


@dataclass(frozen=True)
class State:
    """How far a job is: "done", "running", "resumable", "failed" or "missing"."""

    name: str
    iteration: int | None = None  # last one saved
    seconds_left: float | None = None  # of training, at the speed so far
    last_line: str = ""  # of the log


def state_of_job(study: Study, one: Job) -> State:
    """Find out from files alone how far a job is."""
    if all(map(os.path.exists, one.outputs)):
        return State("done")
    iteration, seconds_left = _progress(Path(one.resume), STAGES[one.rule].trains(study, one.names))
    if is_held(Path(f"{one.resume}.lock")):
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
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def space_used() -> dict[str, int]:
    """Bytes in each folder of results."""
    return {
        folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted(Path("results").glob("*/"))
    }
