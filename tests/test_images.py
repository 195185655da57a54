from functools import partial

import numpy as np
import pytest
import torch

from earlyphase.core.images import (
    Images,
    crop_and_flip,
    drawn_crops,
    epoch_order,
    iterations_per_epoch,
    shuffled_batches,
)
from earlyphase.core.streams import generator


def make_images(rng, count=50, size=8, channels=3):
    pixels = rng.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    labels = np.arange(count)  # a label names its image
    mean, std = np.float32([0.4, 0.5, 0.6])[:channels], np.float32([0.2, 0.25, 0.3])[:channels]
    return Images.from_arrays(pixels, labels, mean, std, torch.device("cpu")), pixels, mean, std


def augmented(padding, flip):
    return lambda iteration: partial(crop_and_flip, padding=padding, flip=flip)


def slow_image(pixels, mean, std, padding, row, column, mirrored):
    """One image, augmented and normalised from the definition."""
    padded = np.pad(pixels, ((0, 0), (padding, padding), (padding, padding)))
    size = pixels.shape[1]
    crop = padded[:, row : row + size, column : column + size]
    if mirrored:
        crop = crop[:, :, ::-1]
    return (crop / 255.0 - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (2, False), (0, True), (4, True)])
def test_a_batch_is_what_its_definition_says(rng, padding, flip):
    images, pixels, mean, std = make_images(rng)
    batch_at = shuffled_batches(images, 5, 16, augmented(padding, flip))
    for iteration in (0, 3, 7):
        inputs, labels = batch_at(iteration)
        row, column, mirrored = drawn_crops(iteration, 5, len(labels), padding, flip)
        for i, label in enumerate(labels.tolist()):
            expected = slow_image(pixels[label], mean, std, padding, row[i], column[i], mirrored[i])
            np.testing.assert_allclose(inputs[i].numpy(), expected, atol=2e-5)


def test_the_batch_at_an_iteration_is_the_same_from_any_start(rng):
    images, *_ = make_images(rng)
    from_zero = shuffled_batches(images, 1, 16, augmented(2, True))
    seen = {iteration: from_zero(iteration) for iteration in range(20)}
    for start in (0, 1, 3, 4, 11, 19):
        fresh = shuffled_batches(images, 1, 16, augmented(2, True))
        for iteration in range(start, 20):
            inputs, labels = fresh(iteration)
            assert torch.equal(inputs, seen[iteration][0])
            assert torch.equal(labels, seen[iteration][1])


def test_an_epoch_shows_every_image_once_and_its_last_batch_may_be_small(rng):
    images, *_ = make_images(rng)
    batch_at = shuffled_batches(images, 2, 16)
    assert iterations_per_epoch(50, 16) == 4
    for epoch in range(3):
        labels = [batch_at(epoch * 4 + step)[1] for step in range(4)]
        assert [len(part) for part in labels] == [16, 16, 16, 2]
        assert sorted(torch.cat(labels).tolist()) == list(range(50))


def test_an_epoch_of_cifar10_has_391_iterations():
    assert iterations_per_epoch(50_000, 128) == 391


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [tuple(epoch_order(epoch, seed, 100)) for epoch in range(3) for seed in range(3)]
    assert len(set(orders)) == 9


def test_augmentation_covers_its_range_evenly():
    drawn = np.concatenate([drawn_crops(i, 0, 500, 4, True) for i in range(40)], axis=1)
    for offsets in drawn[:2]:
        counts = np.bincount(offsets, minlength=9)
        assert len(counts) == 9
        assert np.abs(counts - 20_000 / 9).max() < 5 * np.sqrt(20_000 / 9)
    assert abs(drawn[2].mean() - 0.5) < 5 * 0.5 / np.sqrt(20_000)


def test_the_whole_set_in_its_own_order(rng):
    images, pixels, mean, std = make_images(rng, channels=1)
    parts = list(images.in_batches(16))
    assert torch.cat([labels for _, labels in parts]).tolist() == list(range(50))
    inputs = torch.cat([part for part, _ in parts]).numpy()
    expected = (pixels / 255.0 - mean[0]) / std[0]
    np.testing.assert_allclose(inputs, expected, atol=2e-5)


def test_streams_depend_on_seed_and_purpose_alone():
    first = generator(0, "order", 1).random(4)
    generator(0, "noise").random(100)
    assert np.array_equal(generator(0, "order", 1).random(4), first)
    others = [
        generator(1, "order", 1),
        generator(0, "order", 2),
        generator(0, "initial", 1),
        generator(0, "order1"),
    ]
    assert all(not np.array_equal(other.random(4), first) for other in others)


def test_a_single_image_that_is_left_over_sits_its_epoch_out(rng):
    """Batch norm cannot normalise one image; another one is left out in each epoch."""
    images, *_ = make_images(rng, count=33)
    batch_at = shuffled_batches(images, 2, 16)
    assert iterations_per_epoch(33, 16) == 2
    left_out = set()
    for epoch in range(6):
        labels = torch.cat([batch_at(2 * epoch + step)[1] for step in range(2)]).tolist()
        assert len(labels) == len(set(labels)) == 32
        left_out |= set(range(33)) - set(labels)
    assert len(left_out) > 1


def test_augmentation_is_a_function_of_the_iteration(rng):
    """Augmented up to iteration 3: from there on the batches are those of no augmentation, before not."""
    images, *_ = make_images(rng)
    switched = shuffled_batches(images, 5, 16, lambda i: augmented(2 * (i < 3), i < 3)(i))
    always = shuffled_batches(images, 5, 16, augmented(2, True))
    never = shuffled_batches(images, 5, 16)
    for iteration in range(6):
        same_as, other = (always, never) if iteration < 3 else (never, always)
        assert torch.equal(switched(iteration)[0], same_as(iteration)[0])
        assert not torch.equal(switched(iteration)[0], other(iteration)[0])
