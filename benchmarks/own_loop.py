#!/usr/bin/env python3
"""Images a second of one training process of this project: ResNet-20, batch 128, crops and mirror images.

It uses what a training job uses, on random images of CIFAR-10's number and shape. Once warm it prints
"ready", reads a line "START SECONDS" (time of the clock at which to begin to count, and for how long), trains
until then and on to the end of that window, and prints images a second. throughput.py starts several.

usage: echo 0 10 | OMP_NUM_THREADS=1 own_loop.py [--device cpu] [--precision float32]
"""

import time

from earlyphase.core.images import shuffled_batches
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.precision import PRECISIONS
from earlyphase.core.training import MaskedSGD, Training, TrainingSettings, train
from shared import moment, options, random_images, set_up

IMAGES = 50_000
SETTINGS = TrainingSettings(
    iterations=10**9, batch_size=128, learning_rate=0.01, milestones=(), decay=0.1, momentum=0.9,
    weight_decay=1e-4, crop_padding=4, flip=True, evaluate_every=10**9,
)  # fmt: skip
WARM_UP = 3  # iterations


def main():
    parser = options(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="float32", choices=PRECISIONS)
    args = parser.parse_args()
    device, autocast = set_up(args.device, args.precision)
    images = random_images(IMAGES, 32, device)
    model = resnet(channels=3, classes=10, depth=20, width=16).to(device)
    initial = initial_state(model, seed=0)
    load_state(model, initial)
    training = Training(
        initial,
        range(SETTINGS.iterations),
        shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at),
        SETTINGS,
        full_mask(initial, prunable_names(model)),
    )
    optimizer = MaskedSGD(model, training.mask, SETTINGS.momentum)
    iterations = train(model, optimizer, training, autocast)

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
    print(f"{counted * SETTINGS.batch_size / (moment(args.device) - began):.1f}")


if __name__ == "__main__":
    main()
