#!/usr/bin/env python3
"""What watching costs: processor time of a replay with telemetry over one without, in turns.

The network and the schedule are those of the first run of a configuration; the images are random, which
changes no time. Test-set evaluations are timed apart, because they are the larger part and have a schedule of
their own.

usage: telemetry.py [--config presets/cifar10-cpu.yaml] [--pairs 5] [--size 16] [--until 193]
"""

import statistics
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from earlyphase.core.images import shuffled_batches
from earlyphase.core.networks import network
from earlyphase.core.networks.state import initial_state, load_state
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.telemetry import Telemetry
from earlyphase.core.training import Run, Training
from earlyphase.runtime.resume import ResumeFile, finish
from earlyphase.study.jobs import all_jobs
from machine import OtherLoad, describe
from shared import options, random_images, set_up, study_of_files

IMAGES = 2000


def timed(model, training, images, autocast, sampled, evaluated):
    """Processor seconds of a training that is watched at some iterations and evaluated at some."""
    load_state(model, training.start)
    kept = {training.settings.iterations + 1: training.start}  # the end of the run: never reached here
    observer = Telemetry(model, sampled, kept, seed=0) if sampled else None
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):  # a line for each evaluation
        resume = ResumeFile(Path(folder) / "resume", "", 3600)
        began = time.process_time()
        run = Run(
            training, model, images, autocast, observer=observer,
            evaluates_at=frozenset(evaluated).__contains__,
        )  # fmt: skip
        finish(run, resume)
        return time.process_time() - began


def main():
    parser = options(__doc__)
    parser.add_argument("--config", nargs="*", default=[], type=Path, help="laid over config.yaml")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=int, default=16, help="pixels of an image's side")
    parser.add_argument("--until", type=int, help="iteration at which a replay ends")
    args = parser.parse_args()
    study = study_of_files(*args.config)
    run = study.runs[0]
    settings = TrainingSettings.from_spec(run.training)
    sampled, evaluated = (
        sampled_iterations(run.telemetry[name], run.iterations) for name in ("schedule", "evaluations")
    )
    until = args.until or next(all_jobs(study, [run], ["telemetry"])).span.stop
    device, autocast = set_up("cpu", "float32")
    images = random_images(IMAGES, args.size, device)
    batch_at = shuffled_batches(images, 0, settings.batch_size, settings.augmentation_at)
    entry = {name: value for name, value in study.config["models"][run.model].items() if name != "training"}
    build = network.named(entry.pop("function"))

    def seconds_of(*times):
        model = build(3, 10, **entry)
        training = Training(initial_state(model, 0), range(until), batch_at, settings)
        return timed(model, training, images, autocast, *times)

    ratios, evaluating = [], []
    with OtherLoad() as others:
        for _ in range(args.pairs):
            off, on, on_with_tests = (
                seconds_of(*times) for times in (((), ()), (sampled, ()), (sampled, evaluated))
            )
            ratios.append(on / off)
            evaluating.append((on_with_tests - on) / off)
            print(f"off {off:.2f} s, on {on:.2f} s, with evaluations {on_with_tests:.2f} s", flush=True)
    samples = sum(iteration < until for iteration in sampled)
    tests = sum(iteration <= until for iteration in evaluated)
    print(f"{describe()}; others used {others.cores:.2f} cores; {until} iterations, {samples} samples")
    print(f"on/off: {min(ratios):.3f} to {max(ratios):.3f}, median {statistics.median(ratios):.3f}")
    print(f"{tests} evaluations of {IMAGES} images add {statistics.median(evaluating):.3f} of the time off")


if __name__ == "__main__":
    main()
