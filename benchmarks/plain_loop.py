#!/usr/bin/env python3
"""Images a second of a plain PyTorch training loop: the yardstick for this project's own.

A ResNet of the CIFAR design, written the way research code usually is: a PIL image for each example,
torchvision transforms one image at a time, a DataLoader with worker processes, contiguous (NCHW) float32
tensors, eager mode, torch.optim.SGD. The images are random: their content does not change the speed.

usage: plain_loop.py [--network resnet20] [--seconds 10] [--workers 2] [--threads 2] [--device cpu]
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

from shared import CASES, moment, options

IMAGES = 50_000
WARM_UP = 3  # batches


class RandomImages(Dataset):
    """As many images as CIFAR-10 has for training, with its usual augmentation where there is to be any."""

    def __init__(self, size, augmented):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (IMAGES, size, size, 3), np.uint8)
        self.labels = rng.integers(0, 10, IMAGES)
        varied = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(size, padding=4)]
        self.transform = transforms.Compose(
            [
                *(varied if augmented else []),
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


class ResNet(nn.Module):
    """6n + 2 layers in three stages; 272,474 parameters at depth 20 and width 16, as in the paper."""

    def __init__(self, depth, width):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        widths = [width * 2**stage for stage in range(3) for _ in range((depth - 2) // 6)]
        stages = zip([width, *widths[:-1]], widths, strict=True)
        self.blocks = nn.Sequential(*(Block(into, out, 1 if into == out else 2) for into, out in stages))
        self.fc = nn.Linear(4 * width, 10)

    def forward(self, x):
        """Map (B, 3, H, W) to logits (B, 10)."""
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(F.avg_pool2d(x, x.shape[3]).flatten(1))


def main():
    parser = options(__doc__)
    parser.add_argument("--network", default="resnet20", choices=CASES)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare batches")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in the process that trains")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    case = CASES[args.network]
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    loader = DataLoader(
        RandomImages(case.size, case.augmented),
        case.batch,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=args.device == "cuda",
        drop_last=True,
    )
    model = ResNet(case.depth, case.width).to(args.device)
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
    rate = (step - WARM_UP) * case.batch / (moment(args.device) - start)
    print(f"{rate:.1f} images/s ({args.workers} workers, {args.threads} threads, batch {case.batch})")


if __name__ == "__main__":
    main()
