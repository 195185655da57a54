#!/usr/bin/env python3
"""What watching costs: processor time of a replay with telemetry over one without, in turns.

The network and the schedule are those of a configuration; the images are random, which changes no time.
Test-set evaluations are timed apart, because they are the larger part and have a schedule of their own.

usage: telemetry.py [--config config.yaml [preset.yaml]] [--pairs 5] [--size 16] [--until 193]
"""

import argparse
import statistics
import time
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from earlyphase.core.images import Images
from earlyphase.core.networks import network
from earlyphase.core.networks.state import initial_state, load_state, state_of
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.telemetry import Telemetry
from earlyphase.core.training import TrainingSettings
from earlyphase.runtime.execution import prepare
from earlyphase.runtime.resume import ResumeFile, train_resumably
from earlyphase.study.study import read_study
from machine import OtherLoad, describe

ROOT = Path(__file__).resolve().parents[1]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", nargs="+", default=[ROOT / "config.yaml"], type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, default=16, help="pixels of an image's side")
    parser.add_argument("--until", type=int, help="iteration at which a replay ends")
    args = parser.parse_args()
    study = read_study(args.config, ROOT / "config.schema.yaml")
    run = study.runs[0]
    settings = TrainingSettings.from_spec(study.training(run.dataset, run.model))
    execution = prepare("cpu", "float32")
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (2000, 3, args.size, args.size), dtype=np.uint8)
    half = np.full(3, 0.5, np.float32)
    images = Images.from_arrays(pixels, draw.integers(0, 10, 2000), half, half, torch.device("cpu"))
    entry = dict(study.config["models"][run.model])
    build = network.named(entry.pop("function"))
    sampled, evaluated = (
        sampled_iterations(study.config["telemetry"][name], settings.iterations)
        for name in ("schedule", "evaluations")
    )
    until = args.until or min(sampled[-1] + 1, settings.iterations)
    settings = replace(settings, iterations=until)

    def seconds_of(watched, times):
        model = build(3, 10, **entry)
        load_state(model, initial_state(model, 0))
        kept = {settings.iterations + 1: state_of(model)}
        observer = Telemetry(model, sampled, kept, seed=0) if watched else None
        with TemporaryDirectory() as folder:
            resume = ResumeFile(Path(folder) / "resume", "", 3600)
            began = time.process_time()
            with redirect_stdout(StringIO()):  # a line for each evaluation
                train_resumably(
                    model, None, settings, images, images, resume, execution, seed=0, start=0,
                    observer=observer, evaluates_at=frozenset(times).__contains__,
                )  # fmt: skip
            return time.process_time() - began

    ratios, evaluating = [], []
    with OtherLoad() as others:
        for _ in range(args.pairs):
            off, on, on_with_tests = (
                seconds_of(*how) for how in ((False, ()), (True, ()), (True, evaluated))
            )
            ratios.append(on / off)
            evaluating.append((on_with_tests - on) / off)
            print(f"off {off:.2f} s, on {on:.2f} s, with evaluations {on_with_tests:.2f} s", flush=True)
    samples = sum(iteration < until for iteration in sampled)
    tests = sum(iteration <= until for iteration in evaluated)
    print(f"{describe()}; others used {others.cores:.2f} cores; {until} iterations, {samples} samples")
    print(f"on/off: {min(ratios):.3f} to {max(ratios):.3f}, median {statistics.median(ratios):.3f}")
    print(
        f"{tests} evaluations of {len(images)} images add {statistics.median(evaluating):.3f} of the time off"
    )


if __name__ == "__main__":
    main()
