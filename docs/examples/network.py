from typing import Annotated

import torch

from earlyphase import figure, network
from earlyphase.core.networks.resnet import resnet
from earlyphase.results.figures.rewinding import rewinding
from earlyphase.results.figures.style import (
    add_legend,
    add_note,
    curve_styles,
    house_style,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import DENSE, accuracy_by_density


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
    _, points = rewinding(tables)
    shown = points.assign(curve="k = " + points["k"].astype("string")).fillna({"curve": DENSE})
    curves = [curve for curve in shown["curve"].unique() if curve != DENSE]
    with house_style():
        picture, axes = new_axes(points["model"].nunique(), sharey=True)
        for ax, (model, mine) in zip(axes, shown.groupby("model"), strict=True):
            accuracy_by_density(ax, mine, curve_styles(curves))
            ax.set_title(model, loc="left")
        add_legend(picture, axes, "Rewound to iteration", "right")
        add_note(picture, seeds_note(points))
    return picture, points
