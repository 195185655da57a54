"""Named data sets as arrays that training reads.

A new data set is one registered function from keyword arguments to a `DataSet`. A library is imported
by the function that needs it: a data set that does not use torchvision does not wait for it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earlyphase.errors import InvalidInput
from earlyphase.registry import Registry
from earlyphase.streams import generator

Arrays = tuple[np.ndarray, np.ndarray]

DATASETS = Registry("data set")  # name -> function(**arguments) -> DataSet

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
# MD5 of the unpacked files. torchvision knows those of the originals' .gz only, but the same content
# is also packed differently (Debian's dataset-fashion-mnist) or not at all (torchvision's own folder).
FASHION_MNIST_CONTENT = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


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
            raise InvalidInput(f"test images are {self.test_images.shape[1:]}, train images {shape}")
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


@DATASETS.register
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
            their own stream of it ("digits", "train", "test"), so neither count changes the rest.

    Raises:
        InvalidInput: an argument is out of range.

    Source: MNIST-M, Ganin & Lempitsky 2015.
    """
    from PIL import Image
    from sklearn.datasets import load_digits, load_sample_images

    _check_least(10, train=train, test=test)
    _check_least(0, seed=seed)
    images, labels = _grey_digits(load_digits())
    enlarged = [Image.fromarray(image).resize((12, 12), Image.Resampling.BILINEAR) for image in images]
    images = np.stack([np.asarray(image) for image in enlarged])
    photos = np.stack(load_sample_images().images)  # (2, 427, 640, 3)
    left, right = np.split(photos, 2, axis=2)
    for_train, for_test = _stratified(labels, 360, generator(seed, "digits"))
    return _assembled(
        _laid_over(left, images[for_train], labels[for_train], train, generator(seed, "train")),
        _laid_over(right, images[for_test], labels[for_test], test, generator(seed, "test")),
        tuple("0123456789"),
        {
            "source": f"{DIGITS_CREDIT}; photographs: {PHOTOS_CREDIT}",
            "licence": f"{DIGITS_LICENCE}; photographs: CC BY 2.0",
            "made": "digits enlarged to 12x12 over 16x16 cut-outs of the photographs by absolute difference, "
            f"as MNIST-M (Ganin & Lempitsky 2015); train={train}, test={test}, seed={seed}",
        },
    )


def _laid_over(
    photos: np.ndarray, shapes: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> Arrays:
    """Draw `count` of `shapes` (D, 12, 12) over cut-outs of `photos` (P, H, W, 3): images and labels."""
    wanted = _balanced(count, 10, rng)
    sizes = np.bincount(labels)
    first = np.cumsum(sizes) - sizes  # where a class begins once digits are in the order of their labels
    drawn = np.argsort(labels, kind="stable")[first[wanted] + rng.integers(sizes[wanted])]

    photo = rng.integers(len(photos), size=(count, 1, 1))
    top = rng.integers(photos.shape[1] - 16 + 1, size=(count, 1, 1))
    left = rng.integers(photos.shape[2] - 16 + 1, size=(count, 1, 1))
    span = np.arange(16)
    cutouts = photos[photo, top + span[:, None], left + span]  # (count, 16, 16, 3)

    down, across = rng.integers(16 - 12 + 1, size=(2, count, 1, 1))
    span = np.arange(12)
    canvas = np.zeros((count, 16, 16), np.int16)
    canvas[np.arange(count)[:, None, None], down + span[:, None], across + span] = shapes[drawn]

    images = np.abs(cutouts - canvas[..., None]).astype(np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), wanted


@DATASETS.register
def digits(*, seed: int = 0, test: int = 360) -> DataSet:
    """scikit-learn's 1,797 handwritten digits as they are, (1, 8, 8), intensities 0..16 as 0..255.

    Args:
        seed: its stream "digits" chooses the test digits, in proportion to each class.
        test: number of test digits, 10 to 1,787; the others are for training.

    Raises:
        InvalidInput: an argument is out of range.
    """
    from sklearn.datasets import load_digits

    _check_least(0, seed=seed)
    _check_least(10, test=test)
    images, labels = _grey_digits(load_digits())
    if test > len(labels) - 10:
        raise InvalidInput(f"test is {test}, which leaves fewer than 10 of {len(labels)} digits for training")
    for_train, for_test = _stratified(labels, test, generator(seed, "digits"))
    images = images[:, None]
    return _assembled(
        (images[for_train], labels[for_train]),
        (images[for_test], labels[for_test]),
        tuple("0123456789"),
        {"source": DIGITS_CREDIT, "licence": DIGITS_LICENCE, "made": f"test={test}, seed={seed}"},
    )


def _grey_digits(bunch) -> Arrays:
    """Return scikit-learn's digits as uint8 (N, 8, 8), 0 to 255, and their labels."""
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


def _stratified(labels: np.ndarray, test: int, rng: np.random.Generator) -> Arrays:
    """Split positions into (train, test), both sorted; every class gives `test` its share, to within one."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # classes together, each in random order
    sizes = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    depth = (rank + 0.5) / np.repeat(sizes, sizes)  # share of its class that comes before a digit
    by_depth = order[np.argsort(depth, kind="stable")]
    return np.sort(by_depth[test:]), np.sort(by_depth[:test])


@DATASETS.register
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
        seed: its streams "patterns", "train" and "test" draw these.

    Raises:
        InvalidInput: an argument is out of range.
    """
    _check_least(2, classes=classes)
    _check_least(classes, train=train, test=test)
    _check_least(1, size=size, channels=channels)
    _check_least(0, seed=seed)
    patterns = 128 + 48 * generator(seed, "patterns").standard_normal((classes, channels, size, size))

    def drawn(count: int, rng: np.random.Generator) -> Arrays:
        labels = _balanced(count, classes, rng)
        noise = 32 * rng.standard_normal((count, channels, size, size))
        return (patterns[labels] + noise).clip(0, 255).astype(np.uint8), labels

    return _assembled(
        drawn(train, generator(seed, "train")),
        drawn(test, generator(seed, "test")),
        tuple(f"class{label}" for label in range(classes)),
        {"source": "random numbers", "licence": "none needed", "made": f"seed={seed}"},
    )


@DATASETS.register
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
    from torchvision.datasets import CIFAR10

    return _cifar(CIFAR10, directory, download, normalisation)


@DATASETS.register
def cifar100(
    *, directory: str = "downloads", download: bool = True, normalisation: str = "imagenet"
) -> DataSet:
    """CIFAR-100: 50,000 + 10,000 photographs in 100 classes, (3, 32, 32); as `cifar10`."""
    from torchvision.datasets import CIFAR100

    return _cifar(CIFAR100, directory, download, normalisation)


def _cifar(source: type, directory: str, download: bool, normalisation: str) -> DataSet:
    """Read CIFAR with torchvision's class `source`.

    The files are pickles. torchvision compares the MD5 of every one with its own list before it opens
    any, and the archive's is compared before it is unpacked.
    """
    import tarfile
    from tempfile import TemporaryDirectory

    moments = _moments_function(normalisation)
    root = Path(directory).expanduser()
    with TemporaryDirectory() as unpacked:
        if not (root / source.base_folder).is_dir():
            archive = _fetched(root / source.filename, source.url, source.tgz_md5, download)
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
            root = Path(unpacked)
        try:
            train, test = source(root, train=True), source(root, train=False)
        except RuntimeError:
            raise InvalidInput(
                f"{root / source.base_folder}: a file is missing or its MD5 is not the published one; "
                "remove the folder, then run again"
            ) from None
    splits = [
        (np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)), np.array(part.targets, np.int64))
        for part in (train, test)
    ]
    provenance = {
        "source": f"Krizhevsky 2009, {source.url} (MD5 {source.tgz_md5})",
        "licence": "none stated",
        "made": "as distributed",
    }
    return _assembled(*splits, tuple(train.classes), provenance, moments)


@DATASETS.register
def fashion_mnist(
    *, directory: str = "downloads", download: bool = True, normalisation: str = "own"
) -> DataSet:
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing in 10 classes, (1, 28, 28).

    Args:
        directory: folder with the four files, as published or unpacked, in itself or in
            FashionMNIST/raw, where torchvision keeps them. Debian's package dataset-fashion-mnist
            puts them in /usr/share/datasets/fashion-mnist.
        download: fetch into FashionMNIST/raw the files that are in neither.
        normalisation: "own".

    Raises:
        InvalidInput: the data cannot be had or a file's MD5 is not the published one.

    Source: Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist
    """
    from torchvision.datasets import FashionMNIST

    moments = _moments_function(normalisation)
    published = dict(FashionMNIST.resources)

    def read(name: str, header: int) -> np.ndarray:
        packed = f"{name}.gz"
        url = FashionMNIST.mirrors[0] + packed
        content = _idx_content(Path(directory).expanduser(), name, url, published[packed], download)
        return np.frombuffer(bytearray(content), np.uint8, offset=header)  # an array that can be written to

    splits = [
        (
            read(f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28),
            read(f"{split}-labels-idx1-ubyte", 8).astype(np.int64),
        )
        for split in ("train", "t10k")
    ]
    provenance = {
        "source": "Fashion-MNIST, Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT, Copyright 2017 Zalando SE",
        "made": "as distributed",
    }
    return _assembled(*splits, tuple(FashionMNIST.classes), provenance, moments)


def _idx_content(directory: Path, name: str, url: str, md5: str, download: bool) -> bytes:
    """Return the checked content of one Fashion-MNIST file from wherever in `directory` it is."""
    import gzip
    import hashlib
    import zlib

    raw = directory / "FashionMNIST" / "raw"
    places = [folder / file for folder in (directory, raw) for file in (name, f"{name}.gz")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        path = _fetched(raw / f"{name}.gz", url, md5, download)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error):  # what a file cut off or altered gives
        content = b""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != FASHION_MNIST_CONTENT[name]:
        raise InvalidInput(f"{path}: its content's MD5 is not the published one; remove it, then run again")
    return content


def _fetched(path: Path, url: str, md5: str, download: bool) -> Path:
    """Return `path`, downloaded from `url` where nothing is there, once its MD5 is `md5`.

    A download takes its name only when whole and checked; one that was cut off leaves nothing in the
    way of the next, and a file that was there before is never replaced.
    """
    from http.client import HTTPException
    from tempfile import TemporaryDirectory

    from torchvision.datasets.utils import check_integrity, download_url

    if path.exists():
        if not check_integrity(path, md5):
            raise InvalidInput(f"{path}: its MD5 is not the published {md5}; remove it, then run again")
        return path
    if not download:
        raise InvalidInput(f"{path} does not exist; put {url} there, or set download to true")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".partial-") as partial:
            download_url(url, partial, filename=path.name, md5=md5)
            (Path(partial) / path.name).replace(path)
    except (OSError, RuntimeError, HTTPException) as error:
        raise InvalidInput(
            f"could not download {url} ({error}): run again with a network, or put the file at {path}"
        ) from error
    return path


@DATASETS.register
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
    with _opened(place) as (names, read):
        tree = _class_tree(names, place)
        classes = tuple(tree["train"])
        train, test = (_decoded(list(tree[split].values()), read, size, place) for split in ("train", "test"))
    provenance = {
        "source": f"{place.resolve().name}, SHA-256 {_sha256(place, tree)}",
        "licence": "as its source states",
        "made": f"RGB, {size}x{size}, in the order of sorted paths",
    }
    return _assembled(train, test, classes, provenance, moments)


@contextmanager
def _opened(place: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Yield the name of every file and folder (these end in "/") in `place`, and a function to read one."""
    import zipfile

    if place.is_dir():
        found = []
        for folder, folders, files in os.walk(place, followlinks=True):
            found += [Path(folder, name).relative_to(place).as_posix() + "/" for name in folders]
            found += [Path(folder, name).relative_to(place).as_posix() for name in files]
        yield found, lambda name: (place / name).read_bytes()
    elif not place.exists():
        raise InvalidInput(f"{place} does not exist; path must name a folder or a .zip with train/ and test/")
    elif not zipfile.is_zipfile(place):
        raise InvalidInput(f"{place} is neither a folder nor a whole .zip archive")
    else:
        with zipfile.ZipFile(place) as archive:
            yield archive.namelist(), archive.read


def _class_tree(names: list[str], place: Path) -> dict[str, dict[str, list[str]]]:
    """Return split -> class -> files, all sorted, from the names of everything in `place`.

    Raises:
        InvalidInput: a split or class is missing or empty.
    """
    paths = [name.split("/") for name in sorted(set(names))]
    paths = [
        parts for parts in paths if not any(part.startswith(".") or part == "__MACOSX" for part in parts)
    ]
    tops = {parts[0] for parts in paths if len(parts) > 1}
    depth = 1 if len(tops) == 1 and not tops & {"train", "test"} else 0
    tree = {"train": {}, "test": {}}
    for parts in paths:
        if len(parts) > depth + 2 and parts[depth] in tree:
            files = tree[parts[depth]].setdefault(parts[depth + 1], [])
            if parts[-1]:  # not a folder
                files.append("/".join(parts))
    for split, other in (("train", "test"), ("test", "train")):
        if not tree[split]:
            raise InvalidInput(
                f"{place} has no {split}/<class>/ folders (at its top: {', '.join(sorted(tops))})"
            )
        if extra := tree[split].keys() - tree[other].keys():
            raise InvalidInput(f"{place}: class {min(extra)!r} is in {split}/ but not in {other}/")
        for name, files in tree[split].items():
            if not files:
                raise InvalidInput(f"{place}: {split}/{name}/ holds no images; every class needs some")
    return {split: dict(sorted(tree[split].items())) for split in tree}


def _decoded(by_class: list[list[str]], read: Callable[[str], bytes], size: int, place: Path) -> Arrays:
    """Read the image files of every class; return uint8 (N, 3, size, size) and labels."""
    import io

    from PIL import Image

    labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class])
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for position, file in enumerate(file for files in by_class for file in files):
        try:
            with Image.open(io.BytesIO(read(file))) as image:
                if image.mode[0] in "IF":
                    raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
                image = image.convert("RGB")
            if image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BILINEAR)
        except Exception as error:  # a broken file makes PIL and zipfile raise nearly anything
            raise InvalidInput(
                f"{place}: {file} cannot be used as an image ({error}); replace or remove it"
            ) from error
        images[position] = np.asarray(image).transpose(2, 0, 1)
    return images, labels.astype(np.int64)


def _sha256(place: Path, tree: dict[str, dict[str, list[str]]]) -> str:
    """SHA-256 of a zip, or of a folder's image files: each one's path, size and content, in order."""
    import hashlib

    if place.is_file():
        with place.open("rb") as archive:
            return hashlib.file_digest(archive, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in (file for classes in tree.values() for files in classes.values() for file in files):
        content = (place / file).read_bytes()
        digest.update(f"{file}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


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


def _balanced(count: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return int64 labels (count,) in random order, every class equally often to within one."""
    return rng.permutation(np.arange(count) % classes)


def _check_least(least: int, **arguments: int) -> None:
    """Raise `InvalidInput` unless every argument is an integer of at least `least`."""
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InvalidInput(f"{name} is {value!r}, but must be an integer of at least {least}")
