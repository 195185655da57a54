"""Masks: which weights of a sub-network are kept, and magnitude pruning."""

from typing import Literal

import numpy as np

from earlyphase.errors import InvalidInput

Weights = dict[str, np.ndarray]  # state name -> float32 array
Mask = dict[str, np.ndarray]  # prunable name -> bool array of the weight's shape, True = kept
Ranked = Literal["global", "layer"]  # where scores are ranked: over all layers together, or in each


def full_mask(weights: Weights, names: list[str]) -> Mask:
    """Keep every weight of the tensors called `names`: the mask of the dense network."""
    return {name: np.ones(weights[name].shape, bool) for name in names}


def density(mask: Mask) -> float:
    """Fraction of the prunable weights that `mask` keeps, in [0, 1]."""
    return sum(int(kept.sum()) for kept in mask.values()) / sum(kept.size for kept in mask.values())


def gather_kept(weights: Weights, mask: Mask) -> np.ndarray:
    """Kept weights of all layers in one vector, (kept,): layers in the mask's order, then position."""
    return np.concatenate([weights[name][kept] for name, kept in mask.items()])


def scatter_kept(values: np.ndarray, mask: Mask) -> Weights:
    """Put one value on each kept position, zero elsewhere: the inverse of `gather_kept`.

    Args:
        values: (kept,), in the order of `gather_kept`; bool values make a smaller mask.
    """
    scattered, start = {}, 0
    for name, kept in mask.items():
        stop = start + int(kept.sum())
        scattered[name] = np.zeros(kept.shape, values.dtype)
        scattered[name][kept] = values[start:stop]
        start = stop
    return scattered


def prune_by_magnitude(weights: Weights, mask: Mask, fraction: float, scope: Ranked = "global") -> Mask:
    """Remove the smallest-magnitude `fraction` of the weights that `mask` still keeps: see `prune_smallest`.

    Source: Frankle & Carbin 2019, iterative magnitude pruning, layer by layer in small networks; ranking
    over all layers as in Frankle, Schwab & Morcos 2020.
    """
    return prune_smallest({name: np.abs(weights[name]) for name in mask}, mask, fraction, scope)


def prune_smallest(scores: Weights, mask: Mask, fraction: float, scope: Ranked = "global") -> Mask:
    """Remove the `fraction` of the weights that `mask` still keeps whose scores are smallest.

    Of equal scores, the first by position goes first.

    Args:
        scores: prunable name -> array of the weight's shape; holds every name in `mask`.
        mask: prunable name -> bool array of the weight's shape, True = kept.
        fraction: share of the kept weights to remove, in [0, 1).
        scope: rank the scores over all layers together, or in each layer.

    Returns:
        A subset of `mask` with exactly round(fraction * kept) fewer weights, in each layer where the scope is
        that.

    Raises:
        ValueError: `fraction` is outside [0, 1).
        InvalidInput: the score of a kept weight is not finite, so that scores have no order.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must lie in [0, 1), got {fraction}")
    if scope == "layer":
        parts = (prune_smallest(scores, {name: kept}, fraction) for name, kept in mask.items())
        return {name: kept for part in parts for name, kept in part.items()}
    ranked = gather_kept(scores, mask)
    if not np.isfinite(ranked).all():
        raise InvalidInput(
            f"{int((~np.isfinite(ranked)).sum())} of {ranked.size} kept weights are not finite: "
            "the training they come from diverged; lower its learning rate"
        )
    smallest_first = np.argsort(ranked, kind="stable")
    survives = np.ones(ranked.size, bool)
    survives[smallest_first[: round(fraction * ranked.size)]] = False
    return scatter_kept(survives, mask)


def empty_layers(mask: Mask) -> list[str]:
    """Names of the tensors of which `mask` keeps nothing: no image gets past them but by a shortcut."""
    return [name for name, kept in mask.items() if not kept.any()]
