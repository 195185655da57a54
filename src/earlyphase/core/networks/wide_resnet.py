"""Further residual networks: wide ones, which normalise before they convolve, and the ImageNet design's."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.networks.resnet import Block, Pointwise
from earlyphase.errors import InvalidInput
from earlyphase.registry import network

WideDepth = Annotated[int, {"enum": list(range(10, 101, 6)), "description": "6n + 4: 10, 16, 22, 28, ..."}]
Positive = Annotated[int, {"minimum": 1}]


class PreactivatedBlock(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, twice; the shortcut is the identity or a 1x1 convolution.

    Where it is a convolution, it takes what was normalised, and has no batch norm of its own.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = None if same else Pointwise(channels_in, channels_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        normalised = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(normalised)), inplace=True))
        return out + (x if self.shortcut is None else self.shortcut(normalised))


class WideResNet(nn.Module):
    """A 3x3 stem of 16 channels, three stages of wide blocks, batch norm, global pooling, a linear layer."""

    def __init__(self, blocks: int, widen: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        stages, channels_in = [], 16
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                channels_out = 16 * widen * 2**stage
                stages.append(PreactivatedBlock(channels_in, channels_out, stride))
                channels_in = channels_out
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels_in)
        self.fc = nn.Linear(channels_in, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = F.relu(self.bn(self.blocks(self.conv(x))), inplace=True)
        return self.fc(x.mean(dim=(2, 3)))


class ImageNetResNet(nn.Module):
    """The residual network of the ImageNet design with blocks of two convolutions: four stages of two."""

    def __init__(self, width: int, stem: str, channels: int, classes: int) -> None:
        super().__init__()
        large = stem == "imagenet"
        size, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.conv = nn.Conv2d(channels, width, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        stages, channels_in = [], width
        for stage in range(4):
            for block in range(2):
                stages.append(Block(channels_in, width * 2**stage, 2 if stage > 0 and block == 0 else 1))
                channels_in = width * 2**stage
        self.blocks = nn.Sequential(*stages)
        self.fc = nn.Linear(channels_in, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = self.pool(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.fc(self.blocks(x).mean(dim=(2, 3)))


@network
def wide_resnet(channels: int, classes: int, *, depth: WideDepth, widen: Positive = 1) -> nn.Module:
    """Wide residual network of `depth` = 6n + 4 layers, `widen` times as wide as 16, 32 and 64 channels.

    Depth 16 widened 8 times is the paper's WRN-16-8: 10,961,370 parameters, 10,954,160 of them prunable.

    Raises:
        InvalidInput: `depth` is not 6n + 4 with n >= 1.

    Source: Zagoruyko & Komodakis 2016.
    """
    if depth < 10 or (depth - 4) % 6:
        raise InvalidInput(f"network wide_resnet: depth {depth} is not 6n + 4 (10, 16, 22, 28, ...)")
    return WideResNet((depth - 4) // 6, widen, channels, classes)


@network
def resnet18(
    channels: int, classes: int, *, width: Positive = 64, stem: Literal["cifar", "imagenet"] = "cifar"
) -> nn.Module:
    """ResNet-18 of the ImageNet design, on small images.

    With a 3x3 stem (`cifar`) it has 11,173,962 parameters for ten classes, 11,164,352 of them prunable; with
    the 7x7 stem of stride 2 and max pooling (`imagenet`), 11,181,642. Which of the two Frankle, Schwab &
    Morcos 2020 used is not known; with the small stem it learns CIFAR-10 better.

    Source: He et al. 2016, section 4.1.
    """
    return ImageNetResNet(width, stem, channels, classes)
