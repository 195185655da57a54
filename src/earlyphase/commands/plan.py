"""Say what the configured study will take: jobs, iterations, hours, gigabytes, and its longest chain."""

import argparse
import os
from graphlib import TopologicalSorter

from earlyphase.commands._options import add_study_arguments, load_study
from earlyphase.errors import InvalidInput
from earlyphase.runtime import machine
from earlyphase.sentences import duration
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import Job, all_jobs
from earlyphase.study.limits import Clock
from earlyphase.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_study_arguments(parser)
    parser.add_argument("--jobs", type=int, help="jobs side by side; as many as there are cores, or GPUs")


def run(args: argparse.Namespace) -> None:
    """Print the plan; nothing is trained.

    Raises:
        InvalidInput: `--jobs` is below 1.
    """
    if args.jobs is not None and args.jobs < 1:
        raise InvalidInput(f"--jobs is {args.jobs}; it must be at least 1")
    study = load_study(args)
    gpu = machine.device(study.config["execution"]["device"]) == "cuda"
    clock = Clock(study, gpu=gpu)
    seconds = {job: clock.seconds(job) for job in all_jobs(study)}
    for run_of_study in study.runs:
        measured = clock.measured(run_of_study) is not None
        print(f"{run_of_study}: {MEASURED if measured else NOT_MEASURED}")
    print_jobs(study, seconds)
    at_a_time = args.jobs or side_by_side(gpu=gpu)
    work, chain = sum(seconds.values()), longest_chain(seconds)
    longest = sum(seconds[job] for job in chain)
    print(f"\n{at_a_time} jobs at a time: about {duration(max(work / at_a_time, longest))}")
    print(f"longest chain, which no number of cores makes shorter: {duration(longest)}")
    print(f"  {', '.join(in_words(chain, seconds))}")
    done = [job for job in seconds if all(map(os.path.exists, job.outputs))]
    if done:
        left = work - sum(seconds[job] for job in done)
        print(f"{len(done):,} of {len(seconds):,} jobs are done; {duration(left)} of work are left")
    for sentence in left_out(study):
        print(f"note: {sentence}")


MEASURED = "times are those of its finished trainings here"
NOT_MEASURED = "nothing is trained yet, so times are those of a slow machine, often three times too long"


def side_by_side(*, gpu: bool) -> int:
    """Jobs that this machine runs at a time: one a GPU, or one a core."""
    return max(1, len(machine.gpu_models())) if gpu else machine.processors()


def print_jobs(study: Study, seconds: dict[Job, float]) -> None:
    """Print a line for each stage, and one for all."""
    print(f"\n{'jobs':18}{'number':>9}{'iterations':>16}{'hours':>14}{'GB':>10}")
    for rule in [*study.stages, ""]:
        jobs = [job for job in seconds if rule in ("", job.rule)]
        if jobs:
            trained = sum(len(job.span) for job in jobs)
            hours = sum(seconds[job] for job in jobs) / 3600
            gigabytes = sum(job.stage.size(job) for job in jobs) / 1e9
            print(f"{rule or 'all':18}{len(jobs):>9,}{trained:>16,}{hours:>14,.2f}{gigabytes:>10.3f}")


def longest_chain(seconds: dict[Job, float]) -> list[Job]:
    """The jobs that take longest one after the other, each of which reads what the one before makes."""
    makers = {path: job for job in seconds for path in job.outputs}
    needs = {job: dict.fromkeys(makers[path] for path in job.inputs) for job in seconds}
    chains: dict[Job, tuple[float, Job | None]] = {}  # seconds to the end of a job, and the job before it
    for job in TopologicalSorter(needs).static_order():
        before = max(needs[job], key=lambda one: chains[one][0], default=None)
        chains[job] = seconds[job] + (chains[before][0] if before else 0.0), before
    last = max(chains, key=lambda one: chains[one][0], default=None)
    chain = []
    while last:
        chain.append(last)
        last = chains[last][1]
    return chain[::-1]


def in_words(chain: list[Job], seconds: dict[Job, float]) -> list[str]:
    """Name the links of a chain; those of one stage together."""
    by_rule: dict[str, list[Job]] = {}
    for job in chain:
        by_rule.setdefault(job.rule, []).append(job)
    return [
        f"{f'{len(jobs)} x ' if len(jobs) > 1 else ''}{rule} {duration(sum(seconds[job] for job in jobs))}"
        for rule, jobs in by_rule.items()
    ]
