"""Data sets made of what scikit-learn embeds; nothing is downloaded."""

from typing import Annotated

import numpy as np

from earlyphase.core.streams import generator
from earlyphase.datasets.data_set import DataSet, assembled
from earlyphase.datasets.sampling import Arrays, laid_over, stratified
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


@dataset(size=8, channels=3)
def photo_digits(
    *,
    train: Annotated[int, {"minimum": 10}] = 8192,
    test: Annotated[int, {"minimum": 10}] = 2000,
    seed: Annotated[int, {"minimum": 0}] = 0,
    photo_brightness: Annotated[float, {"minimum": 0, "maximum": 1}] = 1.0,
) -> DataSet:
    """Real handwritten digits over real photographs, (3, 8, 8), made from what scikit-learn embeds.

    Each 8x8 digit is laid over a random cut-out of a photograph, by absolute difference in each channel.
    Train and test share neither a digit (1,437 and 360 of the 1,797, stratified) nor a half of a photograph
    (left and right). Who wrote a digit is not known, so a writer may be in both. Digits are drawn with
    replacement and labels are balanced to within one image.

    Args:
        train: number of training images, at least 10.
        test: number of test images, at least 10.
        seed: fixes the set. The split of the digits, the training and the test images each draw from
            their own stream of it, so neither count changes the rest.
        photo_brightness: what the values of the photographs are multiplied by, 0 to 1. The darker they
            are, the easier digits are to recognise; at 0 they are white on black.

    Source: MNIST-M, Ganin & Lempitsky 2015.
    """
    from sklearn.datasets import load_sample_images

    images, labels = _grey_digits()
    photos = np.stack(load_sample_images().images)  # (2, 427, 640, 3)
    photos = np.round(photos * photo_brightness).astype(np.uint8)
    left, right = np.split(photos, 2, axis=2)
    for_train, for_test = stratified(labels, 360, generator(seed, "photo_digits", "digits"))
    return assembled(
        laid_over(
            left, images[for_train], labels[for_train], train, generator(seed, "photo_digits", "train")
        ),
        laid_over(right, images[for_test], labels[for_test], test, generator(seed, "photo_digits", "test")),
        tuple("0123456789"),
        {
            "source": f"{DIGITS_CREDIT}; photographs: {PHOTOS_CREDIT}",
            "licence": f"{DIGITS_LICENCE}; photographs: CC BY 2.0",
            "made": "digits over 8x8 cut-outs of the photographs by absolute difference, "
            f"as MNIST-M (Ganin & Lempitsky 2015); train={train}, test={test}, seed={seed}, "
            f"photo_brightness={photo_brightness}",
        },
    )


@dataset(train=1437, size=8, channels=1)
def digits(
    *,
    seed: Annotated[int, {"minimum": 0}] = 0,
    test: Annotated[int, {"minimum": 10, "maximum": 1787}] = 360,
) -> DataSet:
    """scikit-learn's 1,797 handwritten digits as they are, (1, 8, 8), intensities 0..16 as 0..255.

    Args:
        seed: chooses the test digits, in proportion to each class.
        test: number of test digits, 10 to 1,787; the others are for training.
    """
    images, labels = _grey_digits()
    for_train, for_test = stratified(labels, test, generator(seed, "digits", "split"))
    images = images[:, None]
    return assembled(
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
