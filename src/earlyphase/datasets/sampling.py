"""Drawing and splitting labelled images."""

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]  # mostly images uint8 (N, C, H, W) and labels int64 (N,)


def balanced_labels(count: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return int64 labels (count,) in random order, every class equally often to within one."""
    return rng.permutation(np.arange(count) % classes)


def stratified(labels: np.ndarray, test: int, rng: np.random.Generator) -> Arrays:
    """Split positions into (train, test), both sorted; `test` holds less than one off every class's share."""
    sizes = np.bincount(labels)
    taken, rest = np.divmod(test * sizes, len(labels))
    taken[np.argsort(-rest, kind="stable")[: test - taken.sum()]] += 1  # the largest remainders
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # classes together, each in random order
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = rank < np.repeat(taken, sizes)
    return np.sort(order[~chosen]), np.sort(order[chosen])


def laid_over(
    photos: np.ndarray, shapes: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> Arrays:
    """Lay random shapes over random cut-outs of their size, by absolute difference in each channel.

    Args:
        photos: uint8 (P, height, width, 3).
        shapes: uint8 (D, h, h).
        labels: int64 (D,), the classes of `shapes`.
        count: how many images to make.
        rng: the stream to draw from.

    Returns:
        Images uint8 (count, 3, h, h) and their labels, balanced to within one.
    """
    wanted = balanced_labels(count, labels.max() + 1, rng)
    sizes = np.bincount(labels)
    first = np.cumsum(sizes) - sizes  # where a class begins once shapes are in the order of their labels
    drawn = np.argsort(labels, kind="stable")[first[wanted] + rng.integers(sizes[wanted])]

    size = shapes.shape[1]
    photo = rng.integers(len(photos), size=(count, 1, 1))
    top = rng.integers(photos.shape[1] - size + 1, size=(count, 1, 1))
    left = rng.integers(photos.shape[2] - size + 1, size=(count, 1, 1))
    span = np.arange(size)
    cutouts = photos[photo, top + span[:, None], left + span]  # (count, h, h, 3)
    images = np.abs(cutouts - shapes[drawn].astype(np.int16)[..., None]).astype(np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), wanted
