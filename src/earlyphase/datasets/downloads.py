"""Published data sets, downloaded once or put in place by hand, and checked against published sums."""

from pathlib import Path
from typing import Literal

import numpy as np

from earlyphase.datasets.data_set import DataSet, assembled
from earlyphase.errors import InvalidInput
from earlyphase.registry import dataset

Normalisation = Literal["own", "imagenet"]

# MD5 of the unpacked files. torchvision knows those of the originals' .gz only, but the same content
# is also packed differently (Debian's dataset-fashion-mnist) or not at all (torchvision's own folder).
FASHION_MNIST_CONTENT = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


@dataset(train=50_000, test=10_000, size=32, channels=3)
def cifar10(
    *, directory: str = "downloads", download: bool = True, normalisation: Normalisation = "imagenet"
) -> DataSet:
    """CIFAR-10: 50,000 + 10,000 photographs in 10 classes, (3, 32, 32).

    Args:
        directory: folder with cifar-10-python.tar.gz or, unpacked from it, cifar-10-batches-py.
        download: fetch the archive into `directory` where neither is there.
        normalisation: "imagenet", as the paper's authors, or "own".

    Raises:
        InvalidInput: the data cannot be had or unpacked, or a file's MD5 is not the published one.

    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return _cifar("CIFAR10", directory, download, normalisation)


@dataset(train=50_000, test=10_000, size=32, channels=3)
def cifar100(
    *, directory: str = "downloads", download: bool = True, normalisation: Normalisation = "imagenet"
) -> DataSet:
    """CIFAR-100: 50,000 + 10,000 photographs in 100 classes, (3, 32, 32); as `cifar10`."""
    return _cifar("CIFAR100", directory, download, normalisation)


def _cifar(name: str, directory: str, download: bool, normalisation: str) -> DataSet:
    """Read torchvision's data set `name`.

    The files are pickles. torchvision compares the MD5 of every one with its own list before it opens
    any, and the archive's is compared before it is unpacked.
    """
    import tarfile
    from tempfile import TemporaryDirectory

    from torchvision import datasets

    source = getattr(datasets, name)
    root = Path(directory).expanduser()
    with TemporaryDirectory() as unpacked:
        if not (root / source.base_folder).is_dir():
            archive = _fetched(root / source.filename, source.url, source.tgz_md5, download)
            root = Path(unpacked)
            try:
                with tarfile.open(archive) as tar:
                    tar.extractall(root, filter="data")
            except OSError as error:
                raise InvalidInput(
                    f"cannot unpack {archive} in {root.parent}: {error.strerror}; this takes 200 MB there "
                    "for a while: make room, or name another folder in the variable TMPDIR"
                ) from None
        try:
            splits = [source(root, train=True), source(root, train=False)]
        except RuntimeError:
            raise InvalidInput(
                f"{root / source.base_folder}: a file is missing or its MD5 is not the published one; "
                "remove the folder, then run again"
            ) from None
    train, test = (
        (np.ascontiguousarray(split.data.transpose(0, 3, 1, 2)), np.array(split.targets, np.int64))
        for split in splits
    )
    provenance = {
        "source": f"{name}, Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        "licence": "none stated",
        "made": "as distributed",
    }
    return assembled(train, test, tuple(splits[0].classes), provenance, normalisation)


@dataset(train=60_000, test=10_000, size=28, channels=1)
def fashion_mnist(
    *, directory: str = "downloads", download: bool = True, normalisation: Literal["own"] = "own"
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
    from torchvision.datasets import FashionMNIST

    published = dict(FashionMNIST.resources)

    def content(name: str, header: int) -> np.ndarray:
        packed = f"{name}.gz"
        checked = _idx_content(
            Path(directory).expanduser(), name, FashionMNIST.mirrors[0] + packed, published[packed], download
        )
        return np.frombuffer(bytearray(checked), np.uint8, offset=header)  # of bytes it would be read-only

    train, test = (
        (
            content(f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28),
            content(f"{split}-labels-idx1-ubyte", 8).astype(np.int64),
        )
        for split in ("train", "t10k")
    )
    provenance = {
        "source": "Fashion-MNIST, Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT, Copyright 2017 Zalando SE",
        "made": "as distributed",
    }
    return assembled(train, test, tuple(FashionMNIST.classes), provenance, normalisation)


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

    A download takes its name only when whole and checked; one that was cut off is not in the way of the
    next, and a file that was there before is never replaced.

    Raises:
        InvalidInput: a file there has another MD5, or it cannot be downloaded.
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
