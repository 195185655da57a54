#!/usr/bin/env python3
"""Plan a study on a cluster, on paper: jobs, critical path, time on so many GPUs, files, and what limits it.

Jobs, files and what depends on what are those of the study. How long a job takes is what you say: seconds an
iteration, and the overhead of a job (queue, start, Snakemake's next look), of which the controller's share is
measured by slurm_faults.py. The schedule is simulated: a free GPU takes the ready job with the longest chain
behind it. With --plan, `snakemake -n` plans it too, through the SLURM profile, and is timed.

usage: cluster_plan.py [--configfile presets/paper.yaml] [--seconds 0.01] [--overhead 120] [--gpus 100 1000]
                       [--plan]
"""

import heapq
import re
import tempfile
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

from earlyphase.study.jobs import all_jobs, job_of
from machine import describe
from shared import ROOT, options, plan, study_of_files

POLL, MOST_QUIET = 40, 180  # seconds between looks at the queue: at first, and at most


def local_rules():
    """Rules whose jobs run beside Snakemake, seconds each."""
    (listed,) = re.findall(
        r"^localrules:\n((?:    .*\n)+)", (ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    return set(re.findall(r"^    (\w+),", listed, re.MULTILINE))


def graph(study):
    """What trains, and which of it waits for which: job -> the training jobs it needs.

    The jobs come in the order of the graph. States taken out of a dense run belong to its job, as the profile
    groups them.
    """
    owners = {
        job: job_of(study, "dense", job.names) if job.rule == "checkpoint" else job for job in all_jobs(study)
    }
    makers, local = {path: owner for job, owner in owners.items() for path in job.outputs}, local_rules()
    needs = {
        job: {makers[path] for path in job.inputs if makers[path].rule not in local}
        for job, owner in owners.items()
        if job is owner and job.rule not in local
    }
    return {job: needs[job] for job in TopologicalSorter(needs).static_order()}


def followers(needs):
    """The other way round: job -> the jobs that need it."""
    after = {job: [] for job in needs}
    for job, before in needs.items():
        for one in before:
            after[one].append(job)
    return after


def seconds_of(job, a_step, overhead):
    """How long a job takes from when it may start until its successors may."""
    return overhead + a_step * len(job.span)


def schedule(needs, seconds, gpus):
    """Simulate; return the seconds until everything is made and the most jobs ready and waiting at once."""
    after = followers(needs)
    rank = longest_behind(after, seconds)
    missing = {job: len(before) for job, before in needs.items()}
    order = {job: index for index, job in enumerate(needs)}
    ready = [(-rank[job], order[job], job) for job, count in missing.items() if not count]
    heapq.heapify(ready)
    running, now, most_waiting = [], 0.0, 0
    while ready or running:
        while ready and len(running) < gpus:
            job = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + seconds[job], order[job], job))
        most_waiting = max(most_waiting, len(ready))
        now, _, job = heapq.heappop(running)
        for later in after[job]:
            missing[later] -= 1
            if not missing[later]:
                heapq.heappush(ready, (-rank[later], order[later], later))
    return now, most_waiting


def longest_behind(after, seconds):
    """Seconds from the start of each job to the end of the longest chain it begins."""
    rank = {}
    for job in reversed(after):  # jobs come in the order of the graph
        rank[job] = seconds[job] + max((rank[later] for later in after[job]), default=0)
    return rank


def hours(seconds):
    return f"{seconds / 3600:.1f} h"


def main():
    parser = options(__doc__)
    parser.add_argument("--configfile", nargs="*", type=Path, default=[ROOT / "presets/paper.yaml"])
    parser.add_argument("--seconds", type=float, default=0.01, help="an iteration")
    parser.add_argument(
        "--overhead", type=float, default=120, help="seconds of each job that are not training"
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--plan", action="store_true", help="time snakemake -n as well")
    args = parser.parse_args()
    study = study_of_files(*args.configfile)
    everything = list(all_jobs(study))
    needs = graph(study)
    seconds = {job: seconds_of(job, args.seconds, args.overhead) for job in needs}
    path = max(longest_behind(followers(needs), seconds).values())
    work = sum(seconds.values())
    counts = Counter(job.rule for job in everything)
    print(f"{', '.join(map(str, args.configfile))}: {len(everything)} jobs:", end=" ")
    print(", ".join(f"{rule} {count}" for rule, count in counts.items()))
    print(f"submitted: {len(needs)}; files: {sum(len(job.outputs) for job in everything)} results, "
          f"{len(everything)} logs")  # fmt: skip
    print(f"{args.seconds} s an iteration, {args.overhead:.0f} s a job beside it: GPU time {hours(work)}, "
          f"of which jobs' overhead {len(needs) * args.overhead / work:.0%}")  # fmt: skip
    if untrained := {job.rule for job in needs if not job.span}:
        print(f"counted as nothing but overhead: {', '.join(sorted(untrained))}")
    print(f"critical path {hours(path)}: no number of GPUs is quicker")
    for gpus in args.gpus:
        took, waiting = schedule(needs, seconds, gpus)
        print(f"{gpus} GPUs: {hours(took)}, {work / gpus / took:.0%} busy; at most {waiting} wait; "
              f"{len(needs) / took * 60:.1f} submissions a minute on average, "
              f"{60 / MOST_QUIET:.1f} to {60 / POLL:.1f} looks")  # fmt: skip
    if args.plan:
        words = ["--workflow-profile", ROOT / "profiles/slurm"]
        words += ["--configfile", *(path.resolve() for path in args.configfile)] if args.configfile else []
        with tempfile.TemporaryDirectory() as folder:
            planned = plan(folder, *words)
        print(f"planned by Snakemake: {planned.jobs} jobs in {planned.seconds:.1f} s, "
              f"{planned.megabytes:.0f} MB; {describe()}")  # fmt: skip


if __name__ == "__main__":
    main()
