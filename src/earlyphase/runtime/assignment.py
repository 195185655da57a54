"""What Snakemake assigns to a process: which job, with which code and files, computed where and how."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

Files = Mapping[str, Any]  # role -> path, or paths where a job has several; none where it has none


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

    @property
    def stage(self) -> str:
        """Name of its stage, whose `compute` is the first root of the fingerprint: "stages.dense.compute"."""
        return self.code.split(".")[1]


def read_job(words: list[str], stream: TextIO) -> tuple[Assignment, Files, Files]:
    """Read a job: where and how to compute it from options; the job itself from three lines.

    The lines are its spec as JSON, the fingerprint of its code, and its files as JSON. They are read from a
    stream because a single argument of a command cannot be longer than 128 KB.

    Returns:
        The job, its inputs and its outputs.
    """
    parser = argparse.ArgumentParser(prog="python -m earlyphase job", description="Run a job of a stage.")
    parser.add_argument("--resume", default="", help="where progress is kept until the job ends")
    parser.add_argument("--resume-interval", type=float, default=30.0, help="seconds of work a kill may cost")
    parser.add_argument("--keep", nargs="*", type=int, default=[], help="iterations whose state is kept")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    options = vars(parser.parse_args(words))
    spec, code, files = (stream.readline().rstrip("\n") for _ in range(3))
    paths = json.loads(files)
    return Assignment(json.loads(spec), code, **options), paths["inputs"], paths["outputs"]
