"""The mini-batch of an iteration: which images, in which order, how augmented.

Everything here is a function of (seed, iteration), so a run that starts at iteration k sees what a
run from 0 saw there.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch

from earlyphase.core.streams import generator
from earlyphase.registry import augmentation

Batch = tuple[torch.Tensor, torch.Tensor]  # images (B, C, H, W) float32, labels (B,) int64
BatchAt = Callable[[int], Batch]
Augment = Callable[[torch.Tensor, int, int], torch.Tensor]  # (pixels, seed, iteration) -> pixels
Padding = Annotated[int, {"minimum": 0, "maximum": 64, "description": "pixels of black around an image"}]


def unaugmented(iteration: int) -> Augment:
    """Vary nothing, at any iteration."""
    return lambda pixels, seed, iteration: pixels


@dataclass(frozen=True)
class Images:
    """A labelled set of images in the memory of the device that trains on it."""

    pixels: torch.Tensor  # uint8 (N, H, W, C)
    labels: torch.Tensor  # int64 (N,)
    scale: torch.Tensor  # float32 (C,): pixel * scale + shift is the normalised input
    shift: torch.Tensor

    @classmethod
    def from_arrays(
        cls, images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray, device: torch.device
    ) -> "Images":
        """Move a set to `device`.

        Args:
            images: uint8 (N, C, H, W).
            labels: int64 (N,).
            mean: (C,), of the channels' values in [0, 1]; subtracted.
            std: (C,); divided by.
        """
        pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        return cls(
            torch.from_numpy(pixels).to(device),
            torch.from_numpy(labels).to(device),
            torch.from_numpy((1 / (255 * std)).astype(np.float32)).to(device),
            torch.from_numpy((-mean / std).astype(np.float32)).to(device),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, positions: np.ndarray) -> "Images":
        """The images at some positions of the set, int64 (n,), in that order."""
        index = torch.from_numpy(positions).to(self.labels.device)
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) -> float32 (B, C, H, W), stored channels-last, which convolutions prefer."""
        return torch.addcmul(self.shift, pixels.float(), self.scale).permute(0, 3, 1, 2)

    def in_batches(self, size: int) -> Iterator[Batch]:
        """Yield the whole set in its own order, unaugmented."""
        for start in range(0, len(self), size):
            yield self.normalise(self.pixels[start : start + size]), self.labels[start : start + size]


def iterations_per_epoch(examples: int, batch_size: int) -> int:
    """Iterations in which each example is seen once; the last, smaller batch is kept.

    A last batch of a single example is left out: batch norm cannot normalise one. Since every epoch has
    its own order, that is another example each time.
    """
    whole, left_over = divmod(examples, batch_size)
    return whole + (left_over > 1)


def epoch_order(epoch: int, seed: int, examples: int) -> np.ndarray:
    """Order in which one epoch visits the examples: a permutation, int64 (examples,)."""
    return generator(seed, "order", epoch).permutation(examples)


@augmentation
def crop_and_flip(
    pixels: torch.Tensor, seed: int, iteration: int, *, padding: Padding = 0, flip: bool = False
) -> torch.Tensor:
    """Crop each image at random out of itself with a margin of black, and mirror it with probability 1/2.

    Args:
        pixels: uint8 (B, H, W, C).
        seed: the replicate.
        iteration: of the mini-batch.
        padding: pixels of black on each side of an image before a crop of its own size is taken.
        flip: whether images are mirrored left to right.

    Returns:
        uint8 (B, H, W, C).
    """
    if not padding and not flip:
        return pixels
    drawn = drawn_crops(iteration, seed, len(pixels), padding, flip)
    row, column, mirrored = torch.from_numpy(drawn).to(pixels.device, non_blocking=True)
    every = torch.arange(len(pixels), device=pixels.device)
    pixels = crop_windows(pixels, padding)[every, row, column]
    return torch.where(mirrored.bool().view(-1, 1, 1, 1), pixels.flip(2), pixels) if flip else pixels


def drawn_crops(iteration: int, seed: int, batch: int, padding: int, flip: bool) -> np.ndarray:
    """Draw the crops of one mini-batch: int64 (3, batch).

    Returns:
        Row offset and column offset of each crop, in [0, 2 * padding], and 1 where it is mirrored.
    """
    stream = generator(seed, "augmentation", iteration)
    drawn = np.zeros((3, batch), np.int64)
    drawn[:2] = stream.integers(0, 2 * padding, (2, batch), endpoint=True)
    if flip:
        drawn[2] = stream.integers(0, 1, batch, endpoint=True)
    return drawn


def crop_windows(pixels: torch.Tensor, padding: int) -> torch.Tensor:
    """View every crop of every image at once.

    Args:
        pixels: uint8 (N, H, W, C).
        padding: pixels of black added on each side first.

    Returns:
        (N, 2 * padding + 1, 2 * padding + 1, H, W, C): image, row offset, column offset, then the
        crop. Crops overlap in memory: read only.
    """
    count, height, width, channels = pixels.shape
    padded = torch.nn.functional.pad(pixels, (0, 0, padding, padding, padding, padding))
    image, row, column, channel = padded.stride()
    offsets = 2 * padding + 1
    return padded.as_strided(
        (count, offsets, offsets, height, width, channels), (image, row, column, row, column, channel)
    )


def shuffled_batches(
    images: Images, seed: int, batch_size: int, augmentation_at: Callable[[int], Augment] = unaugmented
) -> BatchAt:
    """Return `batch_at`: iteration -> normalised, augmented mini-batch.

    The last mini-batch of an epoch may be smaller than `batch_size`.

    Args:
        seed: of the order of images and of their augmentation; another seed is another data order.
        augmentation_at: iteration -> how its mini-batch is augmented.
    """
    per_epoch = iterations_per_epoch(len(images), batch_size)
    device = images.pixels.device

    @lru_cache(maxsize=1)  # iterations come in order, so one epoch at a time is enough
    def order_of(epoch: int) -> torch.Tensor:
        return torch.from_numpy(epoch_order(epoch, seed, len(images))).to(device)

    def batch_at(iteration: int) -> Batch:
        epoch, step = divmod(iteration, per_epoch)
        chosen = order_of(epoch)[step * batch_size : (step + 1) * batch_size]
        pixels = augmentation_at(iteration)(images.pixels[chosen], seed, iteration)
        return images.normalise(pixels), images.labels[chosen]

    return batch_at


def in_turn(*parts: tuple[int, BatchAt]) -> BatchAt:
    """Follow one order of mini-batches after another: blurred until 80, clean from then on.

    At any iteration the mini-batch is bit for bit that of the part that is followed then.

    Args:
        parts: the first iteration of each, never falling, and its mini-batches. Where two begin at the same
            iteration, the later one counts.

    Raises:
        ValueError: there is no part, or they are not in order; and by `batch_at`, where an iteration comes
            before the first.
    """
    firsts = [first for first, _ in parts]
    if not parts or firsts != sorted(firsts):
        raise ValueError(f"parts must follow one another, got first iterations {firsts}")

    def batch_at(iteration: int) -> Batch:
        if iteration < firsts[0]:
            raise ValueError(f"iteration {iteration} comes before the first part, at {firsts[0]}")
        return parts[bisect_right(firsts, iteration) - 1][1](iteration)

    return batch_at
