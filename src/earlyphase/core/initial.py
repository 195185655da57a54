"""The laws that initial weights are drawn from."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from earlyphase.core.streams import generator
from earlyphase.registry import initialisation

Shape = tuple[int, ...]  # (out, in) or (out, in, height, width)
USUAL = {"function": "kaiming_normal"}


class Law(NamedTuple):
    """The law of the initial weights of one tensor.

    Attributes:
        std: standard deviation of a weight.
        draw: (stream, shape) -> weights of standard deviation 1, float32.
    """

    std: float
    draw: Callable[[np.random.Generator, Shape], np.ndarray]


def normal(stream: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from the standard normal law."""
    return stream.standard_normal(shape, np.float32)


def uniform(stream: np.random.Generator, shape: Shape) -> np.ndarray:
    """Draw from the uniform law of mean 0 and standard deviation 1."""
    return (2 * stream.random(shape, np.float32) - 1) * np.float32(math.sqrt(3))


@initialisation
def kaiming_normal(shape: Shape) -> Law:
    """Draw from a normal law of standard deviation sqrt(2 / fan-in).

    Source: He et al. 2015; OpenLTH.
    """
    return Law(math.sqrt(2 / math.prod(shape[1:])), normal)


@initialisation
def kaiming_uniform(shape: Shape) -> Law:
    """Draw from a uniform law of standard deviation sqrt(2 / fan-in).

    Source: He et al. 2015.
    """
    return Law(math.sqrt(2 / math.prod(shape[1:])), uniform)


@initialisation
def glorot_normal(shape: Shape) -> Law:
    """Draw from a normal law of standard deviation sqrt(2 / (fan-in + fan-out)).

    Source: Glorot & Bengio 2010; Frankle & Carbin 2019 for LeNet-300-100 and Conv-2, -4 and -6.
    """
    positions = math.prod(shape[2:])  # of a kernel; 1 in a linear layer
    return Law(math.sqrt(2 / (positions * (shape[0] + shape[1]))), normal)


def initial_std(shape: Shape, entry: Mapping[str, Any] = USUAL) -> float:
    """Standard deviation of the initial law of a weight tensor."""
    return initialisation.bound(entry)(shape).std


def draw_initial(
    name: str, shape: Shape, seed: int, purpose: str = "initial", entry: Mapping[str, Any] = USUAL
) -> np.ndarray:
    """Draw one weight tensor from its initial law, float32; every tensor has its own stream.

    Args:
        entry: the law, a registered function and its arguments.
    """
    law = initialisation.bound(entry)(shape)
    return law.draw(generator(seed, purpose, name), shape) * np.float32(law.std)
