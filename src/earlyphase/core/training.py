"""Training: the loop, evaluation, and a run that can be resumed."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Batch, BatchAt, Images
from earlyphase.core.masks import Mask, Weights
from earlyphase.core.networks.state import gradients_of, load_state, output_layer, state_of
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.precision import full_precision
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.steps import Backward, backward_of

EVALUATION_BATCH = 500  # images; bounds memory, and fixes the order in which losses are summed


@dataclass(frozen=True)
class Training:
    """Everything that determines a run, but for the device and its precision.

    Attributes:
        start: the whole state dict at the first iteration of `span`.
        span: the iterations whose steps are taken; training ends after the last of them, at `span.stop`.
        batch_at: iteration -> mini-batch.
        mask: of the sub-network; None trains the dense one.
        optimizer_state: at the start, as `MaskedOptimizer.state`; None begins it at zero.
    """

    start: Weights
    span: range
    batch_at: BatchAt
    settings: TrainingSettings
    mask: Mask | None = None
    optimizer_state: Weights | None = None


def train(
    model: nn.Module,
    optimizer: MaskedOptimizer,
    training: Training,
    autocast: Callable[[], AbstractContextManager],
    *,
    start: int | None = None,
    backward: Backward | None = None,
) -> Iterator[int]:
    """Train `model` in place; yield the iteration before every step and once after the last.

    What a caller wants to observe or keep goes in its `for` body. At every yield the pruned weights
    are exactly zero.

    Args:
        model: in the state of the first iteration; `optimizer` holds its parameters, mask and state.
        training: its batches, rates and span.
        autocast: the context of forward passes; sets their precision.
        start: steps already taken, where that is more than the start of the span.
        backward: how a gradient is computed; None for the fastest way on the model's device.
    """
    settings = training.settings
    backward = backward or backward_of(model, optimizer, autocast)
    for iteration in range(training.span.start if start is None else start, training.span.stop):
        yield iteration
        images, labels = training.batch_at(iteration)
        model.train()  # the observer may have left it in eval mode
        backward(images, labels)
        held = settings.at(iteration)
        optimizer.step(held.optimizer, settings.learning_rate_at(iteration), held.weight_decay)
    yield training.span.stop


def evaluate(
    model: nn.Module, images: Images, autocast: Callable[[], AbstractContextManager]
) -> dict[str, float]:
    """Evaluate a network on a whole set, as `evaluate_batches` does."""
    return evaluate_batches(model, images.in_batches(EVALUATION_BATCH), autocast)


@torch.no_grad()
def evaluate_batches(
    model: nn.Module, batches: Iterable[Batch], autocast: Callable[[], AbstractContextManager]
) -> dict[str, float]:
    """Evaluate a network on all images of some mini-batches, in eval mode.

    Returns:
        `accuracy`, a fraction in [0, 1]; `loss`, mean cross-entropy in nats; `dead_features`, the share of
        the inputs of the output layer that are zero for all images, in [0, 1], NaN where the loss is not
        finite.
    """
    model.eval()
    images, correct, loss = 0, 0, 0.0
    alive: list[torch.Tensor] = []  # of each batch, which features are not zero for all its images
    hook = output_layer(model).register_forward_pre_hook(
        lambda _, inputs: alive.append((inputs[0] != 0).transpose(0, 1).flatten(1).any(dim=1))
    )
    for inputs, labels in batches:
        with autocast():
            logits = model(inputs)
        logits = logits.float()
        images += len(labels)
        correct += int((logits.argmax(dim=1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    hook.remove()
    dead = 1 - float(torch.stack(alive).any(dim=0).float().mean()) if isfinite(loss) else float("nan")
    return {"accuracy": correct / images, "loss": loss / images, "dead_features": dead}


def fit_of(
    model: nn.Module, batches: Iterable[Batch], autocast: Callable[[], AbstractContextManager]
) -> dict[str, float]:
    """How well a network has learned what it was trained on: its loss there, beside that of guessing.

    Args:
        batches: of all that it was trained on.

    Returns:
        `training_loss`, mean cross-entropy in nats; `guessing_loss`, that of answering each image with how
        frequent the labels are, which is their entropy.
    """
    seen: list[torch.Tensor] = []

    def passing() -> Iterator[Batch]:
        for inputs, labels in batches:
            seen.append(labels.cpu())
            yield inputs, labels

    loss = evaluate_batches(model, passing(), autocast)["loss"]
    counts = torch.cat(seen).bincount().double()
    shares = counts[counts > 0] / counts.sum()
    return {"training_loss": loss, "guessing_loss": float(-(shares * shares.log()).sum())}


def mean_gradient(model: nn.Module, training: Training, batches: int) -> Weights:
    """Gradient of the mean loss (nats) over the first mini-batches of a training, at its start.

    Batch norm normalises each mini-batch by its own statistics, as in training; `model` is left in a state
    of no use.

    Returns:
        Parameter name -> float32 array; weights that the mask removes are zero when it is taken, and have
        one too.
    """
    kept = {name: np.where(kept, training.start[name], 0) for name, kept in (training.mask or {}).items()}
    load_state(model, training.start | kept)
    model.train()
    model.zero_grad()
    with full_precision():
        for iteration in range(training.span.start, training.span.start + batches):
            images, labels = training.batch_at(iteration)
            (F.cross_entropy(model(images), labels) / batches).backward()
    return gradients_of(model)


class Observer(Protocol):
    """Looks at a run and keeps something of it; `state` is saved with the progress, and given back."""

    state: Weights

    def observe(self, iteration: int, model: nn.Module) -> None:
        """See the network after `iteration` steps; it must be left as it is."""


@dataclass
class Progress:
    """A checkpoint of a run: all that is needed to resume it here, bit for bit."""

    iteration: int
    weights: Weights = field(default_factory=dict)  # the whole state dict
    optimizer_state: Weights = field(default_factory=dict)
    rows: list[dict[str, int | float]] = field(default_factory=list)  # an evaluation each
    states: dict[int, tuple[Weights, Weights]] = field(default_factory=dict)  # kept: weights, optimizer_state
    seen: Weights = field(default_factory=dict)  # what the observer keeps


class Run:
    """A training under way: iterate to advance it; `progress` is its checkpoint, `resume` continues from one.

    Attributes:
        rows: the evaluations so far: `iteration`, what `evaluate` returns and, with images to validate on,
            `validation_accuracy`, `validation_loss`.
    """

    def __init__(
        self,
        training: Training,
        model: nn.Module,
        test_images: Images,
        autocast: Callable[[], AbstractContextManager],
        *,
        keep: Collection[int] = (),
        observer: Observer | None = None,
        evaluates_at: Callable[[int], bool] | None = None,
        validation: Images | None = None,
    ) -> None:
        """Put `model` at the start of `training`.

        Args:
            keep: iterations whose state is kept; those outside the span are ignored.
            observer: sees every iteration once, however often the run is resumed.
            evaluates_at: iteration -> whether to evaluate there; None leaves it to the settings.
            validation: images to evaluate on besides the test set.
        """
        load_state(model, training.start)
        self.training, self._model, self._test_images, self._autocast = training, model, test_images, autocast
        entry = training.settings.at(training.span.start).optimizer
        self._optimizer = MaskedOptimizer(model, training.mask, entry)
        if training.optimizer_state is not None:
            self._optimizer.state = training.optimizer_state
        self._keep, self._observer, self._validation = keep, observer, validation
        self._evaluates_at = evaluates_at or training.settings.evaluates_at
        self._iteration = training.span.start
        self._resumed_at: int | None = None
        self.rows: list[dict[str, int | float]] = []
        self._states: dict[int, tuple[Weights, Weights]] = {}

    def resume(self, progress: Progress) -> None:
        """Go on from the checkpoint of an earlier run of the same training."""
        load_state(self._model, progress.weights)
        self._optimizer.state = progress.optimizer_state
        if self._observer is not None:
            self._observer.state = progress.seen
        self._iteration = self._resumed_at = progress.iteration
        self.rows, self._states = list(progress.rows), dict(progress.states)

    def __iter__(self) -> Iterator[int]:
        """Yield every iteration, after all that is to be seen of it has been seen."""
        for iteration in train(
            self._model, self._optimizer, self.training, self._autocast, start=self._iteration
        ):
            self._iteration = iteration
            if iteration != self._resumed_at:  # otherwise the earlier run has seen this state
                self._look(iteration)
            yield iteration

    def _look(self, iteration: int) -> None:
        if iteration in self._keep:
            self._states[iteration] = (state_of(self._model), self._optimizer.state)
        if self._observer is not None:
            self._observer.observe(iteration, self._model)
        if self._evaluates_at(iteration):
            measured = evaluate(self._model, self._test_images, self._autocast)
            if self._validation is not None:
                held_out = evaluate(self._model, self._validation, self._autocast)
                measured |= {f"validation_{name}": held_out[name] for name in ("accuracy", "loss")}
            self.rows.append({"iteration": iteration, **measured})

    def progress(self) -> Progress:
        """Checkpoint of the run at the iteration that was yielded last."""
        seen = {} if self._observer is None else self._observer.state
        weights, optimizer_state = state_of(self._model), self._optimizer.state
        return Progress(self._iteration, weights, optimizer_state, self.rows, self._states, seen)
