#!/usr/bin/env python3
"""What planning costs: seconds and memory of `snakemake -n` for the default study and for thousands of jobs.

The large study has 5 replicates, 20 rewind iterations and 48 rounds, about 5,000 jobs. Nothing is trained: it
is planned from nothing, in a temporary folder.

usage: planning.py [--runs 3]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import OtherLoad, describe

ROOT = Path(__file__).resolve().parents[1]
LARGE = {"seeds": list(range(5)), "rewind_iterations": list(range(20)), "rounds": 48, "perturbed": []}


def plan(folder, overlay):
    """Plan a study; return its number of jobs, the seconds and the megabytes that took."""
    (folder / "study.yaml").write_text(overlay)
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, "--configfile", folder / "study.yaml"]
    start = time.perf_counter()
    with (folder / "plan.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    printed = (folder / "plan.log").read_text()
    if status:
        sys.exit(printed)
    return int(re.search(r"^total +(\d+)", printed, re.MULTILINE)[1]), seconds, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, OtherLoad() as others:
        for name, overlay in (("default study", "{}"), ("large study", str(LARGE))):
            plans = [plan(Path(folder), overlay) for _ in range(args.runs)]
            seconds = sorted(plan[1] for plan in plans)
            spread = f"{seconds[0]:.1f} to {seconds[-1]:.1f} s, median {statistics.median(seconds):.1f} s"
            print(f"{name}: {plans[0][0]} jobs, {spread}, {max(plan[2] for plan in plans):.0f} MB")
    print(f"{describe()}; others used {others.cores:.2f} cores; {args.runs} runs")


if __name__ == "__main__":
    main()
