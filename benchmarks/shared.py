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

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Case:
    """A network, and what it is trained on."""

    depth: int  # of a ResNet of the CIFAR design
    width: int
    size: int  # pixels a side of an image of three channels
    batch: int
    augmented: bool  # crops and mirror images


CASES = {
    "resnet20": Case(20, 16, 32, 128, augmented=True),  # the paper's
    "default": Case(8, 4, 16, 32, augmented=False),  # the default study's
}


def options(description):
    """Parser of a benchmark's options; `description` is printed as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def study_of_files(*paths):
    """The study of `config.yaml` with other files laid over it."""
    from earlyphase.stages import study_of
    from earlyphase.study.configuration import read_files

    return study_of(read_files([ROOT / "config.yaml", *paths]), ROOT)


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
    seconds, said = time.perf_counter() - began, log.read_text(encoding="utf-8")
    if status:
        sys.exit(said)
    jobs = int(re.search(r"^total +(\d+)", said, re.MULTILINE)[1])
    return Plan(jobs, seconds, usage.ru_maxrss / 1024)


def random_images(count, size, device):
    """Colour images in ten classes: what they show changes no time."""
    import numpy as np

    from earlyphase.core.images import Images  # imports torch, which most benchmarks do without

    draw, level = np.random.default_rng(0), np.full(3, 0.5, np.float32)
    pixels = draw.integers(0, 256, (count, 3, size, size), np.uint8)
    return Images.from_arrays(pixels, draw.integers(0, 10, count), level, level, device)


def flops_of_image(case):
    """Floating-point operations of one image, forward and back, as torch counts them: of products alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from earlyphase.core.networks.resnet import resnet

    network = resnet(3, 10, depth=case.depth, width=case.width)
    with FlopCounterMode(display=False) as counted:
        network(torch.zeros(2, 3, case.size, case.size)).sum().backward()
    return counted.get_total_flops() / 2


def moment(device):
    """Time at which all work so far is done, in seconds."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def set_up(device, precision):
    """Prepare this process as a training job does; return the device and the context of a forward pass."""
    from earlyphase.core.precision import autocast, use_precision
    from earlyphase.runtime.execution import prepare

    chosen = prepare(device, precision).device
    use_precision(precision)
    return chosen, partial(autocast, precision, chosen.type)
