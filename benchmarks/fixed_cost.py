#!/usr/bin/env python3
"""What a job costs besides its work: seconds from the start of its process to its first step, or to its end.

The smoke study is run once in a temporary folder. Then one job of each kind is run again several times,
in turns. A training job is timed until it has evaluated the network that it starts from, which is the last
thing before its first step; the data of the other jobs are so small that their whole time counts. The
imports that explain most of it are timed alone. Training jobs are timed twice: started from a process that
has imported torch already, as in the workflow, and by themselves.

usage: fixed_cost.py [--runs 7]
"""

import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

from machine import OtherLoad, describe
from shared import ROOT, options, snakemake

TRAINING = 3.0  # seconds: goal of a training job
OTHER = 0.5  # and of any other
ALONE = " by itself"
GOALS = dict.fromkeys(("dense", "imp_round", "perturb"), TRAINING)
GOALS |= {f"{name}{ALONE}": TRAINING for name in GOALS}
GOALS |= {**dict.fromkeys(("data", "checkpoint", "collect"), OTHER)}
GOALS |= dict.fromkeys(("figure", "claims"), OTHER)
IMPORTS = ["", "numpy", "pandas", "matplotlib.figure, pandas", "torch"]


def smoke_commands(folder):
    """Run the smoke study in `folder`; return one command of the shell for each stage."""
    command = snakemake(folder, "--cores", "2", "--configfile", ROOT / "tests/smoke.yaml", "--printshellcmds")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(done.stdout)
    commands = {}
    for line in done.stdout.splitlines():
        if "python -m earlyphase job " in line:
            text = line[line.index("-m earlyphase") : line.rindex(" > ")]
            stage = re.search(r"stages\.(\w+)\.compute", text)[1]
            commands[stage] = f"exec {sys.executable} {text}"  # the last of a kind: a late round has a mask
    alone = {f"{stage}{ALONE}": text.replace(" --preload", "") for stage, text in commands.items()}
    return commands | alone


def seconds_of(command, folder, environment, until=None):
    """Time of a command from its start to the end, or to a line that begins with `until`."""
    start = time.perf_counter()
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        reached, printed = None, []
        for line in process.stdout:
            printed.append(line)
            if until and reached is None and line.startswith(until):
                reached = time.perf_counter()
    if process.returncode or (until and reached is None):
        sys.exit("".join(printed))
    return (reached or time.perf_counter()) - start


def main():
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every run would compile the package anew
    with tempfile.TemporaryDirectory() as folder, OtherLoad() as others:
        commands = smoke_commands(folder)
        measured = {name: [] for name in GOALS}
        measured |= {f"import {modules}" if modules else "python": [] for modules in IMPORTS}
        for _ in range(args.runs + 1):
            for name, seconds in measured.items():
                if name in GOALS:
                    until = "iteration " if GOALS[name] == TRAINING else None
                    seconds.append(seconds_of(commands[name], folder, environment, until))
                else:
                    statement = name if name.startswith("import") else ""
                    command = shlex.join([sys.executable, "-c", statement])
                    seconds.append(seconds_of(f"exec {command}", folder, environment))
    print(f"{describe()}; others used {others.cores:.2f} cores; {args.runs} runs")
    print(f"{'seconds':36}{'min':>7}{'median':>8}{'max':>7}{'goal':>6}")
    for name, (_, *seconds) in measured.items():  # the first fills caches
        goal = f"{GOALS[name]:6.1f}" if name in GOALS else ""
        print(f"{name:36}{min(seconds):7.2f}{statistics.median(seconds):8.2f}{max(seconds):7.2f}{goal}")


if __name__ == "__main__":
    main()
