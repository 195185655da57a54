"""Criteria: which of the weights that are still kept a round of pruning removes.

A criterion takes what a round knows and returns a smaller mask. A score is a number for each weight; the
smallest go, ranked over all layers together or within each layer.

Source of the scores of trained weights: Zhou et al. 2019, section 2, whose `large final` is the magnitude,
`large init` the magnitude at iteration 0, `movement` and `magnitude increase` what is called so here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from earlyphase.core.masks import Mask, Ranked, Weights, empty_layers, prune_by_magnitude, prune_smallest
from earlyphase.core.streams import generator
from earlyphase.errors import InvalidInput
from earlyphase.registry import criterion


@dataclass(frozen=True)
class Pruning:
    """What a round is given to prune.

    Attributes:
        trained: the state at the end of the training before: of the round before, or of the dense network.
        rewound: the dense network's whole state at iteration k, to which what is left returns.
        mask: of the round before; its weights are those that may be removed.
        fraction: share of these to remove, in [0, 1).
        gradient: n -> the gradient, name -> array, of the mean loss (nats) over the n mini-batches that
            training sees from k on, at `rewound` under `mask`; None where there are no data.
    """

    trained: Weights
    rewound: Weights
    mask: Mask
    fraction: float
    gradient: Callable[[int], Weights] | None = None


@criterion
def magnitude(given: Pruning, seed: int, *, scope: Ranked = "global") -> Mask:
    """Remove the weights that are smallest after training.

    Source: Frankle & Carbin 2019, layer by layer in small networks; Frankle, Schwab & Morcos 2020, globally.
    """
    return prune_by_magnitude(given.trained, given.mask, given.fraction, scope)


@criterion
def magnitude_at_k(given: Pruning, seed: int, *, scope: Ranked = "global") -> Mask:
    """Remove the weights that are smallest at iteration k, before they are trained.

    Source: Zhou et al. 2019, `large init`, for k = 0; Frankle et al. 2021 for later ones.
    """
    return prune_by_magnitude(given.rewound, given.mask, given.fraction, scope)


@criterion
def movement(
    given: Pruning, seed: int, *, scope: Ranked = "global", towards: Literal["away", "any"] = "away"
) -> Mask:
    """Remove the weights that training moved least from their values w at k to the trained values v.

    Args:
        towards: "away" scores |v| - |w|, the movement away from zero, so that weights which shrank go first:
            the magnitude increase of Zhou et al. 2019, and what movement pruning rewards (Sanh et al. 2020,
            who sum it up over the steps). "any" scores |v - w|, the movement of Zhou et al. 2019.
    """
    scores = {}
    for name in given.mask:
        before, after = given.rewound[name], given.trained[name]
        scores[name] = np.abs(after) - np.abs(before) if towards == "away" else np.abs(after - before)
    return prune_smallest(scores, given.mask, given.fraction, scope)


@criterion
def random(given: Pruning, seed: int, *, scope: Ranked = "global") -> Mask:
    """Remove weights at random: in every round those with the smallest of numbers drawn once for a replicate.

    A position's number does not depend on the round, so a chain prunes to each density as one draw would.
    """
    drawn = {
        name: generator(seed, "criterion", "random", name).random(given.mask[name].shape)
        for name in given.mask
    }
    return prune_smallest(drawn, given.mask, given.fraction, scope)


@criterion
def gradient_times_weight(
    given: Pruning, seed: int, *, scope: Ranked = "global", batches: Annotated[int, {"minimum": 1}] = 10
) -> Mask:
    """Remove the weights whose removal at iteration k would change the loss least, to first order: |g w|.

    Args:
        batches: the first mini-batches of training from k on, over which the gradient is averaged.

    Raises:
        InvalidInput: there are no data.

    Source: Lee, Ajanthan & Torr 2019 (SNIP), at iteration 0; round by round de Jorge et al. 2021.
    """
    if given.gradient is None:
        raise InvalidInput("gradient_times_weight needs training images, which only a round of pruning has")
    gradient = given.gradient(batches)
    scores = {name: np.abs(gradient[name] * given.rewound[name]) for name in given.mask}
    return prune_smallest(scores, given.mask, given.fraction, scope)


def prune(entry: dict, given: Pruning, seed: int) -> Mask:
    """Prune by a configured criterion.

    Args:
        entry: `function`, and that function's arguments.

    Raises:
        InvalidInput: what it returns is no smaller mask.
    """
    mask = criterion.bound(entry)(given, seed)
    if mask.keys() != given.mask.keys() or any(
        (mask[name] & ~kept).any() for name, kept in given.mask.items()
    ):
        raise InvalidInput(f"the criterion {entry['function']} keeps weights that were removed before")
    if len(empty_layers(mask)) == len(mask):
        raise InvalidInput(f"the criterion {entry['function']} keeps no weight; prune in fewer rounds")
    return mask
