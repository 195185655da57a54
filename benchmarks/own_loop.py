#!/usr/bin/env python3
"""Images a second of one training process of this project: ResNet-20, batch 128, crops and mirror images.

It uses what a training job uses, on random images of CIFAR-10's number and shape. Once warm it prints
"ready", reads a line "START SECONDS" (time of the clock at which to begin to count, and for how long), trains
until then and on to the end of that window, and prints images a second. throughput.py starts several.

usage: echo 0 10 | OMP_NUM_THREADS=1 own_loop.py [--device cpu] [--precision float32]
"""

import argparse
import time

import numpy as np
import torch

from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.training import MaskedSGD, train
from earlyphase.runtime.execution import prepare

IMAGES, BATCH = 50_000, 128
WARM_UP = 3  # iterations


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    args = parser.parse_args()
    execution = prepare(args.device, args.precision)
    rng = np.random.default_rng(0)
    images = Images.from_arrays(
        rng.integers(0, 256, (IMAGES, 3, 32, 32), np.uint8),
        rng.integers(0, 10, IMAGES),
        np.full(3, 0.45, np.float32),
        np.full(3, 0.23, np.float32),
        execution.device,
    )
    model = resnet(channels=3, classes=10, depth=20, width=16).to(execution.device)
    initial = initial_state(model, seed=0)
    load_state(model, initial)
    mask = full_mask(initial, prunable_names(model))
    iterations = train(
        model,
        MaskedSGD(model, mask, momentum=0.9, weight_decay=1e-4),
        shuffled_batches(images, seed=0, batch_size=BATCH, crop_padding=4, flip=True),
        lambda iteration: 0.01,
        start=0,
        stop=10**9,
        autocast=execution.autocast,
    )

    def moment():
        if args.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(WARM_UP + 1):  # each `next` but the first takes one step
        next(iterations)
    moment()
    print("ready", flush=True)
    start, seconds = map(float, input().split())
    while time.time() < start:  # the others train already, so this one does too
        next(iterations)
    began, counted = moment(), 0
    while time.perf_counter() - began < seconds:
        next(iterations)
        counted += 1
    print(f"{counted * BATCH / (moment() - began):.1f}")


if __name__ == "__main__":
    main()
