"""Named data sets as arrays that training reads.

A new data set is one registered function from keyword arguments to a `DataSet`. A library is imported
by the function that needs it: a data set that does not use torchvision does not wait for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earlyphase.core.streams import generator
from earlyphase.datasets.downloads import read_cifar, read_fashion_mnist
from earlyphase.datasets.image_files import read_image_files
from earlyphase.datasets.sampling import Arrays, balanced_labels, laid_over, stratified
from earlyphase.errors import InvalidInput
from earlyphase.registry import dataset

DIGITS_CREDIT = (
    "Optical Recognition of Handwritten Digits (E. Alpaydin and C. Kaynak, 1998), UCI Machine Learning "
    "Repository, its test set as distributed by scikit-learn"
)
DIGITS_LICENCE = "digits: CC BY 4.0"
# scikit-learn's note on flower.jpg names danielbuechele too, but its links lead to vultilion.
PHOTOS_CREDIT = (
    "china.jpg by danielbuechele (https://www.flickr.com/photos/danielbuechele/6061409035/) and "
    "flower.jpg by vultilion (https://www.flickr.com/photos/vultilion/6056698931/), both CC BY 2.0 "
    "(https://creativecommons.org/licenses/by/2.0/), as distributed by scikit-learn"
)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images with labels, for training and for testing; checked when made.

    Args:
        train_images: uint8 (N, C, H, W) in C order, 0 to 255.
        train_labels: int64 (N,), each an index into `classes`.
        test_images: as `train_images`, with the same C, H and W.
        test_labels: as `train_labels`.
        classes: label -> name of the class; each has an image in both splits.
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
    """Return ImageNet's means and standard deviations, which the paper's authors use on CIFAR-10.

    Raises:
        InvalidInput: the images are not in three channels.
    """
    if images.shape[1] != 3:
        raise InvalidInput(f"normalisation 'imagenet' is for 3 channels, not {images.shape[1]}; use 'own'")
    return np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


NORMALISATIONS = {"own": own, "imagenet": imagenet}  # name -> function(training images) -> mean, std


@dataset
def photo_digits(*, train: int = 8192, test: int = 2000, seed: int = 0) -> DataSet:
    """Real handwritten digits over real photographs, (3, 16, 16), made from what scikit-learn embeds.

    Each 8x8 digit is enlarged to 12x12 (bilinear) and laid at a random place over a random 16x16
    cut-out of a photograph, by absolute difference in each channel. Train and test share neither a
    digit (1,437 and 360 of the 1,797, stratified) nor a half of a photograph (left and right). Who
    wrote a digit is not known, so a writer may be in both. Digits are drawn with replacement and
    labels are balanced to within one image.

    Args:
        train: number of training images, at least 10.
        test: number of test images, at least 10.
        seed: fixes the set. The split of the digits, the training and the test images each draw from
            their own stream of it, so neither count changes the rest.

    Raises:
        InvalidInput: an argument is out of range.

    Source: MNIST-M, Ganin & Lempitsky 2015.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    _check_least(10, train=train, test=test)
    _check_least(0, seed=seed)
    images, labels = _grey_digits()
    enlarged = [Image.fromarray(image).resize((12, 12), Image.Resampling.BILINEAR) for image in images]
    images = np.stack([np.asarray(image) for image in enlarged])
    photos = np.stack(load_sample_images().images)  # (2, 427, 640, 3)
    left, right = np.split(photos, 2, axis=2)
    for_train, for_test = stratified(labels, 360, generator(seed, "photo_digits", "digits"))
    return _assembled(
        laid_over(
            left, images[for_train], labels[for_train], train, generator(seed, "photo_digits", "train")
        ),
        laid_over(right, images[for_test], labels[for_test], test, generator(seed, "photo_digits", "test")),
        tuple("0123456789"),
        {
            "source": f"{DIGITS_CREDIT}; photographs: {PHOTOS_CREDIT}",
            "licence": f"{DIGITS_LICENCE}; photographs: CC BY 2.0",
            "made": "digits enlarged to 12x12 over 16x16 cut-outs of the photographs by absolute difference, "
            f"as MNIST-M (Ganin & Lempitsky 2015); train={train}, test={test}, seed={seed}",
        },
    )


@dataset
def digits(*, seed: int = 0, test: int = 360) -> DataSet:
    """scikit-learn's 1,797 handwritten digits as they are, (1, 8, 8), intensities 0..16 as 0..255.

    Args:
        seed: chooses the test digits, in proportion to each class.
        test: number of test digits, 10 to 1,787; the others are for training.

    Raises:
        InvalidInput: an argument is out of range.
    """
    _check_least(0, seed=seed)
    _check_least(10, test=test)
    images, labels = _grey_digits()
    if test > len(labels) - 10:
        raise InvalidInput(f"test is {test}, which leaves fewer than 10 of {len(labels)} digits for training")
    for_train, for_test = stratified(labels, test, generator(seed, "digits", "split"))
    images = images[:, None]
    return _assembled(
        (images[for_train], labels[for_train]),
        (images[for_test], labels[for_test]),
        tuple("0123456789"),
        {"source": DIGITS_CREDIT, "licence": DIGITS_LICENCE, "made": f"test={test}, seed={seed}"},
    )


def _grey_digits() -> Arrays:
    """Return scikit-learn's digits as uint8 (1797, 8, 8), 0 to 255, and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


@dataset
def synthetic(
    *, train: int = 256, test: int = 128, classes: int = 4, size: int = 8, channels: int = 3, seed: int = 0
) -> DataSet:
    """Noise around one random pattern a class, which any network learns in a few steps; for quick tests.

    Args:
        train: number of training images; like `test` at least `classes`; labels are balanced.
        test: number of test images.
        classes: number of classes, at least 2.
        size: height and width in pixels, at least 1.
        channels: number of channels, at least 1.
        seed: fixes the patterns, the training and the test images, each from its own stream.

    Raises:
        InvalidInput: an argument is out of range.
    """
    _check_least(2, classes=classes)
    _check_least(classes, train=train, test=test)
    _check_least(1, size=size, channels=channels)
    _check_least(0, seed=seed)
    patterns = 128 + 48 * generator(seed, "synthetic", "patterns").standard_normal(
        (classes, channels, size, size)
    )

    def drawn(count: int, rng: np.random.Generator) -> Arrays:
        labels = balanced_labels(count, classes, rng)
        noise = 32 * rng.standard_normal((count, channels, size, size))
        return (patterns[labels] + noise).clip(0, 255).astype(np.uint8), labels

    return _assembled(
        drawn(train, generator(seed, "synthetic", "train")),
        drawn(test, generator(seed, "synthetic", "test")),
        tuple(f"class{label}" for label in range(classes)),
        {"source": "random numbers", "licence": "none needed", "made": f"seed={seed}"},
    )


@dataset
def cifar10(
    *, directory: str = "downloads", download: bool = True, normalisation: str = "imagenet"
) -> DataSet:
    """CIFAR-10: 50,000 + 10,000 photographs in 10 classes, (3, 32, 32).

    Args:
        directory: folder with cifar-10-python.tar.gz or, unpacked from it, cifar-10-batches-py.
        download: fetch the archive into `directory` where neither is there.
        normalisation: "imagenet", as the paper's authors, or "own".

    Raises:
        InvalidInput: the data cannot be had or a file's MD5 is not the published one.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return _cifar("CIFAR10", directory, download, normalisation)


@dataset
def cifar100(
    *, directory: str = "downloads", download: bool = True, normalisation: str = "imagenet"
) -> DataSet:
    """CIFAR-100: 50,000 + 10,000 photographs in 100 classes, (3, 32, 32); as `cifar10`."""
    return _cifar("CIFAR100", directory, download, normalisation)


def _cifar(name: str, directory: str, download: bool, normalisation: str) -> DataSet:
    moments = _moments_function(normalisation)
    train, test, classes = read_cifar(name, directory, download)
    provenance = {
        "source": f"{name}, Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        "licence": "none stated",
        "made": "as distributed",
    }
    return _assembled(train, test, classes, provenance, moments)


@dataset
def fashion_mnist(
    *, directory: str = "downloads", download: bool = True, normalisation: str = "own"
) -> DataSet:
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing in 10 classes, (1, 28, 28).

    Args:
        directory: folder with the four files, as published or unpacked, in itself or in
            FashionMNIST/raw, where torchvision keeps them. Debian's package dataset-fashion-mnist
            puts them in /usr/share/datasets/fashion-mnist.
        download: fetch into FashionMNIST/raw the files that are in neither.
        normalisation: "own"; ImageNet's has other channels.

    Raises:
        InvalidInput: the data cannot be had or a file's MD5 is not the published one.

    Source: Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist
    """
    moments = _moments_function(normalisation)
    train, test, classes = read_fashion_mnist(directory, download)
    provenance = {
        "source": "Fashion-MNIST, Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT, Copyright 2017 Zalando SE",
        "made": "as distributed",
    }
    return _assembled(train, test, classes, provenance, moments)


@dataset
def imagefolder(*, path: str, size: int, normalisation: str = "own") -> DataSet:
    """Images in a folder or .zip as `train/<class>/...` and `test/<class>/...`, (3, size, size).

    The two folders may also be inside a single one. A zip is read without unpacking. Classes and files
    are taken in sorted order; hidden files, `__MACOSX` and what is in no class's folder are passed over.
    Images become RGB and, where they have another size, are stretched to size x size (bilinear).

    Args:
        path: the folder or zip.
        size: height and width in pixels, at least 1.
        normalisation: "own" or "imagenet".

    Raises:
        InvalidInput: there is no such folder or zip, it is not laid out as above, a class is missing or
            empty, or a file in a class's folder is not an image of 8 bits a channel.
    """
    _check_least(1, size=size)
    moments = _moments_function(normalisation)
    place = Path(path).expanduser()
    train, test, classes, sha256 = read_image_files(place, size)
    provenance = {
        "source": f"{place.resolve().name}, SHA-256 {sha256}",
        "licence": "as its source states",
        "made": f"RGB, {size}x{size}, in the order of sorted paths",
    }
    return _assembled(train, test, classes, provenance, moments)


def _assembled(
    train: Arrays,
    test: Arrays,
    classes: tuple[str, ...],
    provenance: dict[str, str],
    moments: Callable[[np.ndarray], Arrays] = own,
) -> DataSet:
    """Make a `DataSet` of (images, labels) for each split."""
    return DataSet(*train, *test, classes, *moments(train[0]), provenance)


def _moments_function(normalisation: str) -> Callable[[np.ndarray], Arrays]:
    """Return the function called `normalisation`; asked first, so that a typo costs no download."""
    if normalisation not in NORMALISATIONS:
        raise InvalidInput(f"normalisation is {normalisation!r}, known are {', '.join(NORMALISATIONS)}")
    return NORMALISATIONS[normalisation]


def _check_least(least: int, **arguments: int) -> None:
    """Raise `InvalidInput` unless every argument is an integer of at least `least`."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidInput(f"{name} is {value!r}, but must be an integer of at least {least}")
