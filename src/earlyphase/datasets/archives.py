"""Published data sets, downloaded once or put in place by hand."""

from typing import Literal

from earlyphase.datasets.data_set import DataSet, assembled, moments_function
from earlyphase.datasets.downloads import read_cifar, read_fashion_mnist
from earlyphase.registry import dataset


@dataset(train=50_000, test=10_000, size=32, channels=3)
def cifar10(
    *,
    directory: str = "downloads",
    download: bool = True,
    normalisation: Literal["own", "imagenet"] = "imagenet",
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


@dataset(train=50_000, test=10_000, size=32, channels=3)
def cifar100(
    *,
    directory: str = "downloads",
    download: bool = True,
    normalisation: Literal["own", "imagenet"] = "imagenet",
) -> DataSet:
    """CIFAR-100: 50,000 + 10,000 photographs in 100 classes, (3, 32, 32); as `cifar10`."""
    return _cifar("CIFAR100", directory, download, normalisation)


def _cifar(name: str, directory: str, download: bool, normalisation: str) -> DataSet:
    moments = moments_function(normalisation)
    train, test, classes = read_cifar(name, directory, download)
    provenance = {
        "source": f"{name}, Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        "licence": "none stated",
        "made": "as distributed",
    }
    return assembled(train, test, classes, provenance, moments)


@dataset(train=60_000, test=10_000, size=28, channels=1)
def fashion_mnist(
    *,
    directory: str = "downloads",
    download: bool = True,
    normalisation: Literal["own"] = "own",
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
    moments = moments_function(normalisation)
    train, test, classes = read_fashion_mnist(directory, download)
    provenance = {
        "source": "Fashion-MNIST, Xiao, Rasul & Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT, Copyright 2017 Zalando SE",
        "made": "as distributed",
    }
    return assembled(train, test, classes, provenance, moments)
