"""What a data set is: images with labels and what normalises them, checked when made."""

from dataclasses import dataclass

import numpy as np

from earlyphase.datasets.sampling import Arrays
from earlyphase.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images with labels, for training and for testing; checked when made.

    Args:
        train_images: uint8 (N, C, H, W) in C order, 0 to 255; at least two.
        train_labels: int64 (N,), each an index into `classes`.
        test_images: as `train_images`, with the same C, H and W.
        test_labels: as `train_labels`.
        classes: label -> name of the class; at least two, each with an image in both splits.
        mean: float32 (C,), what normalisation subtracts from pixels scaled to [0, 1].
        std: float32 (C,), what it then divides by; above 0.
        provenance: where the data came from, their licence and how they were made, for people.

    Raises:
        InvalidInput: any of the above does not hold.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    provenance: dict[str, str]

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            names = ", ".join(map(repr, self.classes)) or "none"
            raise InvalidInput(f"the data set's classes are: {names}; a classifier needs two classes")
        _check_split("train", self.train_images, self.train_labels, self.classes)
        _check_split("test", self.test_images, self.test_labels, self.classes)
        shape = self.train_images.shape[1:]
        if self.test_images.shape[1:] != shape:
            raise InvalidInput(
                f"test images are {self.test_images.shape[1:]} but train images {shape}: channels, height "
                "and width must be the same"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.dtype != np.float32 or values.shape != shape[:1] or not np.isfinite(values).all():
                raise InvalidInput(f"{name} must be {shape[0]} finite float32, one a channel, got {values!r}")
        if not (self.std > 0).all():
            channel = int(np.argmin(self.std))
            raise InvalidInput(
                f"std of channel {channel} is {self.std[channel]}, so its pixels cannot be normalised: "
                "if they are all equal, leave the channel out or choose another normalisation"
            )


def _check_split(split: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    """Raise `InvalidInput` unless `images` and `labels` are what `DataSet` asks for."""
    if images.dtype != np.uint8 or images.ndim != 4 or not images.flags.c_contiguous:
        raise InvalidInput(
            f"{split} images must be uint8 (N, C, H, W) in C order, got {images.dtype} {images.shape} "
            f"with strides {images.strides}"
        )
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise InvalidInput(f"{split} labels must be int64 (N,), got {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise InvalidInput(f"{split} has {len(images)} images but {len(labels)} labels")
    if not images.size:
        raise InvalidInput(f"{split} is empty: its images are {images.shape}")
    if split == "train" and len(images) < 2:
        raise InvalidInput("train has one image, but training needs at least 2")
    if labels.min() < 0 or labels.max() >= len(classes):
        first = int(np.flatnonzero((labels < 0) | (labels >= len(classes)))[0])
        raise InvalidInput(
            f"{split} image {first} has label {labels[first]}, but {len(classes)} classes allow 0 to "
            f"{len(classes) - 1}"
        )
    missing = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if len(missing):
        raise InvalidInput(
            f"{split} has no image of class {classes[missing[0]]!r}: train and test need one of each class"
        )


def own(images: np.ndarray) -> Arrays:
    """Return each channel's mean and standard deviation over all pixels of `images`, in [0, 1]."""
    parts = np.array_split(images, len(images) // 4096 + 1)  # bincount makes 8 bytes of every pixel
    counts = [
        sum(np.bincount(part[:, channel].ravel(), minlength=256) for part in parts)
        for channel in range(images.shape[1])
    ]
    share = np.stack(counts) / np.sum(counts, axis=1, keepdims=True)  # (C, 256), rows sum to 1
    levels = np.arange(256) / 255
    mean = share @ levels
    variance = (share * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)


def imagenet(images: np.ndarray) -> Arrays:
    """Return the means and standard deviations of ImageNet, which the paper's authors use on CIFAR-10."""
    return np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


NORMALISATIONS = {"own": own, "imagenet": imagenet}  # name -> function(training images) -> mean, std


def assembled(
    train: Arrays,
    test: Arrays,
    classes: tuple[str, ...],
    provenance: dict[str, str],
    normalisation: str = "own",
) -> DataSet:
    """Make a `DataSet` of (images, labels) for each split; `normalisation` is a key of `NORMALISATIONS`."""
    return DataSet(*train, *test, classes, *NORMALISATIONS[normalisation](train[0]), provenance)
