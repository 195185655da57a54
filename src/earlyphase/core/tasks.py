"""Tasks: what a network is asked to learn.

A task is a set of images to train on, one to test on, and what is done to each mini-batch. A registered
function takes a task and a seed and returns another one, so that tasks can be applied one after the other.
Most change the set of training images once, before crop and flip; `rotation` changes each mini-batch, and
so comes last wherever it stands in a list. A task that is harmful in a window of iterations is a deficit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F

from earlyphase.core.images import Augment, Batch, BatchAt, Images, in_turn, shuffled_batches
from earlyphase.core.streams import generator
from earlyphase.errors import InvalidInput
from earlyphase.registry import task

AT_ONCE = 1000  # images that are held as float32 at a time while a whole set is made anew


@dataclass(frozen=True)
class Task:
    """What a network is asked to learn."""

    train: Images
    test: Images  # what accuracy and loss are measured on
    classes: int
    change: Callable[[Batch, int], Batch] | None = None  # (mini-batch, iteration) -> mini-batch, augmented
    deficits: "tuple[tuple[range, Task], ...]" = ()  # iterations, and what is learnt in these instead
    validation: Images | None = None  # held out of the training images, to choose when to stop

    def batches(self, seed: int, batch_size: int, augmentation_at: Callable[[int], Augment]) -> BatchAt:
        """Return `batch_at`: iteration -> mini-batch, in the order and with the augmentation of `seed`."""
        batch_at = shuffled_batches(self.train, seed, batch_size, augmentation_at)
        if self.change is not None:
            batch_at = _changed(batch_at, self.change)
        for window, harmful in self.deficits:
            harmful_at = harmful.batches(seed, batch_size, augmentation_at)
            batch_at = in_turn((0, batch_at), (window.start, harmful_at), (window.stop, batch_at))
        return batch_at

    def at(self, iteration: int) -> "Task":
        """What is learnt at an iteration: in the window of a deficit, the deficit."""
        for window, harmful in reversed(self.deficits):
            if iteration in window:
                return harmful.at(iteration)
        return self


def apply(entries: Sequence[Mapping], given: Task, seed: int) -> Task:
    """Apply configured tasks one after the other.

    Args:
        entries: of each task its `function` and that function's arguments.
    """
    for entry in entries:
        given = task.bound(entry)(given, seed)
    return given


def with_deficit(clean: Task, harmful: Task, window: range) -> Task:
    """Learn `harmful` in a window of iterations and `clean` in all others; the test set is that of `clean`.

    Outside the window every mini-batch is bit for bit that of `clean`, inside it that of `harmful`. A window
    without iterations leaves all as it is.

    Raises:
        InvalidInput: the two have not as many classes.
    """
    if harmful.classes != clean.classes:
        raise InvalidInput(
            f"a deficit has {harmful.classes} classes where the task has {clean.classes}; "
            "a network keeps its output layer through a window, so both must have as many"
        )
    return replace(clean, deficits=(*clean.deficits, (window, harmful))) if window else clean


def sample_at(given: Task, size: int, iteration: int, stream: np.random.Generator) -> Batch:
    """Draw training images, and return them as the network sees them at an iteration, unaugmented.

    In the window of a deficit they are those of the deficit; a task that changes mini-batches changes them.

    Args:
        given: what is learnt.
        size: number of images, drawn without replacement, in the order of the set.
        iteration: the clock.
        stream: the same one draws the same images, whatever the iteration.

    Raises:
        InvalidInput: the set has fewer.
    """
    learnt = given.at(iteration)
    sample = learnt.train.chosen(sample_positions(learnt.train, size, stream))
    batch = sample.normalise(sample.pixels), sample.labels
    return batch if learnt.change is None else learnt.change(batch, iteration)


def all_at(given: Task, size: int, iteration: int) -> Iterator[Batch]:
    """Yield all training images as the network sees them at an iteration, unaugmented, `size` at a time.

    A task that changes mini-batches changes each as in another iteration from there on.
    """
    learnt = given.at(iteration)
    for number, batch in enumerate(learnt.train.in_batches(size)):
        yield batch if learnt.change is None else learnt.change(batch, iteration + number)


def sample_positions(images: Images, size: int, stream: np.random.Generator) -> np.ndarray:
    """Draw positions in a set of images without replacement: int64 (size,), rising.

    Raises:
        InvalidInput: the set has fewer images.
    """
    if not 0 < size <= len(images):
        raise InvalidInput(f"a sample of {size} images: the training set has {len(images)}")
    return np.sort(stream.choice(len(images), size, replace=False))


def hold_out(given: Task, size: int, seed: int) -> tuple[Task, Images | None]:
    """Hold training images out, drawn once for a replicate by a stream of its own.

    Replicates hold out different images, so that what is said over seeds does not hang on one choice. The
    mini-batches are then those of a set that never had these images.

    Args:
        given: a task.
        size: number of images; 0 holds out none.
        seed: the replicate.

    Returns:
        The task without these images, and the images; both in the order of the set.

    Raises:
        InvalidInput: fewer than two images would be left to train on.
    """
    if not size:
        return given, None
    there = len(given.train)
    if there - size < 2:
        raise InvalidInput(
            f"training.validation is {size}, but there are {there} training images to take it from"
        )
    held = np.zeros(there, bool)
    held[generator(seed, "validation").choice(there, size, replace=False)] = True
    left, out = (given.train.chosen(np.flatnonzero(part)) for part in (~held, held))
    return replace(given, train=left), out


@task
def supervised(task: Task, seed: int) -> Task:
    """Change nothing: the images of the data set, with their own labels."""
    return task


@task
def random_labels(task: Task, seed: int, *, drawn: Literal["permuted", "independent"] = "permuted") -> Task:
    """Give the training images random labels, drawn once for the whole training; the test set stays.

    Args:
        drawn: "permuted" exchanges the labels among the images, which keeps the sizes of classes;
            "independent" draws each from all classes alike. Either way some images keep theirs by chance.

    Source: Zhang et al. 2017; Frankle, Schwab & Morcos 2020, section 5.
    """
    labels, stream = task.train.labels, generator(seed, "random labels", drawn)
    if drawn == "permuted":
        order = torch.from_numpy(stream.permutation(len(labels)))
        return _with_training(task, labels=labels[order.to(labels.device)])
    return _with_training(
        task, labels=torch.from_numpy(stream.integers(0, task.classes, len(labels))).to(labels.device)
    )


@task
def noisy_labels(
    task: Task, seed: int, *, share: Annotated[float, {"exclusiveMinimum": 0, "maximum": 1}] = 0.2
) -> Task:
    """Give a share of the training images a wrong label each, drawn once; the test set stays.

    Symmetric noise: a wrong label is any of the other classes, all alike. Of N images round(share * N), which
    are drawn once for a replicate, have one.

    Args:
        share: of the training images.

    Raises:
        InvalidInput: there are fewer than two classes.

    Source: He, Xie, Zhu & Qin 2022; Nakkiran et al. 2020.
    """
    if task.classes < 2:
        raise InvalidInput(f"noisy_labels needs a wrong class for an image, and there is {task.classes} only")
    stream, labels = generator(seed, "noisy labels"), task.train.labels
    wrong = sample_positions(task.train, round(share * len(labels)), stream)
    shifts = np.zeros(len(labels), np.int64)
    shifts[wrong] = stream.integers(1, task.classes, len(wrong))
    return _with_training(task, labels=(labels + torch.from_numpy(shifts).to(labels.device)) % task.classes)


@task(square=True, classes=4, enlarges={"copies": {"all": 4}})  # mini-batches, by an argument
def rotation(task: Task, seed: int, *, copies: Literal["drawn", "all"] = "drawn") -> Task:
    """Tell by how many quarter turns, 0 to 3, an image is turned against the clock.

    Training images are turned last, after crop and flip; as they stand in the set they have label 0. Test
    images are turned once, by turns drawn from the seed.

    Args:
        copies: "drawn" turns each image anew each time that it is shown, by a turn drawn for the iteration;
            "all" shows it under all four turns, so that mini-batches are four times as large.

    Raises:
        InvalidInput: the images are not square.

    Source: Gidaris, Singh & Komodakis 2018, who show all four; Frankle, Schwab & Morcos 2020, section 5.
    """
    height, width = task.train.pixels.shape[1:3]
    if height != width:
        raise InvalidInput(
            f"rotation turns images by quarters, so they must be square, but they are {height}x{width} pixels"
        )

    def change(batch: Batch, iteration: int) -> Batch:
        images, labels = batch if task.change is None else task.change(batch, iteration)
        if copies == "all":
            turns = np.repeat(np.arange(4), len(labels))
            images, labels = images.repeat(4, 1, 1, 1), labels.repeat(4)
        else:
            turns = generator(seed, "rotation", iteration).integers(0, 4, len(labels))
        return turned(images, turns, (2, 3)), (labels + torch.from_numpy(turns).to(labels.device)) % 4

    drawn = generator(seed, "rotation", "test").integers(0, 4, len(task.test))
    test = replace(
        task.test,
        pixels=turned(task.test.pixels, drawn, (1, 2)),
        labels=torch.from_numpy(drawn).to(task.test.labels.device),
    )
    upright = _with_training(task, labels=torch.zeros_like(task.train.labels))
    return replace(upright, test=test, classes=4, change=change)


@task(least_size="factor")
def blurred(task: Task, seed: int, *, factor: Annotated[int, {"minimum": 2}] = 4) -> Task:
    """Blur the training images: make them smaller by a factor, then as large as before; test images stay.

    Both ways are bilinear. On the way down the triangular filter is as wide as `factor` asks, 2 * factor
    pixels, so that no pixel is passed over (PIL's BILINEAR, torchvision's with antialias); on the way up it
    is 2 pixels of the small image wide. Sides that `factor` does not divide are rounded down: 30 pixels
    become 7 under a factor of 4. Values are rounded once, at the end.

    Raises:
        InvalidInput: the images are smaller than `factor`.

    Source: Achille, Rovere & Soatto 2019; Frankle, Schwab & Morcos 2020, section 5.
    """
    height, width = task.train.pixels.shape[1:3]
    if min(height, width) < factor:
        raise InvalidInput(
            f"blurred by a factor of {factor}, images of {height}x{width} pixels would have no pixel left; "
            "choose a smaller factor"
        )

    def blur(pixels: torch.Tensor) -> torch.Tensor:
        sharp = pixels.permute(0, 3, 1, 2).float()
        small = F.interpolate(sharp, (height // factor, width // factor), mode="bilinear", antialias=True)
        return F.interpolate(small, (height, width), mode="bilinear").permute(0, 2, 3, 1)

    return _with_training(task, pixels=_made_anew(task.train.pixels, blur))


@task
def vertical_flip(task: Task, seed: int) -> Task:
    """Turn the training images upside down, as a mirror below them would; test images stay.

    Source: Achille, Rovere & Soatto 2019.
    """
    return _with_training(task, pixels=task.train.pixels.flip(1))


@task
def relabelled(task: Task, seed: int) -> Task:
    """Exchange the classes of the training images; the test set stays.

    All images of a class become those of another one. The permutation is drawn from the seed, from all that
    leave no class in its place.

    Raises:
        InvalidInput: there are fewer than two classes.

    Source: Achille, Rovere & Soatto 2019.
    """
    if task.classes < 2:
        raise InvalidInput(f"relabelled exchanges classes, and there is {task.classes}; it needs two or more")
    stream, own = generator(seed, "relabelled"), np.arange(task.classes)
    drawn = stream.permutation(task.classes)
    while (drawn == own).any():
        drawn = stream.permutation(task.classes)
    labels = task.train.labels
    return _with_training(task, labels=torch.from_numpy(drawn).to(labels.device)[labels])


@task
def noise_images(task: Task, seed: int) -> Task:
    """Replace the training images by Gaussian noise, drawn once, with their own labels; test images stay.

    In each channel it has the mean and standard deviation by which the data set is normalised; values are
    rounded, and clipped to 0 to 255.

    Source: Achille, Rovere & Soatto 2019.
    """
    stream, train = generator(seed, "noise images"), task.train

    def noise(pixels: torch.Tensor) -> torch.Tensor:
        drawn = torch.from_numpy(stream.standard_normal(tuple(pixels.shape), np.float32))
        return (drawn - train.shift.cpu()) / train.scale.cpu()  # what is normalised to `drawn`

    return _with_training(task, pixels=_made_anew(train.pixels, noise))


def turned(images: torch.Tensor, turns: np.ndarray, axes: tuple[int, int]) -> torch.Tensor:
    """Turn each image by its number of quarter turns, against the clock; memory is laid out as before.

    Args:
        images: (N, ...), square in `axes`.
        turns: (N,), 0 to 3.
        axes: of height and width.
    """
    result = torch.empty_like(images)
    for number in range(4):
        chosen = torch.from_numpy(np.flatnonzero(turns == number)).to(images.device)
        result[chosen] = torch.rot90(images[chosen], number, axes)
    return result


def _changed(batch_at: BatchAt, change: Callable[[Batch, int], Batch]) -> BatchAt:
    return lambda iteration: change(batch_at(iteration), iteration)


def _with_training(task: Task, **changed: torch.Tensor) -> Task:
    return replace(task, train=replace(task.train, **changed))


def _made_anew(pixels: torch.Tensor, make: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Make a set of images anew, some at a time and on the CPU, so that every device gets the same ones.

    Args:
        pixels: uint8 (N, H, W, C).
        make: uint8 (n, H, W, C) -> the new values, of the same shape; they are rounded and clipped.
    """
    parts = [make(part).round().clamp(0, 255).to(torch.uint8) for part in pixels.cpu().split(AT_ONCE)]
    return torch.cat(parts).to(pixels.device)
