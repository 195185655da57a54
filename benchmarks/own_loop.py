#!/usr/bin/env python3
"""Images a second of one training process of this project, on random images of CIFAR-10's number.

It uses what a training job uses. Once warm it prints "ready", reads a line "START SECONDS"
(time of the clock at which to begin to count, and for how long), trains until then and on to the end of that
window, and prints images a second. throughput.py and gpu.py start several.

Modes: `jobs` is how jobs train, with CUDA graphs on a GPU. In `eager` mode Python launches every kernel, and
`compile` compiles the network by `torch.compile` besides.

usage: echo 0 10 | OMP_NUM_THREADS=1 own_loop.py [--network resnet20] [--device cpu] [--precision float32]
                                                 [--mode jobs]
"""

import time

import torch

from earlyphase.core.images import shuffled_batches
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.precision import PRECISIONS
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.steps import plain_backward
from earlyphase.core.training import Training, train
from shared import CASES, moment, options, random_images, set_up

IMAGES = 50_000
WARM_UP = 5  # iterations; enough for CUDA graphs to be captured
RATE = 0.01


def training_of(case, images, model, rate=RATE):
    """A training without end from the initial state, with a mask as tickets have one."""
    settings = TrainingSettings(
        iterations=10**9, batch_size=case.batch, learning_rate=rate, weight_decay=1e-4, evaluate_every=10**9,
        optimizer={"function": "sgd", "momentum": 0.9}, schedule={"function": "constant"},
        initialisation={"function": "kaiming_normal"},
        augmentation={"function": "crop_and_flip", "padding": 4 * case.augmented, "flip": case.augmented},
    )  # fmt: skip
    initial = initial_state(model, seed=0)
    load_state(model, initial)
    batch_at = shuffled_batches(images, 0, settings.batch_size, settings.augmentation_at)
    mask = full_mask(initial, prunable_names(model))
    return Training(initial, range(settings.iterations), batch_at, settings, mask)


def main():
    parser = options(__doc__)
    parser.add_argument("--network", default="resnet20", choices=CASES)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    parser.add_argument("--mode", default="jobs", choices=["jobs", "eager", "compile"])
    args = parser.parse_args()
    case = CASES[args.network]
    device, autocast = set_up(args.device, args.precision)
    images = random_images(IMAGES, case.size, device)
    model = resnet(channels=3, classes=10, depth=case.depth, width=case.width).to(device)
    training = training_of(case, images, model)
    optimizer = MaskedOptimizer(model, training.mask, training.settings.optimizer)
    launched = torch.compile(model) if args.mode == "compile" else model
    backward = None if args.mode == "jobs" else plain_backward(launched, optimizer, autocast)
    iterations = train(model, optimizer, training, autocast, backward=backward)

    for _ in range(WARM_UP + 1):  # each `next` but the first takes one step
        next(iterations)
    moment(args.device)
    print("ready", flush=True)
    start, seconds = map(float, input().split())
    while time.time() < start:  # the others train already, so this one does too
        next(iterations)
    began, counted = moment(args.device), 0
    while time.perf_counter() - began < seconds:
        next(iterations)
        counted += 1
    print(f"{counted * case.batch / (moment(args.device) - began):.1f}")


if __name__ == "__main__":
    main()
