#!/usr/bin/env python3
"""Kill a small study at random moments; compare every artifact with an undisturbed run.

Each fault is drawn at random: a training job is killed or terminated, or Snakemake itself is killed (its
jobs live on, and after `--unlock` the same job may start a second time) or interrupted. The study is then
started again. When it is finished, its files are compared byte by byte, and a new one begins, until the
stated number of faults was reached.

usage: fault_campaign.py [--faults 50] [--seed 0] [--cores 2]
"""

import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from shared import ROOT, options

sys.path.insert(0, str(ROOT / "tests/slurm"))
from driver import LOCALLY, Workflow

KINDS = ("job killed", "job terminated", "Snakemake killed", "Snakemake interrupted")
STUDY = """
runs: [{dataset: synthetic, model: tiny}]
seeds: [0]
rewind_iterations: [0, 30]
rounds: 2
training: {iterations: 400, batch_size: 64, learning_rate: 0.1, milestones: [200], evaluate_every: 100}
datasets:
  synthetic: {function: synthetic, train: 512, test: 128, classes: 4, size: 8, flip: true}
models:
  tiny: {function: resnet, depth: 8, width: 8}
perturbed: []
pretrained: []
sparse_pretraining: []
execution: {device: cpu, precision: float32, resume_interval: 0.2}
"""


def new_study(parent, name, cores):
    """Make an empty folder with the study's configuration."""
    folder = Path(parent).resolve() / name
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    return Workflow(folder, folder / "study.yaml", os.environ, *LOCALLY[:-1], str(cores))


def inject(kind, workflow, rng):
    """Do one kind of harm; return whether there was anything to harm."""
    try:
        if kind.startswith("job"):
            victims = workflow.training()
            if not victims:
                return False
            rng.choice(victims).send_signal(signal.SIGKILL if kind == "job killed" else signal.SIGTERM)
        else:
            workflow.process.send_signal(signal.SIGKILL if kind == "Snakemake killed" else signal.SIGINT)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True


def resumptions(folder):
    """How many logs of the present attempt say that training went on from saved progress."""
    logs = (folder / "logs").rglob("*.log")
    return {
        path: found[0]
        for path in logs
        if (found := re.findall(r"resuming at iteration \d+", path.read_text(encoding="utf-8")))
    }


def disturb(workflow, rng, faults, most):
    """Do harm at random moments until Snakemake ends, and no more than `most` faults in all.

    Returns:
        Which jobs went on from saved progress: path of the log, and what it says.
    """
    resumed, deadline = set(), time.monotonic() + rng.uniform(2, 14)
    workflow.start()
    while workflow.process.poll() is None:
        time.sleep(0.05)
        resumed |= set(resumptions(workflow.folder).items())
        if time.monotonic() > deadline and faults.total() < most:
            kind = rng.choice(KINDS)
            faults[kind] += inject(kind, workflow, rng)
            deadline = time.monotonic() + rng.uniform(2, 14)
    return resumed


def keep(new, *folders):
    """Keep the folders of studies whose artifacts differ, and say where."""
    kept = Path(tempfile.mkdtemp(prefix="faults-"))
    for folder in folders:
        shutil.copytree(folder, kept / folder.name)
    print(f"different: {sorted(new)}; the studies are kept in {kept}", flush=True)


def main():
    parser = options(__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    faults, resumed, compared, differences, studies = Counter(), 0, 0, [], 0
    with tempfile.TemporaryDirectory() as parent:
        undisturbed = new_study(parent, "undisturbed", args.cores)
        status, printed = undisturbed.start().finish(3600)
        if status != 0:
            sys.exit(printed)
        expected = undisturbed.artifacts()
        while faults.total() < args.faults:
            workflow, seen = new_study(parent, f"study{studies}", args.cores), set()
            studies += 1
            while True:
                seen |= disturb(workflow, rng, faults, args.faults)
                if workflow.process.returncode == 0:
                    break
                workflow.unlock()
            resumed += len(seen)
            found = workflow.artifacts()
            compared += len(expected)
            new = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
            differences += new
            print(f"study {studies}: {faults.total()} faults, {resumed} resumptions, "
                  f"{len(differences)} differences", flush=True)  # fmt: skip
            if new:
                keep(new, undisturbed.folder, workflow.folder)
            shutil.rmtree(workflow.folder)
    for kind in KINDS:
        print(f"{kind}: {faults[kind]}")
    print(f"training went on from saved progress: {resumed} times")
    print(f"artifacts compared: {compared}, different: {len(differences)} {differences or ''}")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
