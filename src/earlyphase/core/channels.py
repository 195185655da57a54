"""Exact removal of channels that pruning has emptied: a narrower network with the same outputs.

A channel whose incoming weights are all pruned is the same number at every pixel of every image: batch norm
makes a constant of it. It is no plain bias of the next layer, whose padding adds zeros around it. So all
such channels of one place are merged in a single one that is 1 everywhere, which the next layer reads with
the sum of the weights that read each of them, times their constants. Where that sum is zero, not even this
channel is needed. A channel whose outgoing weights are all pruned is not needed either. Removing one may
empty another; so this is repeated until nothing is left to remove.
"""

import copy
from typing import NamedTuple, cast

import torch
from torch import nn

from earlyphase.core.networks.resnet import Block, ResNet

Writer = tuple[nn.Conv2d, nn.BatchNorm2d]


class Place(NamedTuple):
    """Where several layers write the same channels and others read them.

    Attributes:
        stages: in turn, writers whose sum, after the nonlinearity, the `readers` of the same position see.
            Those after the first add to what was there: they stand beside an identity shortcut.
        readers: for each of the stages, the layers that read there.
    """

    stages: list[list[Writer]]
    readers: list[list[nn.Conv2d | nn.Linear]]


@torch.no_grad()
def without_emptied_channels(model: ResNet) -> ResNet:
    """A copy in eval mode without the channels that are constant or that nothing reads.

    Its outputs are those of `model` in eval mode, but for rounding. A weight of zero counts as pruned. Each
    place keeps at least one channel.
    """
    narrow = copy.deepcopy(model).eval()
    width = None
    while width != (width := sum(layer.out_channels for layer in convolutions(narrow))):
        for place in places_of(narrow):
            narrow_place(place)
    return narrow


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """The convolutions of a network."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def places_of(model: ResNet) -> list[Place]:
    """The inside of each block, and the stream of each stage: from its first block to the next stage."""
    blocks = [cast("Block", block) for block in model.blocks]
    places = [Place([[(block.conv1, block.bn1)]], [[block.conv2]]) for block in blocks]  # between the two
    stream = Place([[(model.conv, model.bn)]], [])
    for block in blocks:
        second = (block.conv2, block.bn2)
        stream.readers.append(readers_of(block))
        shortcut = projection_of(block)
        if shortcut is None:
            stream.stages.append([second])
        else:
            places.append(stream)
            stream = Place([[second, shortcut]], [])
    stream.readers.append([model.fc])
    return [*places, stream]


def projection_of(block: Block) -> Writer | None:
    """Convolution and batch norm of the shortcut of a block; None where it is the identity."""
    if block.shortcut is None:
        return None
    convolution, norm = block.shortcut
    return cast("nn.Conv2d", convolution), cast("nn.BatchNorm2d", norm)


def readers_of(block: Block) -> list[nn.Conv2d | nn.Linear]:
    """Layers of a block that read what comes into it; an identity shortcut passes it on."""
    shortcut = projection_of(block)
    return [block.conv1] if shortcut is None else [block.conv1, shortcut[0]]


def narrow_place(place: Place) -> None:
    """Merge the constant channels of a place, and remove those that nothing reads, in place."""
    writers = [writer for stage in place.stages for writer in stage]
    readers = [reader for layers in place.readers for reader in layers]
    emptied = torch.stack([conv.weight.flatten(1).eq(0).all(1) for conv, _ in writers]).all(0)
    if emptied.any():
        merge(place, emptied.nonzero().flatten())
    read = [reader.weight.transpose(0, 1).flatten(1).ne(0).any(1) for reader in readers]
    needed = torch.stack(read).any(0)
    needed[0] |= not needed.any()
    for conv, norm in writers:
        keep_outputs(conv, norm, needed)
    for reader in readers:
        reader.weight = nn.Parameter(reader.weight[:, needed])
        name = "in_features" if isinstance(reader, nn.Linear) else "in_channels"
        setattr(reader, name, int(needed.sum()))


def merge(place: Place, emptied: torch.Tensor) -> None:
    """Make the first of the constant channels 1 everywhere, and have all readers read that one alone.

    Args:
        place: its weights and statistics are changed.
        emptied: numbers of the constant channels, (channels,).
    """
    first, values = emptied[0], torch.zeros(len(emptied), dtype=torch.float64)
    for number, (stage, layers) in enumerate(zip(place.stages, place.readers, strict=True)):
        values = torch.relu(values + sum(constants(norm)[emptied] for _, norm in stage))
        for reader in layers:
            merged = torch.tensordot(reader.weight[:, emptied].double(), values, dims=([1], [0]))
            reader.weight[:, emptied] = 0
            if isinstance(reader, nn.Linear):  # reads no padding: a constant is a bias
                reader.bias.add_(merged.to(reader.bias.dtype))
            else:
                reader.weight[:, first] = merged.to(reader.weight.dtype)
        for position, (_, norm) in enumerate(stage):
            statistics_of(norm)[0][first] = 0
            norm.bias[first] = float(number == 0 and position == 0)  # 1 from the first on, then 0 is added


def constants(norm: nn.BatchNorm2d) -> torch.Tensor:
    """What batch norm makes of channels that are zero, in eval mode: float64 (channels,)."""
    mean, variance = statistics_of(norm)
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    return norm.bias.double() - mean.double() * scale


def statistics_of(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Running mean and variance of the channels, not copied: (channels,) each."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # None where batch norm keeps none; `ResNet`'s does
    return mean, variance


def keep_outputs(conv: nn.Conv2d, norm: nn.BatchNorm2d, needed: torch.Tensor) -> None:
    """Keep some output channels of a convolution and of its batch norm."""
    conv.weight = nn.Parameter(conv.weight[needed])
    conv.out_channels = norm.num_features = int(needed.sum())
    norm.weight, norm.bias = nn.Parameter(norm.weight[needed]), nn.Parameter(norm.bias[needed])
    norm.running_mean, norm.running_var = (statistic[needed] for statistic in statistics_of(norm))
