"""Show how far the configured study is: chains by round, what runs, what failed, the space used."""

import argparse
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.runtime.locks import only_local
from earlyphase.sentences import duration
from earlyphase.study.jobs import Job, job, jobs
from earlyphase.study.run import Run
from earlyphase.study.stages import STAGES, left_out, names_of
from earlyphase.study.status import State, space_used, state_of_job
from earlyphase.study.study import Study

MARKS = {"done": "#", "running": ">", "resumable": "~", "failed": "!", "missing": "."}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_study_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Print the table; reads files only, so it works while Snakemake runs."""
    study = load_study(args)
    states = {one: state_of_job(study, one) for one in jobs(study)}
    for network in study.runs:
        print_chains(study, network, states)
    print("  " + "  ".join(f"{mark} {name}" for name, mark in MARKS.items()))
    for one, state in states.items():
        if state.name in ("running", "resumable", "failed"):
            print(f"{state.name}: {one.outputs[0]}{details(study, one, state)}")
    counts = {name: sum(state.name == name for state in states.values()) for name in MARKS}
    print(f"jobs: {', '.join(f'{count} {name}' for name, count in counts.items() if count)}")
    for sentence in left_out(study):
        print(f"note: {sentence}")
    if doubt := only_local(Path()):
        print(f"warning: {doubt}; docs/cluster.md says what follows")
    print(f"space: {', '.join(f'{folder} {size / 1e6:.1f} MB' for folder, size in space_used().items())}")


def print_chains(study: Study, network: Run, states: dict[Job, State]) -> None:
    """Print a line for each chain of rounds of a network."""
    print(network)
    print(f"  {'':15} dense  rounds 1 to {network.rounds}")
    for seed in network.seeds:
        names = names_of(network) | {"seed": seed}
        dense = MARKS[states[job(study, "dense", **names)].name]
        for k in network.rewind_iterations:
            rounds = (
                states[job(study, "imp_round", **names, k=k, round=number)].name
                for number in range(1, network.rounds + 1)
            )
            print(f"  seed {seed:<3} k {k:<5} {dense:^6} {''.join(MARKS[name] for name in rounds)}")


def details(study: Study, one: Job, state: State) -> str:
    """How far an unfinished job is, or why it failed."""
    if state.name == "failed":
        return f"\n  {one.log}: {state.last_line}"
    if state.iteration is None:
        return ""
    end = STAGES[one.rule].trains(study, one.names).stop
    left = "" if state.seconds_left is None else f", about {duration(state.seconds_left)} left"
    return f"\n  iteration {state.iteration} of {end} saved{left}"
