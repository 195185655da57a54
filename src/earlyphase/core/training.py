"""Training: its settings as functions of the iteration, the loop, evaluation."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import MISSING, dataclass, field, fields
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Augmentation, BatchAt, Images
from earlyphase.core.masks import Mask, Weights
from earlyphase.core.networks.state import gradients_of, load_state, state_of
from earlyphase.core.optimizer import MaskedSGD
from earlyphase.core.precision import full_precision
from earlyphase.core.steps import Step, step_of
from earlyphase.errors import InvalidInput

EVALUATION_BATCH = 500  # images; bounds memory, and fixes the order in which losses are summed


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; every time is an iteration."""

    iterations: int  # length of training; a run that starts at k takes iterations - k steps
    batch_size: int
    learning_rate: float
    milestones: tuple[int, ...]  # iterations from which the rate is multiplied by `decay` once more
    decay: float
    momentum: float
    weight_decay: float  # on all parameters, batch norm and biases included
    crop_padding: int  # pixels
    flip: bool
    evaluate_every: int  # iterations
    validation: int = 0  # training images that are held out; see `tasks.hold_out`
    restarts_at: int = 0  # iteration at which the schedule of the learning rate begins once more
    later: tuple[tuple[int, dict[str, float]], ...] = ()  # from an iteration on: weight decay, augmentation

    @classmethod
    def from_spec(cls, spec: dict) -> "TrainingSettings":
        """Read settings from their part of a spec.

        Raises:
            InvalidInput: a key is missing or unknown.
        """
        known = {field.name: field.default is MISSING for field in fields(cls)}
        for key in known.keys() ^ spec.keys():
            if known.get(key, True):
                raise InvalidInput(f"training setting {key!r} is {'missing' if key in known else 'unknown'}")
        return cls(**spec | {"milestones": tuple(spec["milestones"])})

    def learning_rate_at(self, iteration: int) -> float:
        """Step size of the step that leads from `iteration` to the next."""
        scheduled = iteration - self.restarts_at if iteration >= self.restarts_at else iteration
        return self.learning_rate * self.decay ** bisect_right(self.milestones, scheduled)

    def weight_decay_at(self, iteration: int) -> float:
        """Weight decay of the step that leads from `iteration` to the next."""
        return self._at(iteration, "weight_decay")

    def augmentation_at(self, iteration: int) -> Augmentation:
        """How the mini-batch of the step from `iteration` is augmented."""
        return Augmentation(int(self._at(iteration, "crop_padding")), bool(self._at(iteration, "flip")))

    def _at(self, iteration: int, name: str) -> float:
        """A setting as the last change before `iteration` has left it."""
        values = [changed[name] for start, changed in self.later if start <= iteration and name in changed]
        return values[-1] if values else getattr(self, name)

    def evaluates_at(self, iteration: int) -> bool:
        """Whether the state after `iteration` steps is evaluated: at the cadence and at the end."""
        return iteration % self.evaluate_every == 0 or iteration == self.iterations


@dataclass(frozen=True)
class Training:
    """Everything that determines a run, but for the device and its precision.

    Attributes:
        start: the whole state dict at the first iteration of `span`.
        span: the iterations whose steps are taken; training ends after the last of them, at `span.stop`.
        batch_at: iteration -> mini-batch.
        mask: of the sub-network; None trains the dense one.
        velocity: momentum buffers at the start; None starts them at zero.
    """

    start: Weights
    span: range
    batch_at: BatchAt
    settings: TrainingSettings
    mask: Mask | None = None
    velocity: Weights | None = None


def train(
    model: nn.Module,
    optimizer: MaskedSGD,
    training: Training,
    autocast: Callable[[], AbstractContextManager],
    *,
    start: int | None = None,
    step: Step | None = None,
) -> Iterator[int]:
    """Train `model` in place; yield the iteration before every step and once after the last.

    What a caller wants to observe or keep goes in its `for` body. At every yield the pruned weights
    are exactly zero.

    Args:
        model: in the state of the first iteration; `optimizer` holds its parameters, mask and momentum.
        training: its batches, rates and span.
        autocast: the context of forward passes; sets their precision.
        start: steps already taken, where that is more than the start of the span.
        step: how a step is taken; None for the fastest way on the model's device.
    """
    settings = training.settings
    step = step or step_of(model, optimizer, autocast)
    for iteration in range(training.span.start if start is None else start, training.span.stop):
        yield iteration
        images, labels = training.batch_at(iteration)
        model.train()  # the observer may have left it in eval mode
        step(images, labels, settings.learning_rate_at(iteration), settings.weight_decay_at(iteration))
    yield training.span.stop


@torch.no_grad()
def evaluate(
    model: nn.Module, images: Images, autocast: Callable[[], AbstractContextManager]
) -> dict[str, float]:
    """Accuracy (fraction in [0, 1]) and loss (mean cross-entropy, nats) on a whole set, in eval mode."""
    model.eval()
    correct, loss = 0, 0.0
    for inputs, labels in images.in_batches(EVALUATION_BATCH):
        with autocast():
            logits = model(inputs)
        logits = logits.float()
        correct += int((logits.argmax(dim=1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return {"accuracy": correct / len(images), "loss": loss / len(images)}


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
    velocity: Weights = field(default_factory=dict)  # momentum buffers
    rows: list[dict[str, int | float]] = field(default_factory=list)  # an evaluation each
    states: dict[int, tuple[Weights, Weights]] = field(default_factory=dict)  # kept: weights, velocity
    seen: Weights = field(default_factory=dict)  # what the observer keeps


class Run:
    """A training under way: iterate to advance it; `progress` is its checkpoint, `resume` goes on from one.

    Attributes:
        rows: the evaluations so far: `iteration`, `accuracy`, `loss` and, with images to validate on,
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
        self._optimizer = MaskedSGD(model, training.mask, training.settings.momentum)
        if training.velocity is not None:
            self._optimizer.velocity = training.velocity
        self._keep, self._observer, self._validation = keep, observer, validation
        self._evaluates_at = evaluates_at or training.settings.evaluates_at
        self._iteration = training.span.start
        self._resumed_at: int | None = None
        self.rows: list[dict[str, int | float]] = []
        self._states: dict[int, tuple[Weights, Weights]] = {}

    def resume(self, progress: Progress) -> None:
        """Go on from the checkpoint of an earlier run of the same training."""
        load_state(self._model, progress.weights)
        self._optimizer.velocity = progress.velocity
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
            self._states[iteration] = (state_of(self._model), self._optimizer.velocity)
        if self._observer is not None:
            self._observer.observe(iteration, self._model)
        if self._evaluates_at(iteration):
            measured = evaluate(self._model, self._test_images, self._autocast)
            if self._validation is not None:
                held_out = evaluate(self._model, self._validation, self._autocast)
                measured |= {f"validation_{name}": value for name, value in held_out.items()}
            self.rows.append({"iteration": iteration, **measured})

    def progress(self) -> Progress:
        """Checkpoint of the run at the iteration that was yielded last."""
        seen = {} if self._observer is None else self._observer.state
        weights, velocity = state_of(self._model), self._optimizer.velocity
        return Progress(self._iteration, weights, velocity, self.rows, self._states, seen)


def pruned_weights_are_zero(weights: Weights, mask: Mask) -> bool:
    """Whether every weight that `mask` removes is exactly zero."""
    return all(not np.any(weights[name][~kept]) for name, kept in mask.items())
