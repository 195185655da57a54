"""Wide residual networks, which normalise before they convolve."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.networks.resnet import Pointwise, Positive, stages
from earlyphase.errors import InvalidInput
from earlyphase.registry import network

WideDepth = Annotated[int, {"enum": list(range(10, 101, 6)), "description": "6n + 4: 10, 16, 22, 28, ..."}]


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
        widths = [16 * widen * 2**stage for stage in range(3)]
        self.blocks = stages(PreactivatedBlock, 16, widths, blocks)
        self.bn = nn.BatchNorm2d(widths[-1])
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        x = F.relu(self.bn(self.blocks(self.conv(x))), inplace=True)
        return self.fc(x.mean(dim=(2, 3)))


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
