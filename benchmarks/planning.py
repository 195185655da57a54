#!/usr/bin/env python3
"""What planning costs: seconds and memory of `snakemake -n` for the default study and for thousands of jobs.

The large study has 5 replicates, 20 rewind iterations and 48 rounds, about 5,000 jobs. Nothing is trained: it
is planned from nothing, in a temporary folder.

usage: planning.py [--runs 3] [--only default]
"""

import statistics
import tempfile
from pathlib import Path

from machine import OtherLoad, describe
from shared import options, plan

LARGE = {"seeds": list(range(5)), "rewind_iterations": list(range(20)), "rounds": 48, "perturbed": []}
LARGE |= {"pretrained": [], "sparse_pretraining": []}
STUDIES = {"default": "{}", "large": str(LARGE)}


def main():
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, OtherLoad() as others:
        study = Path(folder) / "study.yaml"
        for name in args.only:
            study.write_text(STUDIES[name])
            plans = [plan(folder, "--configfile", study) for _ in range(args.runs)]
            seconds = sorted(one.seconds for one in plans)
            spread = f"{seconds[0]:.1f} to {seconds[-1]:.1f} s, median {statistics.median(seconds):.1f} s"
            megabytes = max(one.megabytes for one in plans)
            print(f"{name} study: {plans[0].jobs} jobs, {spread}, {megabytes:.0f} MB", flush=True)
    print(f"{describe()}; others used {others.cores:.2f} cores; {args.runs} runs")


if __name__ == "__main__":
    main()
