"""The command line: one subcommand for each stage of the workflow."""

import argparse
import ast
import os
import sys
from importlib import import_module
from pathlib import Path

from earlyphase.errors import InvalidInput
from earlyphase.runtime.preload import run_preloaded

FOLDER = Path(__file__).parent / "commands"


def purpose(name: str) -> str:
    """What a subcommand does, in its module's own words; read, not imported, because some take seconds."""
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))).split("\n")[0]


def main(words: list[str]) -> int:
    """Run the subcommand that `words` begin with; return the exit status."""
    if "--preload" in words:
        words = [word for word in words if word != "--preload"]
        status = run_preloaded(words)
        if status is not None:
            return status
    parser = argparse.ArgumentParser(prog="python -m earlyphase", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    chosen = words[0] if words else ""
    for name in [chosen] if chosen in names else names:
        subparser = subparsers.add_parser(
            name, help=purpose(name), description=purpose(name), allow_abbrev=False
        )
        if name == chosen:
            module = import_module(f"earlyphase.commands.{name}")
            module.add_arguments(subparser)
    args = parser.parse_args(words)
    try:
        module.run(args)
        sys.stdout.flush()
    except InvalidInput as error:
        print(f"earlyphase {chosen}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to print goes nowhere
    return 0


if __name__ == "__main__":
    if not sys.flags.utf8_mode:  # in which Snakemake's jobs run
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # any path can be printed
    sys.exit(main(sys.argv[1:]))
