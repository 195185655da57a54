"""The command line: what people type, and what Snakemake runs for each job of a stage."""

import argparse
import ast
import os
import sys
from importlib import import_module
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.preload import run_preloaded

HOME = Path(__file__).parent


def modules_in(folder: str) -> list[str]:
    """Names of the modules in a folder that are commands, or stages."""
    return sorted(path.stem for path in (HOME / folder).glob("*.py") if not path.stem.startswith("_"))


def purpose(folder: str, name: str) -> str:
    """What a module does, in its own words; read, not imported, because some take seconds."""
    return ast.get_docstring(ast.parse((HOME / folder / f"{name}.py").read_text(encoding="utf-8"))).split(
        "\n"
    )[0]


def main(words: list[str]) -> int:
    """Run the command or stage that `words` begin with; return the exit status."""
    if "--preload" in words:
        words = [word for word in words if word != "--preload"]
        status = run_preloaded(words)
        if status is not None:
            return status
    chosen, rest = (words[0], words[1:]) if words else ("", [])
    try:
        if chosen in modules_in("stages"):
            run_stage(chosen, rest)
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
    names = modules_in("commands")
    for name in [chosen] if chosen in names else names:
        subparser = subparsers.add_parser(
            name, help=purpose("commands", name), description=purpose("commands", name)
        )
        if name == chosen:
            module = import_module(f"earlyphase.commands.{name}")
            module.add_arguments(subparser)
    module.run(parser.parse_args(words))


def run_stage(name: str, words: list[str]) -> None:
    """Do a job of a stage: what and with which files is read from standard input, where and how are options.

    Raises:
        InvalidInput: the code was edited since the job was planned, or the stage cannot do the job.
    """
    from earlyphase.runtime.assignment import read_assignment
    from earlyphase.runtime.plugins import load
    from earlyphase.study.fingerprints import confirm

    parser = argparse.ArgumentParser(prog=f"python -m earlyphase {name}", description=purpose("stages", name))
    parser.add_argument("--resume", default="", help="where progress is kept until the job ends")
    parser.add_argument("--resume-interval", type=float, default=30.0, help="seconds of work a kill may cost")
    parser.add_argument("--keep", nargs="*", type=int, default=[], help="iterations whose state is kept")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    job, inputs, outputs = read_assignment(sys.stdin, **vars(parser.parse_args(words)))
    load(confirm(job.code))
    import_module(f"earlyphase.stages.{name}").compute(job, inputs, outputs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
