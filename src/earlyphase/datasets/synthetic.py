"""A data set of random numbers, for quick tests."""

from typing import Annotated

import numpy as np

from earlyphase.core.streams import generator
from earlyphase.datasets.data_set import DataSet, assembled
from earlyphase.datasets.sampling import Arrays, balanced_labels
from earlyphase.registry import dataset


@dataset
def synthetic(
    *,
    train: Annotated[int, {"minimum": 2, "description": "not below classes"}] = 256,
    test: Annotated[int, {"minimum": 2, "description": "not below classes"}] = 128,
    classes: Annotated[int, {"minimum": 2}] = 4,
    size: Annotated[int, {"minimum": 1, "description": "height and width in pixels"}] = 8,
    channels: Annotated[int, {"minimum": 1}] = 3,
    seed: Annotated[int, {"minimum": 0}] = 0,
) -> DataSet:
    """Noise around one random pattern a class, which any network learns in a few steps; for quick tests.

    Args:
        train, test: numbers of images, each at least `classes`; labels are balanced.
        classes: number of classes, at least 2.
        size: height and width in pixels, at least 1.
        channels: number of channels, at least 1.
        seed: fixes the patterns, the training and the test images, each from its own stream.

    Raises:
        InvalidInput: there are fewer images than classes.
    """
    patterns = 128 + 48 * generator(seed, "synthetic", "patterns").standard_normal(
        (classes, channels, size, size)
    )

    def drawn(count: int, rng: np.random.Generator) -> Arrays:
        labels = balanced_labels(count, classes, rng)
        noise = 32 * rng.standard_normal((count, channels, size, size))
        return (patterns[labels] + noise).clip(0, 255).astype(np.uint8), labels

    return assembled(
        drawn(train, generator(seed, "synthetic", "train")),
        drawn(test, generator(seed, "synthetic", "test")),
        tuple(f"class{label}" for label in range(classes)),
        {"source": "random numbers", "licence": "none needed", "made": f"seed={seed}"},
    )
