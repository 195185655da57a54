import numpy as np
import pytest
import torch

from earlyphase.core.images import Augmentation, Images, shuffled_batches, unaugmented
from earlyphase.core.tasks import Task, supervised


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (10, 1, 6, 6), dtype=np.uint8)
    return Images.from_arrays(pixels, np.arange(10), np.zeros(1), np.ones(1), torch.device("cpu"))


def augmented(iteration):
    return Augmentation(crop_padding=2, flip=True)


@pytest.mark.parametrize("augmentation_at", [unaugmented, augmented])
def test_a_task_without_a_change_has_the_batches_of_its_training_images(images, augmentation_at):
    task = supervised(Task(images, images, 10), 3)
    batch_at, plain = task.batches(3, 4, augmentation_at), shuffled_batches(images, 3, 4, augmentation_at)
    for iteration in (0, 1, 2, 7):
        for found, wanted in zip(batch_at(iteration), plain(iteration), strict=True):
            assert torch.equal(found, wanted)


def test_a_change_is_made_to_each_augmented_batch_at_its_iteration(images):
    def change(batch, iteration):
        pixels, labels = batch
        return pixels + iteration, 9 - labels

    batch_at = Task(images, images, 10, change).batches(3, 4, augmented)
    plain = shuffled_batches(images, 3, 4, augmented)
    for iteration in (0, 5):
        pixels, labels = plain(iteration)
        assert torch.equal(batch_at(iteration)[0], pixels + iteration)
        assert torch.equal(batch_at(iteration)[1], 9 - labels)
