"""The first networks of lottery tickets, without batch norm: LeNet-300-100, and Conv-2, -4 and -6."""

from typing import Annotated, Literal

from torch import nn

from earlyphase.registry import network

Size = Annotated[int, {"minimum": 2, "description": "height and width of an image, pixels"}]
Positive = Annotated[int, {"minimum": 1}]


@network(lacks=("batch norm", "convolutions"), fits="size")
def lenet_300_100(channels: int, classes: int, *, size: Size = 28) -> nn.Module:
    """Two hidden layers of 300 and 100 units; no convolution, no batch norm.

    For MNIST's images it has 266,610 parameters, 266,200 of them prunable.

    Source: Frankle & Carbin 2019, Figure 2, after LeCun et al. 1998.
    """
    hidden = [nn.Linear(channels * size**2, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, classes))


@network(lacks=("batch norm",), fits="size")
def conv(
    channels: int, classes: int, *, depth: Literal[2, 4, 6], width: Positive = 64, size: Size = 32
) -> nn.Module:
    """Conv-2, Conv-4 or Conv-6: pairs of 3x3 convolutions with max pooling, then three linear layers.

    The pairs are `width`, 2 and 4 times `width` wide, the hidden linear layers 256; no batch norm. For
    CIFAR-10 and a width of 64, 4,300,992 weights are prunable in Conv-2, 2,425,024 in Conv-4 and 2,261,184 in
    Conv-6. Of the last the source says 1.7 million (recollected), which these layers do not give.

    Source: Frankle & Carbin 2019, Figure 2: scaled-down VGG.
    """
    layers, channels_in = [], channels
    for pair in range(depth // 2):
        channels_out = width * 2**pair
        for start in (channels_in, channels_out):
            layers += [nn.Conv2d(start, channels_out, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        channels_in = channels_out
        size = -(-size // 2)
    hidden = [nn.Linear(channels_in * size**2, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *hidden, nn.Linear(256, classes))
