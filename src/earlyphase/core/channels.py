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


class Step(NamedTuple):
    """Layers that write the same channels, and those that read them next.

    Attributes:
        writers: convolutions, each with its batch norm, whose sum passes the nonlinearity.
        readers: layers that read what comes out.
    """

    writers: list[tuple[nn.Conv2d, nn.BatchNorm2d]]
    readers: list[nn.Conv2d | nn.Linear]


Place = list[Step]  # in turn, on the same channels: each step after the first adds to what the last left


@torch.no_grad()
def without_emptied_channels(model: ResNet) -> ResNet:
    """A copy in eval mode without the channels that are constant or that nothing reads.

    Its outputs are those of `model` in eval mode, but for rounding. A weight of zero counts as pruned. Each
    place keeps at least one channel.
    """
    narrow = copy.deepcopy(model).eval()
    size = None
    while size != (size := sum(parameter.numel() for parameter in narrow.parameters())):
        for place in places_of(narrow):
            narrow_place(place)
    return narrow


def places_of(model: ResNet) -> list[Place]:
    """The inside of each block, and the stream of each stage: from its first block to the next stage."""
    blocks = [cast("Block", block) for block in model.blocks]
    places = [[Step([(block.conv1, block.bn1)], [block.conv2])] for block in blocks]
    stream = [Step([(model.conv, model.bn)], [])]
    for block in blocks:
        stream[-1].readers.append(block.conv1)
        writers = [(block.conv2, block.bn2)]
        if block.shortcut is not None:  # no identity: the channels before and behind it are not the same
            projection, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(block.shortcut))
            stream[-1].readers.append(projection)
            places.append(stream)
            stream, writers = [], [*writers, (projection, norm)]
        stream.append(Step(writers, []))
    stream[-1].readers.append(model.fc)
    return [*places, stream]


def narrow_place(place: Place) -> None:
    """Merge the constant channels of a place, and remove those that nothing reads, in place."""
    writers = [writer for step in place for writer in step.writers]
    readers = [reader for step in place for reader in step.readers]
    emptied = torch.stack([conv.weight.flatten(1).eq(0).all(1) for conv, _ in writers]).all(0)
    if emptied.any():
        merge(place, emptied.nonzero().flatten())
    needed = torch.stack([reader.weight.transpose(0, 1).flatten(1).ne(0).any(1) for reader in readers]).any(0)
    needed[0] |= not needed.any()
    width = int(needed.sum())
    for conv, norm in writers:
        conv.weight, conv.out_channels = nn.Parameter(conv.weight[needed]), width
        norm.weight, norm.bias = nn.Parameter(norm.weight[needed]), nn.Parameter(norm.bias[needed])
        norm.running_mean, norm.running_var = (statistic[needed] for statistic in statistics_of(norm))
        norm.num_features = width
    for reader in readers:
        reader.weight = nn.Parameter(reader.weight[:, needed])
        setattr(reader, "in_features" if isinstance(reader, nn.Linear) else "in_channels", width)


def merge(place: Place, emptied: torch.Tensor) -> None:
    """Make the first of the constant channels 1 everywhere, and have all readers read that one alone.

    Args:
        place: its weights and statistics are changed.
        emptied: numbers of the constant channels, (channels,).
    """
    first, values = emptied[0], torch.zeros(len(emptied), dtype=torch.float64)
    for step in place:
        values = torch.relu(values + sum(constants(norm)[emptied] for _, norm in step.writers))
        for reader in step.readers:
            merged = torch.tensordot(reader.weight[:, emptied].double(), values, dims=([1], [0]))
            reader.weight[:, emptied] = 0
            if isinstance(reader, nn.Linear):  # reads no padding: a constant is a bias
                reader.bias.add_(merged.to(reader.bias.dtype))
            else:
                reader.weight[:, first] = merged.to(reader.weight.dtype)
        for _, norm in step.writers:
            statistics_of(norm)[0][first] = norm.bias[first] = 0  # it adds nothing from here on, ...
    place[0].writers[0][1].bias[first] = 1  # ... but for the 1 that is there from the start


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
