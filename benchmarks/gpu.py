#!/usr/bin/env python3
"""What a GPU makes of this project's training, in ten minutes: for whoever has one.

Accuracy after one epoch in float32, tf32 and bfloat16; then 1, 8 and 4 training jobs side by side on one GPU
in each of these: as jobs train, with a step replayed as a CUDA graph (`jobs`); with every kernel launched by
Python (`eager`); and with the network compiled by torch.compile besides (`compile`). For each: iterations and
images a second, of all jobs together, and the share of the operations a second that a large matrix product
reaches in the same precision on the same device. What does not fit into the time is named and left out.

On a CPU, `--device cpu --quick` goes through the same code in a minute or two, with a small network; its
numbers say nothing of a GPU.

usage: gpu.py [--minutes 10] [--device cuda] [--quick] [--mps] [--data results/data/cifar10.safetensors]
              [--out gpu.csv]
"""

import csv
import os
import time
from pathlib import Path

import torch

from earlyphase.core.images import Images
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.training import evaluate, train
from earlyphase.datasets import dataset
from earlyphase.runtime import mps
from earlyphase.runtime.machine import gpu_models
from earlyphase.runtime.storage import load_tensors
from machine import describe
from own_loop import training_of
from shared import CASES, flops_of_image, moment, options, set_up
from throughput import ours, product

PRECISIONS = ("float32", "tf32", "bfloat16")
MODES = ("jobs", "eager", "compile")
SECONDS = {
    "jobs": 15,
    "eager": 15,
    "compile": 75,
}  # that a measurement is given, its start included: 8 to 14 on an H200; for `compile` assumed
RATES = {"resnet20": 0.1, "default": 0.4}  # of learning, as the studies of these networks begin
COLUMNS = (
    "mode", "precision", "jobs", "iterations_a_second", "images_a_second", "share_of_product", "seconds",
    "note",
)  # fmt: skip


def in_order(jobs):
    """What is measured, the most telling first: how jobs train, then what could make them faster."""
    numbers = [jobs[0], *jobs[:0:-1]]  # one, then the most
    return [(mode, precision, count) for mode in MODES for count in numbers for precision in PRECISIONS]


def measured(mode, precision, count, args, peak):
    """A row: how fast jobs train side by side, or why they do not."""
    row = dict.fromkeys(COLUMNS, "") | {"mode": mode, "precision": precision, "jobs": count}
    case, began = CASES[args.network], time.monotonic()
    try:
        inherited = os.environ | {"OMP_NUM_THREADS": "1"}  # as it is now: it may name NVIDIA's MPS
        rate = ours(count, args.seconds, args.network, args.device, precision, mode, inherited)
    except ChildProcessError as error:
        return row | {"note": str(error)}
    return row | {
        "iterations_a_second": f"{rate / case.batch:.4g}",
        "images_a_second": f"{rate:.4g}",
        "share_of_product": f"{rate * flops_of_image(case) / peak:.3g}",
        "seconds": f"{time.monotonic() - began:.0f}",
    }


def images_of(path, device):
    """Training and test images of a data set of the workflow, or of photo_digits where there is none."""
    if path:
        data, _ = load_tensors(path, "data set")
    else:
        data = vars(dataset["photo_digits"]())
    return [
        Images.from_arrays(data[f"{part}_images"], data[f"{part}_labels"], data["mean"], data["std"], device)
        for part in ("train", "test")
    ]


def after_an_epoch(args, precision):
    """Accuracy in percent on the test set after one epoch, and the seconds that it took."""
    case = CASES[args.network]
    device, autocast = set_up(args.device, precision)
    images, tested = images_of(args.data, device)
    model = resnet(images.pixels.shape[-1], 10, depth=case.depth, width=case.width).to(device)
    training = training_of(case, images, model, RATES[args.network])
    optimizer = MaskedOptimizer(model, training.mask, training.settings.optimizer)
    began, end = moment(args.device), -(-len(images) // case.batch)
    for iteration in train(model, optimizer, training, autocast):
        if iteration == end:
            break
    seconds = moment(args.device) - began
    return 100 * evaluate(model, tested, autocast)["accuracy"], seconds


def write(path, rows):
    """Write rows as CSV."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def parsed():
    """The options."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="after which nothing new is begun")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--network", default="resnet20", choices=CASES)
    parser.add_argument("--seconds", type=float, default=5, help="length of each measurement")
    parser.add_argument("--quick", action="store_true", help="a small network, one second each, 1 and 2 jobs")
    parser.add_argument("--mps", action="store_true", help="under NVIDIA's MPS, as profiles/gpu trains")
    parser.add_argument(
        "--data", help="for the accuracy: a data set of the workflow; photo_digits by default"
    )
    parser.add_argument("--out", help="CSV")
    args = parser.parse_args()
    args.jobs, args.product = (1, 4, 8), 8192
    if args.quick:
        args.network, args.seconds, args.jobs, args.product = "default", 1.0, (1, 2), 1024
    return args


def main():
    args = parsed()
    deadline = time.monotonic() + 60 * args.minutes
    print(f"{', '.join(gpu_models()) or 'no GPU'}; {describe()}; torch {torch.__version__}; {args.network}")
    if args.mps:
        print(mps.start(args.device))
    peaks = {name: product(2, args.device, name, args.product) for name in PRECISIONS}
    for name, peak in peaks.items():
        print(f"product of {args.product} x {args.product}, {name}: {peak / 1e12:.4g} Tflop/s", flush=True)
    for name in PRECISIONS:
        accuracy, seconds = after_an_epoch(args, name)
        print(f"after one epoch, {name}: {accuracy:.2f} %, {seconds:.1f} s", flush=True)
    print("".join(f"{name:>20}" for name in COLUMNS))
    rows = []
    for mode, name, count in in_order(args.jobs):
        if time.monotonic() + SECONDS[mode] * (not args.quick) > deadline:
            empty = dict.fromkeys(COLUMNS, "")
            rows.append(empty | {"mode": mode, "precision": name, "jobs": count, "note": "no time left"})
        else:
            rows.append(measured(mode, name, count, args, peaks[name]))
        print("".join(f"{rows[-1][column]:>20}" for column in COLUMNS), flush=True)
    if args.out:
        write(args.out, rows)


if __name__ == "__main__":
    main()
