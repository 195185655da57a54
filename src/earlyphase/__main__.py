"""The command line: one subcommand for each stage of the workflow."""

import argparse
import sys
from importlib import import_module

from earlyphase.errors import InvalidInput
from earlyphase.runtime.preload import run_preloaded

COMMANDS = {  # name -> what it does; the module of that name under `commands` is imported when called
    "data": "prepare a data set",
    "dense": "train the dense network",
    "checkpoint": "take the state at iteration k out of a dense run",
    "imp_round": "prune, rewind, train: one round",
    "perturb": "perturb a ticket, train it once",
    "telemetry": "replay a dense run and write down how its state changes",
    "curvature": "find the Hessian's top subspace at one state",
    "pairs": "compare the states of a dense run at two times each",
    "collect": "concatenate metrics tables",
    "figure": "draw a figure",
    "claims": "judge the paper's claims",
    "status": "show how far the configured study is",
    "explain": "say why a file would be made again, or why not",
    "tidy": "list or remove what the configured study does not use",
    "fingerprint": "list the code that a stage runs",
}


def main(words: list[str]) -> int:
    """Run the subcommand that `words` begin with; return the exit status."""
    if "--preload" in words:
        words = [word for word in words if word != "--preload"]
        status = run_preloaded(words)
        if status is not None:
            return status
    parser = argparse.ArgumentParser(prog="python -m earlyphase", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = words[0] if words else ""
    for name, purpose in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=purpose, description=purpose)
        if name == chosen:
            module = import_module(f"earlyphase.commands.{name}")
            module.add_arguments(subparser)
    args = parser.parse_args(words)
    try:
        module.run(args)
    except InvalidInput as error:
        print(f"earlyphase {chosen}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
