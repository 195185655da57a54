#!/usr/bin/env python3
"""Plan a study on a cluster, on paper: jobs, critical path, time on so many GPUs, files, and what limits it.

Jobs, files and what depends on what are those of the study. How long a job takes is what you say: seconds an
iteration, and the overhead of a job (queue, start, Snakemake's next look), of which the controller's share is
measured by slurm_faults.py. The schedule is simulated: a free GPU takes the ready job with the longest chain
behind it. With --plan, `snakemake -n` plans it too, through the SLURM profile, and is timed.

usage: cluster_plan.py [--configfile presets/paper.yaml] [--seconds 0.01] [--overhead 120] [--gpus 100 1000]
                       [--plan]
"""

import argparse
import heapq
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from earlyphase.study.demand import iterations_of
from earlyphase.study.jobs import inputs, jobs
from earlyphase.study.study import read_study
from machine import describe

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ("data", "collect", "pairs", "figure", "claims")  # rules that run beside Snakemake, seconds each
TRAINING = ("dense", "imp_round", "perturb", "telemetry")
POLL, MOST_QUIET = 40, 180  # seconds between looks at the queue: at first, and at most


def graph(study):
    """What trains, and which of it waits for which: job -> the training jobs it needs.

    States taken out of a dense run belong to its job, as the profile groups them.
    """
    maker, needs = {}, {}
    for job in jobs(study):
        owner = job
        if job.rule == "checkpoint":
            names = dict(job.wildcards)
            owner = next(one for one in needs if is_dense_of(one, names))
        for path in job.outputs:
            maker[path] = owner
        if owner is job and not job.rule.startswith(LOCAL):
            paths = inputs(study, job.rule, **dict(job.wildcards)).values()
            flat = [path for some in paths for path in ([some] if isinstance(some, str) else some)]
            needs[job] = {maker[path] for path in flat if not maker[path].rule.startswith(LOCAL)}
    return needs


def is_dense_of(job, names):
    return job.rule == "dense" and all(names[name] == value for name, value in job.wildcards)


def seconds_of(study, job, a_step, overhead):
    """How long a job takes from when it may start until its successors may; only some rules train."""
    names = dict(job.wildcards)
    if job.rule not in TRAINING:
        return overhead
    return overhead + a_step * iterations_of(study, job.rule, names)


def schedule(needs, seconds, gpus):
    """Simulate; return the seconds until everything is made and the most jobs ready and waiting at once."""
    after = {job: [] for job in needs}
    for job, before in needs.items():
        for one in before:
            after[one].append(job)
    rank = longest_behind(needs, after, seconds)
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


def longest_behind(needs, after, seconds):
    """Seconds from the start of each job to the end of the longest chain it begins."""
    rank = {}
    for job in reversed(needs):  # jobs come in the order of the graph
        rank[job] = seconds[job] + max((rank[later] for later in after[job]), default=0)
    return rank


def plan(configuration, folder):
    """Have Snakemake plan it through the profile; return jobs, seconds, megabytes."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--snakefile", ROOT / "Snakefile"]
    command += ["--workflow-profile", ROOT / "profiles/slurm", "--directory", folder]
    if configuration:
        command += ["--configfile", *(path.resolve() for path in configuration)]
    began = time.perf_counter()
    log = Path(folder) / "plan.log"
    with log.open("w") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=printed, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        sys.exit(log.read_text())
    return int(re.search(r"^total +(\d+)", log.read_text(), re.MULTILINE)[1]), seconds, usage.ru_maxrss / 1024


def hours(seconds):
    return f"{seconds / 3600:.1f} h"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configfile", nargs="*", type=Path, default=[ROOT / "presets/paper.yaml"])
    parser.add_argument("--seconds", type=float, default=0.01, help="an iteration")
    parser.add_argument(
        "--overhead", type=float, default=120, help="seconds of each job that are not training"
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--plan", action="store_true", help="time snakemake -n as well")
    args = parser.parse_args()
    study = read_study([ROOT / "config.yaml", *args.configfile], ROOT / "config.schema.yaml")
    everything = list(jobs(study))
    needs = graph(study)
    seconds = {job: seconds_of(study, job, args.seconds, args.overhead) for job in needs}
    after = {job: [] for job in needs}
    for job, before in needs.items():
        for one in before:
            after[one].append(job)
    path = max(longest_behind(needs, after, seconds).values())
    work = sum(seconds.values())
    counts = Counter(job.rule for job in everything)
    print(f"{', '.join(map(str, args.configfile))}: {len(everything)} jobs:", end=" ")
    print(", ".join(f"{rule} {count}" for rule, count in counts.items()))
    print(f"submitted: {len(needs)}; files: {sum(len(job.outputs) for job in everything)} results, "
          f"{len(everything)} logs")  # fmt: skip
    print(f"{args.seconds} s an iteration, {args.overhead:.0f} s a job beside it: GPU time {hours(work)}, "
          f"of which jobs' overhead {len(needs) * args.overhead / work:.0%}")  # fmt: skip
    others = {job.rule for job in needs} - set(TRAINING)
    if others:
        print(f"counted as nothing but overhead: {', '.join(sorted(others))}")
    print(f"critical path {hours(path)}: no number of GPUs is quicker")
    for gpus in args.gpus:
        took, waiting = schedule(needs, seconds, gpus)
        print(f"{gpus} GPUs: {hours(took)}, {work / gpus / took:.0%} busy; at most {waiting} wait; "
              f"{len(needs) / took * 60:.1f} submissions a minute on average, "
              f"{60 / MOST_QUIET:.1f} to {60 / POLL:.1f} looks")  # fmt: skip
    if args.plan:
        with tempfile.TemporaryDirectory() as folder:
            planned, took, megabytes = plan(args.configfile, folder)
        print(f"planned by Snakemake: {planned} jobs in {took:.1f} s, {megabytes:.0f} MB; {describe()}")


if __name__ == "__main__":
    main()
