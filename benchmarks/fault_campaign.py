#!/usr/bin/env python3
"""Kill a small study at random moments; compare every artifact with an undisturbed run.

Each fault is drawn at random: a training job is killed or terminated, or Snakemake itself is killed (its
jobs live on, and after `--unlock` the same job may start a second time) or interrupted. The study is then
started again. When it is finished, its files are compared byte by byte, and a new one begins, until the
stated number of faults was reached.

usage: fault_campaign.py [--faults 50] [--seed 0] [--cores 2]
"""

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
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
execution: {device: cpu, precision: float32, resume_interval: 0.2}
"""


def snakemake(folder, cores, *options):
    """Start the study in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", str(cores)]
    command += ["--directory", folder, "--configfile", folder / "study.yaml", *options]
    with (folder / "snakemake.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)


def training_jobs(folder):
    """Processes that train for the study in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if "earlyphase" in words and "--resume" in words and process.info["cwd"] == str(folder):
            found.append(process)
    return found


def inject(kind, workflow, folder, rng):
    """Do one kind of harm; return whether there was anything to harm."""
    try:
        if kind in ("job killed", "job terminated"):
            victims = training_jobs(folder)
            if not victims:
                return False
            rng.choice(victims).send_signal(signal.SIGKILL if kind == "job killed" else signal.SIGTERM)
        else:
            workflow.send_signal(signal.SIGKILL if kind == "Snakemake killed" else signal.SIGINT)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True


def artifacts(folder):
    """Bytes of everything that must not depend on what happened: all but run records."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def new_study(parent, name):
    """Make an empty folder with the study's configuration."""
    folder = Path(parent).resolve() / name
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    return folder


def resumptions(folder):
    """How many logs of the present attempt say that training went on from saved progress."""
    logs = (folder / "logs").rglob("*.log")
    return {
        path: found[0]
        for path in logs
        if (found := re.findall(r"resuming at iteration \d+", path.read_text()))
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    kinds = ["job killed", "job terminated", "Snakemake killed", "Snakemake interrupted"]
    faults, resumed, compared, differences, studies = Counter(), set(), 0, [], 0
    with tempfile.TemporaryDirectory() as parent:
        undisturbed = new_study(parent, "undisturbed")
        if snakemake(undisturbed, args.cores).wait():
            sys.exit((undisturbed / "snakemake.log").read_text())
        expected = artifacts(undisturbed)
        while sum(faults.values()) < args.faults:
            folder = new_study(parent, f"study{studies}")
            studies += 1
            finished = False
            while not finished:
                workflow = snakemake(folder, args.cores)
                deadline = time.monotonic() + rng.uniform(2, 14)
                while workflow.poll() is None:
                    time.sleep(0.05)
                    for path, line in resumptions(folder).items():
                        resumed.add((path, line))
                    if time.monotonic() > deadline and sum(faults.values()) < args.faults:
                        kind = rng.choice(kinds)
                        if inject(kind, workflow, folder, rng):
                            faults[kind] += 1
                        deadline = time.monotonic() + rng.uniform(2, 14)
                finished = workflow.returncode == 0
                if not finished:
                    snakemake(folder, args.cores, "--unlock").wait()
            found = artifacts(folder)
            compared += len(expected)
            new = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
            differences += new
            print(f"study {studies}: {sum(faults.values())} faults, {len(resumed)} resumptions, "
                  f"{len(differences)} differences", flush=True)  # fmt: skip
            if new:
                kept = Path(tempfile.mkdtemp(prefix="faults-"))
                shutil.copytree(undisturbed, kept / "undisturbed")
                shutil.copytree(folder, kept / "disturbed")
                print(f"different: {sorted(new)}; both studies are kept in {kept}", flush=True)
            shutil.rmtree(folder)
    for kind in kinds:
        print(f"{kind}: {faults[kind]}")
    print(f"training went on from saved progress: {len(resumed)} times")
    print(f"artifacts compared: {compared}, different: {len(differences)} {differences or ''}")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
