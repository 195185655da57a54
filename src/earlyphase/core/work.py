"""How much work each of this package's networks is, without building it: for time and memory to ask for.

A network of a user states it in its decorator instead, for one image:
`@network(work={"layers": 3, "multiply_adds": 1_000_000, "outputs": 50_000, "largest": 20_000})`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from earlyphase.errors import InvalidInput


class Layer(NamedTuple):
    """A convolution or a linear layer."""

    multiply_adds: int  # for one image
    outputs: int  # numbers that it puts out for one image
    parameters: int  # weights; biases are few


@dataclass(frozen=True)
class NetworkWork:
    """What the forward pass of one image takes."""

    layers: int
    multiply_adds: int
    outputs: int  # of all layers together
    largest: int  # of these, of one layer
    parameters: int = 0  # weights of all layers; what a user's network does not state counts as none

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "NetworkWork":
        """Add up layers."""
        multiply_adds, outputs, parameters = zip(*layers, strict=True)
        return cls(len(layers), sum(multiply_adds), sum(outputs), max(outputs), sum(parameters))


def layer(channels_in: int, channels_out: int, side: int = 1, kernel: int = 1) -> Layer:
    """A convolution that puts out `side` x `side` pixels; as it stands, a linear layer."""
    parameters = kernel**2 * channels_in * channels_out
    return Layer(parameters * side**2, channels_out * side**2, parameters)


def pair(channels_in: int, channels_out: int, side: int) -> list[Layer]:
    """Two 3x3 convolutions."""
    return [layer(channels, channels_out, side, 3) for channels in (channels_in, channels_out)]


def halved(side: int) -> int:
    """Pixels a side behind a stride or a pooling of 2."""
    return -(-side // 2)


def residual(channels_in: int, widths: Sequence[int], blocks: int, side: int) -> list[Layer]:
    """Stages of blocks of two convolutions, with a third, 1x1, where the shortcut cannot be the identity."""
    layers = []
    for stage, channels_out in enumerate(widths):
        side = halved(side) if stage else side
        for number in range(blocks):
            layers += pair(channels_in, channels_out, side)
            if channels_in != channels_out or (stage and number == 0):
                layers.append(layer(channels_in, channels_out, side))
            channels_in = channels_out
    return layers


def resnet(size: int, channels: int, *, depth: int, width: int = 16) -> list[Layer]:
    """The CIFAR residual network."""
    blocks = residual(width, [width, 2 * width, 4 * width], (depth - 2) // 6, size)
    return [layer(channels, width, size, 3), *blocks, layer(4 * width, 10)]


def resnet18(size: int, channels: int, *, width: int = 64, stem: str = "cifar") -> list[Layer]:
    """ResNet-18 with either stem."""
    large = stem == "imagenet"
    side = halved(size) if large else size
    widths = [width * 2**stage for stage in range(4)]
    blocks = residual(width, widths, 2, halved(side) if large else side)
    return [layer(channels, width, side, 7 if large else 3), *blocks, layer(8 * width, 10)]


def wide_resnet(size: int, channels: int, *, depth: int, widen: int = 1) -> list[Layer]:
    """A wide residual network."""
    widths = [16 * widen * 2**stage for stage in range(3)]
    blocks = residual(16, widths, (depth - 4) // 6, size)
    return [layer(channels, 16, size, 3), *blocks, layer(widths[-1], 10)]


# Convolutions of each stage.
VGG_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(size: int, channels: int, *, depth: int, width: int = 64) -> list[Layer]:
    """A VGG of five stages."""
    layers, channels_in = [], channels
    for stage, count in enumerate(VGG_STAGES[depth]):
        size = halved(size) if stage else size
        for _ in range(count):
            channels_out = width * min(2**stage, 8)
            layers.append(layer(channels_in, channels_out, size, 3))
            channels_in = channels_out
    return [*layers, layer(channels_in, 10)]


def lenet_300_100(size: int, channels: int) -> list[Layer]:
    """Two hidden layers of 300 and 100 units."""
    return [layer(channels * size**2, 300), layer(300, 100), layer(100, 10)]


def conv(size: int, channels: int, *, depth: int, width: int = 64) -> list[Layer]:
    """Conv-2, Conv-4 or Conv-6."""
    layers, channels_in = [], channels
    for number in range(depth // 2):
        layers += pair(channels_in, width * 2**number, size)
        channels_in, size = width * 2**number, halved(size)
    return [*layers, layer(channels_in * size**2, 256), layer(256, 256), layer(256, 10)]


LAYERS: dict[str, Callable[..., list[Layer]]] = {
    layers.__name__: layers for layers in (resnet, resnet18, wide_resnet, vgg, lenet_300_100, conv)
}


def work_of(entry: Mapping, size: int, channels: int, stated: Mapping | None = None) -> NetworkWork | None:
    """The work of a configured network, or None where nobody has stated it.

    Args:
        entry: the network's function and its arguments.
        size: height and width of an image, pixels.
        channels: of an image.
        stated: what the decorator of a user's network says.

    Raises:
        InvalidInput: that lacks a number, or has another.
    """
    if stated is not None:
        try:
            return NetworkWork(**stated)
        except TypeError:
            raise InvalidInput(
                f"network {entry['function']} states work={dict(stated)}; it must have the whole numbers "
                "layers, multiply_adds, outputs and largest"
            ) from None
    layers = LAYERS.get(entry["function"])
    arguments = {name: value for name, value in entry.items() if name not in ("function", "training", "size")}
    return NetworkWork.of(layers(size, channels, **arguments)) if layers else None
