#!/usr/bin/env python3
"""Images a second of a plain PyTorch training loop: the yardstick for this project's own.

ResNet-20 on CIFAR-shaped images, written the way research code usually is: a PIL image for each example,
torchvision transforms one image at a time, a DataLoader with worker processes, contiguous (NCHW) float32
tensors, eager mode, torch.optim.SGD. The images are random: their content does not change the speed.

usage: plain_loop.py [--seconds 10] [--batch 128] [--workers 2] [--threads 2] [--device cpu]
"""

import time
from itertools import chain, repeat

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from shared import moment, options

IMAGES = 50_000
WARM_UP = 3  # batches


class RandomImages(Dataset):
    """As many images as CIFAR-10 has for training, of its shape, with its usual augmentation."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
        self.labels = rng.integers(0, 10, IMAGES)
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomCrop(32, padding=4),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1:
            convolution = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(channels_out))

    def forward(self, x):
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet20(nn.Module):
    """272,474 parameters, as in the paper."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        stages = [(16, 16), (16, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
        self.blocks = nn.Sequential(*(Block(into, out, 1 if into == out else 2) for into, out in stages))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        """Map (B, 3, 32, 32) to logits (B, 10)."""
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(F.avg_pool2d(x, x.shape[3]).flatten(1))


def main():
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in the process that trains")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    loader = DataLoader(
        RandomImages(),
        args.batch,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=args.device == "cuda",
        drop_last=True,
    )
    model = ResNet20().to(args.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for step, (images, labels) in enumerate(chain.from_iterable(repeat(loader))):
        if step == WARM_UP:
            start = moment(args.device)
        elif step > WARM_UP and time.perf_counter() - start >= args.seconds:
            break
        images = images.to(args.device, non_blocking=True)
        labels = labels.to(args.device, non_blocking=True)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    rate = (step - WARM_UP) * args.batch / (moment(args.device) - start)
    print(f"{rate:.1f} images/s ({args.workers} workers, {args.threads} threads, batch {args.batch})")


if __name__ == "__main__":
    main()
