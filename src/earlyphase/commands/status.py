"""Show how far the configured study is: chains by round, what runs, what failed."""

import argparse
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.runtime import machine
from earlyphase.runtime.locks import is_held
from earlyphase.runtime.storage import stored_header
from earlyphase.sentences import duration
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import Job, all_jobs, job_of, names_of
from earlyphase.study.limits import Clock
from earlyphase.study.run import Run
from earlyphase.study.study import Study

CLEAR = "\x1b[H\x1b[2J"  # of a terminal
EVERY = 5.0  # seconds between two looks
MARKS = {"done": "#", "running": ">", "resumable": "~", "failed": "!", "missing": "."}


@dataclass(frozen=True)
class State:
    """How far a job is: "done", "running", "resumable", "failed" or "missing"."""

    name: str
    iteration: int | None = None  # the last one that was saved
    last_line: str = ""  # of the log of a job that failed


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
    gpu = machine.device(study.config["execution"]["device"]) == "cuda"
    if not (args.watch and sys.stdout.isatty()):
        show(study, gpu=gpu)
        return
    with suppress(KeyboardInterrupt):  # how a person stops watching
        began, done = time.monotonic(), show(study, gpu=gpu, clear=CLEAR)
        while not done:
            time.sleep(max(EVERY, 10 * (time.monotonic() - began)))
            began, done = time.monotonic(), show(study, gpu=gpu, clear=CLEAR)


# One job


def state_of(job: Job) -> State:
    """Find out from files alone how far a job is."""
    if all(map(os.path.exists, job.outputs)):
        return State("done")
    iteration = saved_iteration(Path(job.resume))
    if is_held(Path(f"{job.resume}.lock")):
        return State("running", iteration)
    if iteration is not None:
        return State("resumable", iteration)
    last_line = last_line_of(Path(job.log))
    return State("failed", last_line=last_line) if last_line else State("missing")


def saved_iteration(resume: Path) -> int | None:
    """The last iteration that was saved; None where the job starts anew."""
    try:
        return stored_header(resume)["iteration"] if resume.exists() else None
    except InvalidInput:
        return None  # being replaced, or damaged


def last_line_of(log: Path) -> str:
    """The last line of a log that says something, or nothing."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def share_left(job: Job, state: State) -> float:
    """Share of a job that is still to be done, in [0, 1]."""
    if state.name == "done":
        return 0.0
    if state.iteration is None or not job.span:
        return 1.0
    return 1 - (state.iteration - job.span.start) / len(job.span)


# All of them


def show(study: Study, *, gpu: bool, clear: str = "") -> bool:
    """Print how far a study is.

    Args:
        gpu: whether jobs compute on one.
        clear: printed first, once everything is read.

    Returns:
        Whether all is done.
    """
    states = {job: state_of(job) for job in all_jobs(study)}
    clock = Clock(study, gpu=gpu)  # by what trainings have taken so far
    print(clear, end="")
    for network in study.runs:
        print_chains(study, network, states)
    print("  " + "  ".join(f"{mark} {name}" for name, mark in MARKS.items()))
    for job, state in states.items():
        if state.name in ("running", "resumable", "failed"):
            print(f"{state.name}: {job.outputs[0]}{details(job, state, clock)}")
    counts = Counter(state.name for state in states.values())
    print(f"jobs: {', '.join(f'{counts[name]} {name}' for name in MARKS if counts[name])}")
    print(f"training: {in_words(study, states, clock)}")
    for sentence in left_out(study):
        print(f"note: {sentence}")
    return all(state.name == "done" for state in states.values())


def print_chains(study: Study, network: Run, states: dict[Job, State]) -> None:
    """Print a line for each chain of rounds of a network; those of its own task and criterion come first.

    The others, of networks that were pretrained and of other criteria, are named at the end of their line.
    """
    usual = names_of(network)
    chains: dict[tuple[str, ...], dict[int, str]] = {}
    for job, state in states.items():
        if job.rule == "imp_round" and job.run is network:
            chain = tuple(job.names[name] for name in ("task", "criterion", "seed", "k"))
            chains.setdefault(chain, {})[int(job.names["round"])] = state.name
    print(network)
    print(f"  {'':15} dense  rounds 1 to {network.rounds}")
    own = (usual["task"], usual["criterion"])
    for (task, criterion, seed, k), rounds in sorted(
        chains.items(), key=lambda chain: (chain[0][:2] != own, chain[0][:2], *map(int, chain[0][2:]))
    ):
        dense = job_of(study, "dense", usual | {"task": task, "seed": seed})
        marks = "".join(MARKS[rounds[number]] for number in sorted(rounds))
        other = "".join(f"  {name}" for name in (task, criterion) if name not in own)
        print(f"  seed {seed:<3} k {k:<5} {MARKS[states[dense].name]:^6} {marks}{other}")


def in_words(study: Study, states: dict[Job, State], clock: Clock) -> str:
    """How much of the training is done, and how long the rest will take, as many side by side as run now."""
    trained = {job: len(job.span) for job in states if job.span}
    whole = sum(trained.values())
    done = 1 - sum(length * share_left(job, states[job]) for job, length in trained.items()) / max(whole, 1)
    left = sum(clock.seconds(job) * share_left(job, state) for job, state in states.items())
    running = sum(state.name == "running" for state in states.values())
    if not left or not any(clock.measured(network) for network in study.runs):
        return f"{done:.0%} of the iterations"
    return f"{done:.0%} of the iterations, about {duration(left / max(1, running))} left"


def details(job: Job, state: State, clock: Clock) -> str:
    """How far an unfinished job is, or why it failed."""
    if state.name == "failed":
        return f"\n  {job.log}: {state.last_line}"
    if state.iteration is None:
        return ""
    left = duration(clock.seconds(job) * share_left(job, state))
    return f"\n  iteration {state.iteration} of {job.span.stop} saved, about {left} left"
