#!/usr/bin/env python3
"""Whether bfloat16 ends with the accuracies of float32.

The workflow trains a study twice, all in float32 and all in bfloat16, each seed with the same initial weights
and mini-batches: the dense network, and chains of pruning. Within each seed the accuracy of bfloat16 minus
that of float32 is taken, of the dense network and of each round that is asked for. Two one-sided t tests
(TOST) at 5 % judge whether its mean over seeds lies within 0.5 points of zero: "equivalent". Where it surely
lies outside, it is "different", else "not shown". Of a network it is shown only if each of its tests says
"equivalent", so nothing is corrected for their number. Fix the number of seeds before you look: adding seeds
until a test passes makes it pass too often. A test that showed nothing may be followed by one on other seeds,
from --first on.

What was trained already is not trained again: type the same command to go on.

usage: equivalence.py FOLDER --configfile benchmarks/equivalence.yaml [--seeds 12] [--first 0] [--rounds 1 2]
                      [--cores 2]
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml
from scipy.stats import ttest_1samp

from earlyphase.results.claims.evidence import t_ps
from earlyphase.results.summaries import last_evaluations
from shared import ROOT, options, snakemake, study_of_files

MARGIN = 0.5  # points of accuracy, either way
ERROR = 0.05  # of each one-sided test
PRECISIONS = ("float32", "bfloat16")
RUN = ["seed", "k", "round"]
NOTHING_ELSE = {
    "perturbed": [],
    "pruned_by": [],
    "pretrained": [],
    "sparse_pretraining": [],
    "critical_periods": [],
}


def train(folder, configurations, targets, cores):
    """Have the workflow make tables in each precision, in a folder of its own with a log."""
    for precision in PRECISIONS:
        place = folder / precision
        place.mkdir(parents=True, exist_ok=True)
        own, log = place / "precision.yaml", place / "snakemake.log"
        own.write_text(yaml.safe_dump({"execution": {"precision": precision}}))
        command = [*snakemake(place, *targets), "--cores", str(cores), "--configfile", *configurations, own]
        print(f"{precision}: {log}", flush=True)
        with log.open("w") as printed:
            if subprocess.run(command, cwd=ROOT, stdout=printed, stderr=printed).returncode:
                sys.exit(f"the workflow failed: {log}")


def accuracies(folder, run, rounds):
    """Accuracy (%) and density at the end of every training that is compared, by seed, k and round.

    The dense network has k and round 0.
    """
    place = folder / "results/tables" / run.dataset / run.model
    dense = pd.read_csv(place / "dense.csv").assign(k=0, round=0)
    pruned = pd.read_csv(place / "imp.csv")
    pruned = pruned[pruned["round"].isin(rounds)]
    ended = pd.concat([last_evaluations(table, RUN) for table in (dense, pruned)])
    return 100 * ended.set_index(RUN)["accuracy"], ended.set_index(RUN)["density"]


def judged(found, density):
    """A row for the dense network and for each round of each chain.

    Args:
        found: precision -> accuracies in percent, by seed, k and round.
        density: by the same.
    """
    differences = found["bfloat16"] - found["float32"]
    for (k, number), values in differences.groupby(["k", "round"]):
        values = values.dropna()
        kept, interval = values.index, ttest_1samp(values, 0).confidence_interval(1 - 2 * ERROR)
        inside, outside = map(float, t_ps(values.to_numpy(), (-MARGIN, MARGIN)))
        verdict = "equivalent" if inside < ERROR else "not shown"
        yield {
            "k": k, "round": number, "density": round(density[kept].mean(), 4), "n": len(values),
            **{precision: round(found[precision][kept].mean(), 3) for precision in PRECISIONS},
            "difference": round(values.mean(), 4), "std": round(values.std(), 4),
            "low": round(interval.low, 4), "high": round(interval.high, 4),
            "p": float(f"{inside:.3g}"),
            "verdict": "different" if outside < ERROR else verdict,
        }  # fmt: skip


def main():
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="where both studies are trained")
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml")
    parser.add_argument("--seeds", type=int, default=12, help="their number; 5 are the least that count")
    parser.add_argument("--first", type=int, default=0, help="the lowest seed")
    parser.add_argument(
        "--rounds", nargs="+", type=int, help="that are compared; the last where none is named"
    )
    parser.add_argument("--cores", type=int, default=1)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    seeds = args.folder / "seeds.yaml"
    seeds.write_text(
        yaml.safe_dump(NOTHING_ELSE | {"seeds": list(range(args.first, args.first + args.seeds))})
    )
    configurations = [*(path.resolve() for path in args.configfile), seeds]
    study = study_of_files(*configurations)
    targets = [
        f"results/tables/{run.dataset}/{run.model}/{name}.csv"
        for run in study.runs
        for name in ("dense", "imp")
    ]
    train(args.folder, configurations, targets, args.cores)
    for run in study.runs:
        found = {
            name: accuracies(args.folder / name, run, args.rounds or [run.rounds]) for name in PRECISIONS
        }
        rows = judged({name: accuracy for name, (accuracy, _) in found.items()}, found["float32"][1])
        print(f"\n{run}, {run.iterations} iterations; bfloat16 minus float32, points, margin {MARGIN}")
        print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
