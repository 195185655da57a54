"""What Snakemake assigns to a process: which job, with which code and files, computed where and how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

Files = Mapping[
    str, str | list[str]
]  # role -> path, or paths where a job has several; none where it has none


@dataclass(frozen=True)
class Assignment:
    """A job as its process is told of it.

    Attributes:
        spec: what the job reads of the configuration.
        code: fingerprint of the code that it was planned with.
        resume: where its progress is kept until it ends; empty where it keeps none.
        resume_interval: seconds of work that a kill may cost.
        device: "cpu", "cuda" or "auto".
        precision: one of `core.precision.PRECISIONS`.
        keep: iterations whose state a dense run keeps. One that is added to the study later is made from the
            nearest before it, so they do not determine the job.
    """

    spec: dict
    code: str
    resume: str = ""
    resume_interval: float = 30.0
    device: str = "cpu"
    precision: str = "float32"
    keep: tuple[int, ...] = ()


def read_assignment(stream: TextIO, **means: object) -> tuple[Assignment, Files, Files]:
    """Read a job from three lines: spec and files as JSON, and the fingerprint of its code between them.

    They are read from a stream because a single argument of a command cannot be longer than 128 KB.

    Args:
        means: the other attributes of the job.

    Returns:
        The job, its inputs and its outputs.
    """
    spec, code, files = (stream.readline().rstrip("\n") for _ in range(3))
    paths = json.loads(files)
    return Assignment(json.loads(spec), code, **means), paths["inputs"], paths["outputs"]  # type: ignore[arg-type]
