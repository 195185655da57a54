"""Tasks: what a network is asked to learn.

A task is a set of images to train on, one to test on, and what is done to each mini-batch. A registered
function takes a task and a seed and returns another one, so that tasks can be applied one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

from earlyphase.core.images import Augmentation, Batch, BatchAt, Images, shuffled_batches
from earlyphase.registry import task


@dataclass(frozen=True)
class Task:
    """What a network is asked to learn."""

    train: Images
    test: Images  # what accuracy and loss are measured on
    classes: int
    change: Callable[[Batch, int], Batch] | None = None  # (mini-batch, iteration) -> mini-batch, augmented

    def batches(self, seed: int, batch_size: int, augmentation_at: Callable[[int], Augmentation]) -> BatchAt:
        """Return `batch_at`: iteration -> mini-batch, in the order and with the augmentation of `seed`."""
        batch_at = shuffled_batches(self.train, seed, batch_size, augmentation_at)
        if self.change is None:
            return batch_at
        return lambda iteration: self.change(batch_at(iteration), iteration)


@task
def supervised(task: Task, seed: int) -> Task:
    """Change nothing: the images of the data set, with their own labels."""
    return task
