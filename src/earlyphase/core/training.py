"""Training: settings, learning-rate schedule, the loop, evaluation."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Batch, Images
from earlyphase.core.masks import Mask, Weights
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

    @classmethod
    def from_spec(cls, spec: dict) -> "TrainingSettings":
        """Read settings from their part of a spec.

        Raises:
            InvalidInput: a key is missing or unknown.
        """
        wanted = {field.name for field in fields(cls)}
        for key in wanted ^ spec.keys():
            raise InvalidInput(f"training setting {key!r} is {'missing' if key in wanted else 'unknown'}")
        return cls(**spec | {"milestones": tuple(spec["milestones"])})

    def learning_rate_at(self, iteration: int) -> float:
        """Step size of the step that leads from `iteration` to the next."""
        return self.learning_rate * self.decay ** bisect_right(self.milestones, iteration)

    def evaluates_at(self, iteration: int) -> bool:
        """Whether the state after `iteration` steps is evaluated: at the cadence and at the end."""
        return iteration % self.evaluate_every == 0 or iteration == self.iterations


class MaskedSGD:
    """SGD with momentum over all parameters at once; pruned weights are zero after every step.

    The parameters become views into one vector, and so do their gradients. A step is then a few
    operations for the whole network; for a small one, a few for each tensor cost as much as its
    gradients. Momentum starts at zero. The update is that of `torch.optim.SGD`, which is not used
    because making one imports torch's compiler: two seconds, in every job.
    """

    def __init__(self, model: nn.Module, mask: Mask | None, momentum: float, weight_decay: float) -> None:
        """Take over the parameters of `model`; `mask` of None keeps every weight."""
        self._momentum, self._weight_decay = momentum, weight_decay
        self._parameters = dict(model.named_parameters())
        size = sum(parameter.numel() for parameter in self._parameters.values())
        device = next(model.parameters()).device
        self._weights = torch.empty(size, device=device)
        self._gradient = torch.zeros(size, device=device)
        self._velocity = torch.zeros(size, device=device)
        weights, gradients = self._views(self._weights), self._views(self._gradient)
        for name, parameter in self._parameters.items():
            weights[name].copy_(parameter.data)
            parameter.data, parameter.grad = weights[name], gradients[name]
        self._kept = None
        if mask is not None:
            self._kept = torch.ones(size, device=device)
            kept = self._views(self._kept)
            for name in mask:
                kept[name].copy_(torch.from_numpy(mask[name]))
            self._apply_mask()

    def _views(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each parameter's part of a vector; 4-dimensional ones are laid out channels-last."""
        parts = vector.split([parameter.numel() for parameter in self._parameters.values()])
        views = {}
        for part, (name, parameter) in zip(parts, self._parameters.items(), strict=True):
            if parameter.dim() == 4:
                out, into, height, width = parameter.shape
                views[name] = part.view(out, height, width, into).permute(0, 3, 1, 2)
            else:
                views[name] = part.view(parameter.shape)
        return views

    def _apply_mask(self) -> None:
        if self._kept is not None:
            self._weights.mul_(self._kept)

    def step(self, loss: torch.Tensor, learning_rate: float) -> None:
        """Take one step down the gradient of `loss`, which stays in `.grad`, without weight decay."""
        self._gradient.zero_()
        loss.backward()
        decayed = self._gradient.add(self._weights, alpha=self._weight_decay)
        self._velocity.mul_(self._momentum).add_(decayed)
        self._weights.add_(self._velocity, alpha=-learning_rate)
        self._apply_mask()

    @property
    def velocity(self) -> Weights:
        """The momentum buffers, parameter name -> array: a copy."""
        return {
            name: view.cpu().contiguous().numpy().copy() for name, view in self._views(self._velocity).items()
        }

    @velocity.setter
    def velocity(self, values: Weights) -> None:
        for name, view in self._views(self._velocity).items():
            view.copy_(torch.from_numpy(values[name]))


def train(
    model: nn.Module,
    optimizer: MaskedSGD,
    batch_at: Callable[[int], Batch],
    learning_rate_at: Callable[[int], float],
    *,
    start: int,
    stop: int,
    autocast: Callable[[], AbstractContextManager],
) -> Iterator[int]:
    """Train `model` in place; yield the iteration before every step and once after the last.

    What a caller wants to observe or keep goes in its `for` body. At every yield the pruned weights
    are exactly zero.

    Args:
        optimizer: holds the parameters, the mask and the momentum.
        batch_at: iteration -> images (B, C, H, W), labels (B,).
        learning_rate_at: iteration -> step size.
        start: steps already taken.
        stop: steps taken when training ends.
        autocast: the context of forward passes; sets their precision.
    """
    for iteration in range(start, stop):
        yield iteration
        images, labels = batch_at(iteration)
        model.train()  # the observer may have left it in eval mode
        with autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.step(loss, learning_rate_at(iteration))
    yield stop


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


def pruned_weights_are_zero(weights: Weights, mask: Mask) -> bool:
    """Whether every weight that `mask` removes is exactly zero."""
    return all(not np.any(weights[name][~kept]) for name, kept in mask.items())
