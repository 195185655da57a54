"""What several benchmarks do: read their options, ask Snakemake for a plan, make images to train on."""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def options(description):
    """Parser of a benchmark's options; `description` is printed as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def snakemake(folder, *words):
    """Command line of this repository's workflow, at work in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    return [*command, *words]


@dataclass(frozen=True)
class Plan:
    """What `snakemake -n` says and takes."""

    jobs: int
    seconds: float
    megabytes: float


def plan(folder, *words):
    """Have Snakemake plan a study from nothing in `folder`; end the program where it cannot."""
    log = Path(folder) / "plan.log"
    began = time.perf_counter()
    with log.open("w") as printed:
        process = subprocess.Popen(
            snakemake(folder, "-n", "--quiet", "rules", *words), stdout=printed, stderr=printed, cwd=ROOT
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds, said = time.perf_counter() - began, log.read_text()
    if status:
        sys.exit(said)
    jobs = int(re.search(r"^total +(\d+)", said, re.MULTILINE)[1])
    return Plan(jobs, seconds, usage.ru_maxrss / 1024)


def random_images(count, size, device):
    """Colour images in ten classes: what they show changes no time."""
    from earlyphase.core.images import Images  # imports torch, which most benchmarks do without

    draw, level = np.random.default_rng(0), np.full(3, 0.5, np.float32)
    pixels = draw.integers(0, 256, (count, 3, size, size), np.uint8)
    return Images.from_arrays(pixels, draw.integers(0, 10, count), level, level, device)


def moment(device):
    """Time at which all work so far is done, in seconds."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def set_up(device, precision):
    """Prepare this process as a training job does; return its device and the context of a forward pass."""
    from earlyphase.core.precision import autocast, use_precision
    from earlyphase.runtime.execution import prepare

    use_precision(precision)
    chosen = prepare(device, precision).device
    return chosen, partial(autocast, precision, chosen.type)
