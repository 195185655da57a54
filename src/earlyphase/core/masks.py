"""Masks: which weights of a sub-network are kept, and magnitude pruning."""

import numpy as np

from earlyphase.errors import InvalidInput

Weights = dict[str, np.ndarray]  # state name -> float32 array
Mask = dict[str, np.ndarray]  # prunable name -> bool array of the weight's shape, True = kept


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


def prune_by_magnitude(weights: Weights, mask: Mask, fraction: float) -> Mask:
    """Remove the smallest-magnitude `fraction` of the weights that `mask` still keeps.

    Magnitudes are ranked over all layers together; of equal ones, the first by position goes first.

    Args:
        weights: trained weights; holds every name in `mask`.
        mask: prunable name -> bool array of the weight's shape, True = kept.
        fraction: share of the kept weights to remove, in [0, 1).

    Returns:
        A subset of `mask` with exactly round(fraction * kept) fewer weights.

    Raises:
        ValueError: `fraction` is outside [0, 1).
        InvalidInput: a kept weight is not finite, so magnitudes have no order.

    Source: Frankle & Carbin 2019, iterative magnitude pruning; ranking over all layers as in
    Frankle, Schwab & Morcos 2020.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must lie in [0, 1), got {fraction}")
    magnitudes = np.abs(gather_kept(weights, mask))
    if not np.isfinite(magnitudes).all():
        raise InvalidInput(
            f"{int((~np.isfinite(magnitudes)).sum())} of {magnitudes.size} kept weights are not finite: "
            "the training they come from diverged; lower its learning rate"
        )
    smallest_first = np.argsort(magnitudes, kind="stable")
    survives = np.ones(magnitudes.size, bool)
    survives[smallest_first[: round(fraction * magnitudes.size)]] = False
    return scatter_kept(survives, mask)
