"""The hidden channels of networks, which may be renamed without changing what a network computes."""

import re
from collections.abc import Mapping

import numpy as np

from earlyphase.core.masks import Weights
from earlyphase.core.streams import generator
from earlyphase.errors import InvalidInput

Channels = dict[str, tuple[str | None, str | None]]  # layer -> those that it writes, those that it reads


def channels_of(state: Weights) -> Channels:
    """Name the channels that each layer of a network writes and reads: layer -> (out, in).

    Layers that name the same channels must be permuted alike; None cannot be (images and classes).

    Raises:
        InvalidInput: it is neither the residual network of this package nor a plain stack of layers.
    """
    residual = "blocks.0.conv1.weight" in state
    channels = of_residual_network(state) if residual else of_stack(state)
    sizes: dict[str, int] = {}
    for name, tensor in state.items():
        if layer_of(name) not in channels:
            raise InvalidInput(f"permute_channels does not know the channels of {name!r}")
        out, read = channels[layer_of(name)]
        if out is not None and tensor.ndim and sizes.setdefault(out, len(tensor)) != len(tensor):
            raise InvalidInput(
                f"permute_channels knows no network in which {name!r} of shape {tensor.shape} stands beside "
                f"{sizes[out]} channels"
            )
    for name, tensor in state.items():
        read = channels[layer_of(name)][1]
        if read is not None and tensor.ndim > 1 and tensor.shape[1] % sizes[read]:
            raise InvalidInput(
                f"permute_channels knows no network in which {name!r} of shape {tensor.shape} reads "
                f"{sizes[read]} channels"
            )
    return channels


def of_residual_network(state: Weights) -> Channels:
    """The channels of the package's residual network.

    A block without a projection adds to the stream that it reads, so a stage has one stream, named
    after the layer that starts it; what `conv1` of a block writes is seen in that block alone.
    """
    stream, block = "conv", 0
    channels: Channels = {"conv": (stream, None), "bn": (stream, None)}
    while f"blocks.{block}.conv1.weight" in state:
        prefix, read, hidden = f"blocks.{block}", stream, f"blocks.{block}.conv1"
        if f"{prefix}.shortcut.0.weight" in state:
            stream = f"{prefix}.conv2"
        channels |= {
            f"{prefix}.conv1": (hidden, read),
            f"{prefix}.bn1": (hidden, None),
            f"{prefix}.conv2": (stream, hidden),
            f"{prefix}.bn2": (stream, None),
            f"{prefix}.shortcut.0": (stream, read),
            f"{prefix}.shortcut.1": (stream, None),
        }
        block += 1
    return channels | {"fc": (None, stream)}


def of_stack(state: Weights) -> Channels:
    """The channels of layers that follow one another, numbered in their order, the last of them perhaps `fc`.

    What has weights of two or more dimensions reads what the one before it wrote; batch norm belongs to the
    one before it. A linear layer after convolutions reads each channel at every pixel.
    """
    layers = sorted(dict.fromkeys(map(layer_of, state)), key=place_of)
    weights = [layer for layer in layers if state[f"{layer}.weight"].ndim > 1]
    channels: Channels = {}
    read = written = None
    for layer in layers:
        if layer in weights:
            read, written = written, layer if layer != weights[-1] else None
            channels[layer] = (written, read)
        else:
            channels[layer] = (written, None)
    return channels


def place_of(layer: str) -> tuple[bool, list[int]]:
    """Where a layer stands in a stack, to sort by: `fc` comes last, numbers count as numbers."""
    return layer == "fc", [int(number) for number in re.findall(r"\d+", layer)]


def renamed(tensors: Mapping[str, np.ndarray], channels: Channels, seed: int) -> dict[str, np.ndarray]:
    """Rename channels in all tensors of a state, or of a mask, by permutations drawn from the seed."""
    sizes = {channels[layer_of(name)][0]: len(tensor) for name, tensor in tensors.items() if tensor.ndim > 1}
    orders = {
        group: generator(seed, "perturb", "channels", group).permutation(size)
        for group, size in sizes.items()
        if group is not None
    }
    found = {}
    for name, tensor in tensors.items():
        for axis, group in enumerate(channels[layer_of(name)][: tensor.ndim]):
            if group is not None:
                pixels = tensor.shape[axis] // len(orders[group])  # that a linear layer reads of each
                places = orders[group][:, None] * pixels + np.arange(pixels)
                tensor = tensor.take(places.ravel(), axis)
        found[name] = tensor
    return found


def layer_of(name: str) -> str:
    """The layer that a tensor of a state belongs to."""
    return name.rpartition(".")[0]
