"""Residual networks: of the CIFAR design, and ResNet-18 of the ImageNet design on small images."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.errors import InvalidInput
from earlyphase.registry import network

Depth = Annotated[int, {"enum": list(range(8, 1209, 6)), "description": "6n + 2: 8, 14, 20, 26, 32, ..."}]
Positive = Annotated[int, {"minimum": 1}]
Width = Annotated[int, {"minimum": 1, "description": "channels of the first stage"}]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution of every `step`-th pixel: the same numbers as one with that stride.

    PyTorch's strided 1x1 convolution with fewer than eight input channels writes past its buffers on
    processors without AVX-512 (oneDNN 3.12): the process crashes, or goes on with damaged memory.
    """

    def __init__(self, channels_in: int, channels_out: int, step: int) -> None:
        super().__init__(channels_in, channels_out, 1, bias=False)
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / step, W / step)."""
        return super().forward(x[:, :, :: self.step, :: self.step])


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: identity, or a strided 1x1 convolution with batch norm."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = None
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                Pointwise(channels_in, channels_out, stride), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) -> (B, C_out, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.shortcut is None else self.shortcut(x)
        return F.relu(out, inplace=True)


def stages(
    block: Callable[[int, int, int], nn.Module], channels_in: int, widths: Sequence[int], blocks: int
) -> nn.Sequential:
    """Stages of `blocks` blocks, of one width each; all but the first halve height and width.

    Args:
        block: of channels in, channels out and the stride.
        channels_in: of the first block.
    """
    layers = []
    for stage, channels_out in enumerate(widths):
        for number in range(blocks):
            layers.append(block(channels_in, channels_out, 2 if stage > 0 and number == 0 else 1))
            channels_in = channels_out
    return nn.Sequential(*layers)


class ResNet(nn.Module):
    """The CIFAR residual network: a 3x3 stem, three stages of blocks, global pooling, one linear layer."""

    def __init__(self, blocks: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        widths = [width * 2**stage for stage in range(3)]
        self.blocks = stages(Block, width, widths, blocks)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = self.blocks(F.relu(self.bn(self.conv(x)), inplace=True))
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
        widths = [width * 2**stage for stage in range(4)]
        self.blocks = stages(Block, width, widths, 2)
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = self.pool(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.fc(self.blocks(x).mean(dim=(2, 3)))


@network
def resnet(channels: int, classes: int, *, depth: Depth, width: Width = 16) -> nn.Module:
    """CIFAR ResNet of `depth` = 6n + 2 layers whose stages are `width`, 2 and 4 times `width` wide.

    Depth 20 with width 16 is the paper's ResNet-20: 272,474 parameters, 270,896 of them prunable.

    Raises:
        InvalidInput: `depth` is not 6n + 2 with n >= 1, or `width` is not positive.

    Source: He et al. 2016, section 4.2, with projection shortcuts (option B): the parameter counts
    in Frankle, Schwab & Morcos 2020 allow no other.
    """
    if depth < 8 or (depth - 2) % 6:
        raise InvalidInput(f"network resnet: depth {depth} is not 6n + 2 (8, 14, 20, 26, 32, ...)")
    if width < 1:
        raise InvalidInput(f"network resnet: width must be at least 1, got {width}")
    return ResNet((depth - 2) // 6, width, channels, classes)


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
