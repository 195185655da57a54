"""The law that initial weights are drawn from."""

import math

import numpy as np

from earlyphase.core.streams import generator


def initial_std(shape: tuple[int, ...]) -> float:
    """Standard deviation of the initialisation law of a weight tensor: sqrt(2 / fan_in).

    Args:
        shape: (out, in) or (out, in, height, width).

    Source: He et al. 2015 (Kaiming normal, fan-in, gain sqrt(2)).
    """
    return math.sqrt(2 / math.prod(shape[1:]))


def draw_initial(name: str, shape: tuple[int, ...], seed: int, purpose: str = "initial") -> np.ndarray:
    """Draw one weight tensor from its initialisation law, float32; every tensor has its own stream."""
    normal = generator(seed, purpose, name).standard_normal(shape, np.float32)
    return normal * np.float32(initial_std(shape))
