from typing import Annotated

import torch

from earlyphase import figure, network
from earlyphase.core.networks.resnet import resnet
from earlyphase.results.figures.rewinding import rewinding


class Nothing(torch.nn.Module):
    """What is added in place of a shortcut."""

    def forward(self, x):
        return 0


@network
def straight(channels: int, classes: int, *, width: Annotated[int, {"minimum": 1}] = 3) -> torch.nn.Module:
    """ResNet-8 without its shortcuts: the same convolutions, one after the other."""
    whole = resnet(channels, classes, depth=8, width=width)
    for block in whole.blocks:
        block.shortcut = Nothing()
    return whole


@figure(reads=("imp", "dense"), across_models=True)
def rewinding_by_network(tables):
    """Draw the package's figure of rewinding with a panel for each network that learns this data set."""
    return rewinding(tables)
