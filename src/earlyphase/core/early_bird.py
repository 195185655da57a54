"""Early-bird tickets: how far the mask that would be pruned at a state is from that of another state."""

from collections.abc import Mapping

import numpy as np

from earlyphase.core.masks import Mask, Weights, full_mask, prune_by_magnitude


def distance(one: Mask, other: Mask) -> float:
    """Share of the prunable weights that one of two masks keeps and the other does not, in [0, 1].

    Of two independent masks that prune a share p, it is 2 p (1 - p) on average.

    Source: You et al. 2020, whose masks are of channels.
    """
    differ = sum(int((one[name] != other[name]).sum()) for name in one)
    return differ / sum(kept.size for kept in one.values())


def distances_of_masks(states: Mapping[int, Weights], pruned: float) -> list[dict[str, float]]:
    """Prune each state at once, by magnitude over all layers, and compare the masks.

    Args:
        states: iteration -> prunable weights, rising; the last is that of the end.
        pruned: share of the weights that is removed, in (0, 1).

    Returns:
        A row per iteration: `iteration`; `before`, the iteration before it among these; `distance_before` and
        `distance_final`, from the masks of that and of the last iteration. NaN where there is no state
        before, and where a weight is not finite.
    """
    masks = {}
    for iteration, weights in states.items():
        if all(np.isfinite(array).all() for array in weights.values()):
            masks[iteration] = prune_by_magnitude(weights, full_mask(weights, list(weights)), pruned)
    order = list(states)

    def between(one: int, other: int | None) -> float:
        return distance(masks[one], masks[other]) if one in masks and other in masks else float("nan")

    return [
        {
            "iteration": iteration,
            "before": float("nan") if before is None else before,
            "distance_before": between(iteration, before),
            "distance_final": between(iteration, order[-1]),
        }
        for before, iteration in zip([None, *order], order, strict=False)
    ]
