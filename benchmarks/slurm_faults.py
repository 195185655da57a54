#!/usr/bin/env python3
"""What the workflow does about faults on SLURM: each meets one training in the middle.

On a throw-away cluster, a training is paused after its first save, the harm is done, and Snakemake is left
alone or, where it was what ended, started again. The states of the dense run must then equal those of a
local run. Also counts how often Snakemake calls the controller. Needs root, or SLURM's packages.
See tests/slurm for the cluster.

usage: slurm_faults.py [--only WORD]
"""

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from shared import ROOT, options

sys.path.insert(0, str(ROOT / "tests/slurm"))
from driver import LOCALLY, ON_CLUSTER, TABLES, Cluster, Workflow, until

DENSE = "dense/synthetic/tiny/seed0/supervised"
TARGET = ("--", f"results/{DENSE}/it30.safetensors")
CLIENTS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr")


def count_calls(cluster):
    """Have each client of SLURM note its name and arguments before it runs; return the file of notes."""
    notes, folder = cluster.folder / "calls", cluster.folder / "counted"
    folder.mkdir()
    for name in CLIENTS:
        if real := shutil.which(name):
            (folder / name).write_text(
                f'#!/bin/sh\necho "{name}" >>{shlex.quote(str(notes))}\nexec {real} "$@"\n'
            )
            (folder / name).chmod(0o755)
    cluster.environment["PATH"] = f"{folder}:{cluster.environment['PATH']}"
    return notes


def fill(cluster):
    """Occupy the node with a job of a partition that others must give way to."""
    return cluster.call(
        "sbatch", "--output=/dev/null", "-p", "main", "-c", str(os.cpu_count()), "--wrap", "sleep 5"
    )


HARM = {  # what happens -> what is done to the cluster, the training's process and the Snakemake at work
    "time limit": lambda c, n, p, w: c.call("scontrol", "update", f"JobId={n}", "EndTime=now+5"),
    "scancel": lambda c, n, p, w: c.call("scancel", n),
    "requeued by hand": lambda c, n, p, w: c.call("scontrol", "requeue", n),
    "preempted": lambda c, n, p, w: fill(c),
    "node lost": lambda c, n, p, w: c.call(
        "scontrol", "update", f"NodeName={c.node}", "State=DOWN", "Reason=x"
    ),
    "node lost, no requeue": lambda c, n, p, w: c.call(
        "scontrol", "update", f"NodeName={c.node}", "State=DOWN", "Reason=x"
    ),
    "training killed (SIGKILL)": lambda c, n, p, w: p.kill(),
    "Snakemake interrupted (Ctrl-C)": lambda c, n, p, w: w.process.send_signal(signal.SIGINT),
    "Snakemake terminated (SIGTERM)": lambda c, n, p, w: (w.process.terminate(), p.resume()),
}
OPTIONS = {
    "preempted": ("--default-resources", "slurm_partition=preemptible", "--slurm-requeue"),
    "node lost, no requeue": ("--slurm-no-requeue",),
}


def disturb(name, cluster, folder):
    """Run the dense part of the study with one fault; return a row of the table."""
    how = (*ON_CLUSTER, *OPTIONS.get(name, ()))
    workflow = Workflow(folder, ROOT / "tests/slurm/study.yaml", cluster.environment, *how).start(*TARGET)
    process = workflow.paused(f"results/{DENSE}/trajectory.safetensors.resume")
    (number,) = cluster.jobs(folder, "dense", states="running")
    began = time.monotonic()
    HARM[name](cluster, number, process, workflow)
    log, seen = folder / f"logs/{DENSE}.log", {}
    said = [cluster.state(number)]
    starts = 1
    while True:
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        for what in ("stopped by signal 15 at iteration", "resuming at iteration"):
            if found := re.search(rf"{what} (\d+)", text):
                seen.setdefault(what, int(found[1]))
        state = cluster.state(number)
        if state != said[-1]:
            said.append(state)
        if state != "RUNNING":  # it has been told to end
            with suppress(psutil.NoSuchProcess):
                process.resume()
        if (status := workflow.process.poll()) is not None:
            if status == 0 or starts == 3:
                break
            workflow.start(*TARGET)  # what a user would do
            starts += 1
        if time.monotonic() > began + 200:
            workflow.interrupt()
            status = "hanging"
            break
        time.sleep(0.05)
    stopped, resumed = seen.get("stopped by signal 15 at iteration"), seen.get("resuming at iteration")
    lost = "-" if stopped is None or resumed is None else stopped - resumed
    return (
        f"{name} | {' > '.join(said)} | {len(cluster.jobs(folder))} jobs, {starts} starts of Snakemake, "
        f"exit status {status} | stopped at {stopped}, resumed at {resumed}, lost {lost} | "
        f"{time.monotonic() - began:.0f} s"
    )


def states(folder):
    return {path.name: path.read_bytes() for path in (folder / f"results/{DENSE}").glob("*.safetensors")}


def main():
    parser = options(__doc__)
    parser.add_argument("--only", default="", help="faults whose name contains this; none: only count")
    args = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as parent:
        cluster = Cluster(Path(parent) / "cluster")
        try:
            cluster.node = cluster.call("sinfo", "--noheader", "--format=%n").strip()
            local = Workflow(
                Path(parent) / "local", ROOT / "tests/slurm/study.yaml", cluster.environment, *LOCALLY
            )
            began = time.monotonic()
            local.start(*TARGET).finish()
            expected = states(local.folder)
            print(f"local, dense run alone: {time.monotonic() - began:.0f} s", flush=True)
            for index, name in enumerate(name for name in HARM if args.only in name):
                folder = Path(parent) / f"study{index}"
                row = disturb(name, cluster, folder)
                same = states(folder) == expected
                different += not same
                print(f"{row} | {'same bytes' if same else 'DIFFERENT'}", flush=True)
                until(lambda: "idle" in cluster.call("sinfo", "--noheader", "--format=%T"), 60)
            whole(cluster, Path(parent))
        finally:
            cluster.stop()
    sys.exit(bool(different))


def whole(cluster, parent):
    """Run the study here and there, undisturbed; print seconds, and calls of the controller by client."""
    notes = count_calls(cluster)
    as_the_profile_looks = (*ON_CLUSTER[:4], "--latency-wait", "5")
    ways = {"local": LOCALLY, "cluster": ON_CLUSTER, "cluster, seldom watched": as_the_profile_looks}
    for index, (name, how) in enumerate(ways.items()):
        notes.write_text("")
        began = time.monotonic()
        folder, study = parent / f"whole{index}", ROOT / "tests/slurm/study.yaml"
        status, printed = Workflow(folder, study, cluster.environment, *how, *TABLES).start().finish(600)
        if status != 0:
            sys.exit(printed)
        seconds = time.monotonic() - began
        calls = notes.read_text(encoding="utf-8").split()
        counted = ", ".join(f"{client} {calls.count(client)}" for client in CLIENTS if client in calls)
        rate = 60 * len(calls) / seconds
        print(
            f"whole study, {name}: {seconds:.0f} s; calls: {counted or 'none'}; {rate:.1f} a minute",
            flush=True,
        )


if __name__ == "__main__":
    main()
