"""Show how far the configured study is: chains by round, what runs, what failed, the space used."""

import argparse
import sys
import time
from contextlib import suppress
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.runtime.locks import only_local
from earlyphase.sentences import duration
from earlyphase.study.jobs import Job, job, jobs
from earlyphase.study.run import Run
from earlyphase.study.stages import STAGES, left_out, names_of
from earlyphase.study.status import Left, State, left_of, space_used, state_of_job
from earlyphase.study.study import Study

CLEAR = "\x1b[H\x1b[2J"  # of a terminal
EVERY = 5.0  # seconds between two looks
MARKS = {"done": "#", "running": ">", "resumable": "~", "failed": "!", "missing": "."}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_study_arguments(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="in a terminal: show it anew every few seconds, until all is done",
    )


def run(args: argparse.Namespace) -> None:
    """Print the table; reads files only, so it works while Snakemake runs."""
    study = load_study(args)
    if not (args.watch and sys.stdout.isatty()):
        show(study, states_of(study))
        return
    with suppress(KeyboardInterrupt):  # how a person stops watching
        watch(study)


def states_of(study: Study) -> dict[Job, State]:
    """How far each job is."""
    return {one: state_of_job(study, one) for one in jobs(study)}


def watch(study: Study) -> None:
    """Show it anew every few seconds, until all is done but for the report, a target of its own."""
    while True:
        began = time.monotonic()
        states = states_of(study)
        print(CLEAR, end="")
        show(study, states)
        sys.stdout.flush()
        if all(state.name == "done" for one, state in states.items() if one.rule != "report"):
            return
        time.sleep(max(EVERY, 10 * (time.monotonic() - began)))


def show(study: Study, states: dict[Job, State]) -> None:
    """Print how far a study is."""
    for network in study.runs:
        print_chains(study, network, states)
    print("  " + "  ".join(f"{mark} {name}" for name, mark in MARKS.items()))
    for one, state in states.items():
        if state.name in ("running", "resumable", "failed"):
            print(f"{state.name}: {one.outputs[0]}{details(study, one, state)}")
    asked = [state for one, state in states.items() if one.rule != "report"]
    counts = {name: sum(state.name == name for state in asked) for name in MARKS}
    print(f"jobs: {', '.join(f'{count} {name}' for name, count in counts.items() if count)}")
    for one, state in states.items():
        if one.rule == "report" and state.name != "done":
            print(f"report: {state.name}; it is a target of its own, snakemake report --cores all")
    print(f"training: {in_words(left_of(study, states), states)}")
    for sentence in left_out(study):
        print(f"note: {sentence}")
    if doubt := only_local(Path()):
        print(f"warning: {doubt}; docs/cluster.md says what follows")
    used = ", ".join(f"{folder} {size / 1e6:.1f} MB" for folder, size in space_used().items())
    print(f"space: {used or 'none yet'}")


def print_chains(study: Study, network: Run, states: dict[Job, State]) -> None:
    """Print a line for each chain of rounds of a network; those of its own task and criterion come first.

    The others, of networks that were pretrained and of other criteria, are named at the end of their line.
    """
    usual = names_of(network)
    chains: dict[tuple[str, ...], dict[int, str]] = {}
    for one, state in states.items():
        if one.rule == "imp_round" and all(one.names[name] == usual[name] for name in ("dataset", "model")):
            of = tuple(one.names[name] for name in ("task", "criterion", "seed", "k"))
            chains.setdefault(of, {})[int(one.names["round"])] = state.name
    print(network)
    print(f"  {'':15} dense  rounds 1 to {network.rounds}")
    own = (usual["task"], usual["criterion"])
    for (task, criterion, seed, k), rounds in sorted(
        chains.items(), key=lambda chain: (chain[0][:2] != own, chain[0][:2], *map(int, chain[0][2:]))
    ):
        dense = job(study, "dense", **usual | {"task": task, "seed": seed})
        marks = "".join(MARKS[rounds[number]] for number in sorted(rounds))
        other = "".join(f"  {name}" for name in (task, criterion) if name not in own)
        print(f"  seed {seed:<3} k {k:<5} {MARKS[states[dense].name]:^6} {marks}{other}")


def in_words(left: Left, states: dict[Job, State]) -> str:
    """How much of the training is done, how fast it goes, and how long it will take."""
    rates = [state.rate for state in states.values() if state.rate]
    speed = f", {sum(rates):.3g} iterations a second" if rates else ""
    time_left = "" if left.seconds is None or left.done == 1 else f", about {duration(left.seconds)} left"
    return f"{left.done:.0%} of the iterations{speed}{time_left}"


def details(study: Study, one: Job, state: State) -> str:
    """How far an unfinished job is, or why it failed."""
    if state.name == "failed":
        return f"\n  {one.log}: {state.last_line}"
    if state.iteration is None:
        return ""
    end = STAGES[one.rule].trains(study, one.names).stop
    left = "" if state.seconds_left is None else f", about {duration(state.seconds_left)} left"
    if state.rate is not None:
        return f"\n  iteration {state.iteration} of {end}, {state.rate:.3g} a second{left}"
    return f"\n  iteration {state.iteration} of {end} saved{left}"
