"""VGG for small images: convolutions with batch norm, global pooling, one linear layer."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.work import VGG_STAGES
from earlyphase.registry import network

Depth = Annotated[
    int, {"enum": list(VGG_STAGES), "description": "layers of the ImageNet design: 11, 13, 16, 19"}
]
Width = Annotated[int, {"minimum": 1, "description": "channels of the first stage; 64 in the paper"}]


class VGG(nn.Module):
    """Five stages of 3x3 convolutions with batch norm, separated by max pooling; the last two equally wide.

    `not_pruned` names the linear layer: the paper prunes the convolutions alone.
    """

    not_pruned = ("fc.weight",)

    def __init__(self, stages: tuple[int, ...], width: int, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in = channels
        for stage, count in enumerate(stages):
            if stage:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))  # of one pixel it leaves one
            for _ in range(count):
                channels_out = width * min(2**stage, 8)
                layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out)]
                layers.append(nn.ReLU(inplace=True))
                channels_in = channels_out
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(channels_in, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> logits (B, classes)."""
        return self.fc(F.adaptive_avg_pool2d(self.layers(x), 1).flatten(1))


@network
def vgg(channels: int, classes: int, *, depth: Depth, width: Width = 64) -> nn.Module:
    """VGG of the ImageNet design's stages, for images of any size, with biases on its convolutions.

    Depth 13 with width 64 is the paper's VGG-13: 9,416,010 parameters, 9,402,048 of them prunable. It has ten
    convolutions and one linear layer; the design's two other linear layers are left out.

    Source: Simonyan & Zisserman 2015; the number of parameters in Frankle, Schwab & Morcos 2020 asks for the
    biases.
    """
    return VGG(VGG_STAGES[depth], width, channels, classes)
