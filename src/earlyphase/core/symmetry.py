"""The hidden channels of networks, which may be renamed without changing what a network computes."""

import re
from collections.abc import Mapping, Sequence

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
    orders = {
        group: generator(seed, "perturb", "channels", group).permutation(size)
        for group, size in sizes_of(tensors, channels).items()
    }
    return reordered(tensors, channels, orders)


def sizes_of(tensors: Mapping[str, np.ndarray], channels: Channels) -> dict[str, int]:
    """Name of channels that may be permuted -> how many they are."""
    layers = {channels[layer_of(name)][0]: len(tensor) for name, tensor in tensors.items() if tensor.ndim > 1}
    return {group: size for group, size in layers.items() if group is not None}


def reordered(
    tensors: Mapping[str, np.ndarray], channels: Channels, orders: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Put the channels of all tensors in other orders: channel i becomes what `orders[group][i]` was."""
    found = {}
    for name, tensor in tensors.items():
        for axis, group in enumerate(channels[layer_of(name)][: tensor.ndim]):
            if group is not None:
                pixels = tensor.shape[axis] // len(orders[group])  # that a linear layer reads of each
                places = orders[group][:, None] * pixels + np.arange(pixels)
                tensor = tensor.take(places.ravel(), axis)
        found[name] = tensor
    return found


def matching_orders(
    first: Weights, second: Weights, channels: Channels, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Find orders of the channels of `second` that bring its parameters near to those of `first`.

    One group of channels after the other is put in the order that is best while the others stay, which is an
    assignment problem, until no order changes. The inner product of the two grows with each step, so that the
    distance falls; it may end in a local optimum, as there is no fast way to the best one.

    Args:
        first: state of a network.
        second: another state of it.
        channels: of the network; no layer reads the channels that it writes.
        names: of the parameters that count, batch norm's scale and shift among them.

    Source: Ainsworth, Hayase & Srinivasa 2022, "Git Re-Basin", weight matching.
    """
    from scipy.optimize import linear_sum_assignment  # half a second, which only this needs

    sizes = sizes_of(second, channels)
    orders = {group: np.arange(size) for group, size in sizes.items()}
    improved = True
    while improved:
        improved = False
        for group, size in sizes.items():
            now = reordered({name: second[name] for name in names}, channels, orders)
            gain = np.zeros((size, size))
            for name in names:
                for axis, own in enumerate(channels[layer_of(name)][: now[name].ndim]):
                    if own == group:
                        one, other = (
                            np.moveaxis(state[name].astype(np.float64), axis, 0).reshape(size, -1)
                            for state in (first, now)
                        )
                        gain += one @ other.T
            best = linear_sum_assignment(gain, maximize=True)[1]
            if gain[np.arange(size), best].sum() > np.trace(gain) + 1e-9 * np.abs(gain).max():
                orders[group], improved = orders[group][best], True
    return orders


def layer_of(name: str) -> str:
    """The layer that a tensor of a state belongs to."""
    return name.rpartition(".")[0]
