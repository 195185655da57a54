from typing import Annotated

import numpy as np

from earlyphase import DataSet, dataset, generator


@dataset(channels=1)
def gratings(
    *,
    contrast: Annotated[float, {"exclusiveMinimum": 0}],
    orientations: Annotated[int, {"minimum": 2}] = 8,
    size: Annotated[int, {"minimum": 4}] = 8,
    train: Annotated[int, {"minimum": 100}] = 8192,
    test: Annotated[int, {"minimum": 100}] = 2000,
) -> DataSet:
    """Stripes in noise; which of several orientations have they? Phase and width of a stripe vary."""

    def drawn(count: int, split: str):
        stream = generator(0, "gratings", split)
        labels = np.arange(count) % orientations
        angles = np.pi * labels / orientations
        y, x = np.mgrid[:size, :size]
        across = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
        pixels, phases = stream.uniform([[3], [0]], [[6], [1]], (2, count))[..., None, None]
        stripes = np.sin(2 * np.pi * (across / pixels + phases))  # pixels: from one stripe to the next
        grey = 128 + 40 * (contrast * stripes + stream.standard_normal(stripes.shape))
        return grey.clip(0, 255).astype(np.uint8)[:, None], labels

    degrees = tuple(f"{180 * label / orientations:g} degrees" for label in range(orientations))
    moments = np.float32([128 / 255]), np.float32([40 / 255])
    provenance = {"source": "random numbers", "licence": "none needed", "made": f"contrast={contrast}"}
    return DataSet(*drawn(train, "train"), *drawn(test, "test"), degrees, *moments, provenance)
