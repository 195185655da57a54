"""The command line: what people type, and `job`, by which Snakemake runs a job of a stage."""

import argparse
import ast
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from earlyphase.errors import InvalidInput
from earlyphase.runtime.preload import run_preloaded

if TYPE_CHECKING:
    from earlyphase.runtime.assignment import Assignment, Files

FOLDER = Path(__file__).parent / "commands"
JOB = "job"  # stands for a command where Snakemake runs a job


def purpose(name: str) -> str:
    """What a command does, in its module's own words; read, not imported, because some take seconds."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).split("\n")[0]


def main(words: list[str]) -> int:
    """Run the command or the job that `words` begin with; return the exit status."""
    if "--preload" in words:
        words = [word for word in words if word != "--preload"]
        status = run_preloaded(words)
        if status is not None:
            return status
    chosen = words[0] if words else ""
    try:
        if chosen == JOB:
            from earlyphase.runtime.assignment import read_job  # not needed where a fork does the job

            job, inputs, outputs = read_job(words[1:], sys.stdin)
            chosen = job.stage
            run_job(job, inputs, outputs)
        else:
            run_command(chosen, words)
        sys.stdout.flush()
    except InvalidInput as error:
        print(f"earlyphase {chosen}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest goes nowhere
    return 0


def run_command(chosen: str, words: list[str]) -> None:
    """Run a command of people."""
    parser = argparse.ArgumentParser(prog="python -m earlyphase", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    for name in [chosen] if chosen in names else names:
        subparser = subparsers.add_parser(
            name, help=purpose(name), description=purpose(name), allow_abbrev=False
        )
        if name == chosen:
            module = import_module(f"earlyphase.commands.{name}")
            module.add_arguments(subparser)
    arguments = parser.parse_args(
        words
    )  # ends here where a command is missing, unknown, or asked for its help
    module.run(arguments)


def run_job(job: "Assignment", inputs: "Files", outputs: "Files") -> None:
    """Run a job of a stage, with the code that it was planned with."""
    from earlyphase.runtime.plugins import load
    from earlyphase.study.fingerprints import confirm

    load(confirm(job.code))
    import_module(f"earlyphase.stages.{job.stage}").compute(job, inputs, outputs)


if __name__ == "__main__":
    if not sys.flags.utf8_mode:  # in which Snakemake's jobs run
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # any path can be printed
    sys.exit(main(sys.argv[1:]))
