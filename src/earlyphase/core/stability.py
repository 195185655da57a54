"""Stability to the noise of SGD: two children trained from iteration k, and the line between them.

Both children start from the network's state at k; each sees the training images in an order and with an
augmentation of its own. Where the error on the line between the two trained children rises above that of its
ends, the noise has led them to different minima.

Source: Frankle, Dziugaite, Roy & Carbin 2020, "Linear mode connectivity and the lottery ticket hypothesis".
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import ceil

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from earlyphase.core.images import Images
from earlyphase.core.masks import Mask, Weights, gather_kept
from earlyphase.core.networks.state import load_state
from earlyphase.core.streams import generator
from earlyphase.core.telemetry import cosine
from earlyphase.core.training import EVALUATION_BATCH, evaluate

Autocast = Callable[[], AbstractContextManager]


def second_child_seed(seed: int) -> int:
    """Seed of the data order and of the augmentation of the second child in the replicate `seed`.

    The first child has the ordinary noise, that of `seed` itself. The seed is at least 2^62, so that it is
    no replicate's.
    """
    return int(generator(seed, "second noise of SGD").integers(2**62, 2**63))


def interpolated(first: Weights, second: Weights, step: int, steps: int, names: Sequence[str]) -> Weights:
    """The state at the share step / steps of the way from `first` to `second`.

    Steps 0 and `steps` give the parameters of the two exactly; exchanging the two, and counting steps from
    the other end, changes no bit.

    Args:
        names: of the parameters, which are interpolated, in float64; all else is that of `first`.
    """
    near, far = (steps - step) / steps, step / steps
    mixed = {name: near * _exact(first[name]) + far * _exact(second[name]) for name in names}
    return first | {name: array.astype(first[name].dtype) for name, array in mixed.items()}


@torch.no_grad()
def estimate_statistics(model: nn.Module, images: torch.Tensor, autocast: Autocast) -> None:
    """Replace the running statistics of batch norm by those of some images; `model` ends in eval mode.

    The images go through the network in as few parts of at most `EVALUATION_BATCH` as there may be, equal but
    for one image. In each part a layer normalises by the part's own mean and variance, as in training. Its
    statistics become the plain averages of these means, and of these variances (of n - 1), over the parts.

    Args:
        model: in any mode; without batch norm nothing is done.
        images: (N, C, H, W), normalised, two or more.
        autocast: the context of forward passes; sets their precision.
    """
    model.eval()
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages over all parts since the reset
        layer.train()
    for part in images.tensor_split(ceil(len(images) / EVALUATION_BATCH)):
        with autocast():
            model(part)
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum
    model.eval()


def line_between(
    model: nn.Module,
    first: Weights,
    second: Weights,
    points: int,
    images: torch.Tensor,
    test: Images,
    autocast: Autocast,
) -> list[dict[str, float]]:
    """Measure test error and loss on the straight line from one trained child to the other.

    All parameters are interpolated, those of batch norm included. Its running statistics belong to no point
    between two networks, so they are estimated anew at every point, at the ends as well.

    Args:
        model: takes the state of each point in turn.
        points: evenly spaced, both ends included; two or more.
        images: the statistics are estimated on these, as by `estimate_statistics`.
        test: images to evaluate on.

    Returns:
        A row per point: `position`, 0 at `first` and 1 at `second`; `error`, as a fraction, and `loss`, in
        nats. Where the loss is not finite, the error is NaN.
    """
    names = [name for name, _ in model.named_parameters()]
    rows = []
    for step in range(points):
        load_state(model, interpolated(first, second, step, points - 1, names))
        estimate_statistics(model, images, autocast)
        measured = evaluate(model, test, autocast)
        error = 1 - measured["accuracy"] if np.isfinite(measured["loss"]) else float("nan")
        rows.append({"position": step / (points - 1), "error": error, "loss": measured["loss"]})
    return rows


def barrier(values: Sequence[float]) -> float:
    """Height of the barrier on a line: its highest value less the mean of its two ends.

    The barrier of the error is the instability to SGD noise. It is never negative, since the ends are among
    the values, and NaN where one of them is.
    """
    return float(np.max(values) - (values[0] + values[-1]) / 2)


def distance(first: Weights, second: Weights, names: Sequence[str]) -> float:
    """L2 distance of two states over the parameters called `names`."""
    return float(np.sqrt(sum(((_exact(first[name]) - _exact(second[name])) ** 2).sum() for name in names)))


def distances(
    start: Weights, first: Weights, second: Weights, mask: Mask, names: Sequence[str]
) -> dict[str, float]:
    """Distances of two trained children from the state they started from, and from each other.

    Args:
        start: the state that both started from.
        first: the state of the first child at the end of training.
        second: the state of the second child there.
        mask: the prunable weights that are kept; measures are over these unless they say otherwise.
        names: names of all parameters.

    Returns:
        `distance`, L2, between the children; `distance_all`, likewise over all parameters, so with biases and
        the scale and shift of batch norm, but not its running statistics; `first_displacement` and
        `second_displacement`, L2, from the start; `cosine_displacements` of the angle between these two, and
        `cosine_weights` of the angle between the children's weights.
    """
    origin, one, other = (_exact(gather_kept(state, mask)) for state in (start, first, second))
    whole = np.concatenate([(_exact(first[name]) - _exact(second[name])).ravel() for name in names])
    return {
        "distance": float(np.linalg.norm(one - other)),
        "distance_all": float(np.linalg.norm(whole)),
        "first_displacement": float(np.linalg.norm(one - origin)),
        "second_displacement": float(np.linalg.norm(other - origin)),
        "cosine_displacements": cosine(one - origin, other - origin),
        "cosine_weights": cosine(one, other),
    }


def _exact(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)
