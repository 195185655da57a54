"""From one task to another: what of a network is carried over, and what begins anew.

All but the output layer is carried over, batch norm's running statistics included; momentum starts at zero.
Source: OpenLTH, the code of the paper's first author.
"""

from collections.abc import Callable, Iterable

from torch import nn

from earlyphase.core.masks import Mask, Weights
from earlyphase.core.networks.state import state_of

NEW_OUTPUT = "new output layer"  # the stream of an output layer that is drawn after pretraining


def output_names(build: Callable[[int], nn.Module], classes: int) -> list[str]:
    """Names of the tensors of the output layer: those whose shape depends on the number of classes.

    Args:
        build: number of classes -> network.
        classes: any number of them.
    """
    own, other = state_of(build(classes)), state_of(build(classes + 1))
    return [name for name in own if own[name].shape != other[name].shape]


def moved(weights: Weights, fresh: Weights, output: Iterable[str], *, redraw: bool = False) -> Weights:
    """Move a network to another task: its state dict there, with an output layer that fits.

    Args:
        weights: the whole state dict after training on the task before.
        fresh: an initial state of the network that fits the task that comes.
        output: names of the tensors of the output layer.
        redraw: whether to take the fresh output layer although the trained one fits.

    Returns:
        `weights`, with the output layer of `fresh` where the trained one does not fit, or is not wanted.
    """
    fits = all(weights[name].shape == fresh[name].shape for name in output)
    return weights if fits and not redraw else weights | {name: fresh[name] for name in output}


def fitting(mask: Mask, weights: Weights) -> Mask:
    """The part of a mask that fits a network: without an output layer for another number of classes.

    That layer is then dense: it has no weight in common with the one whose mask was found, and is thrown away
    after pretraining. The ticket is thus given its best chance to learn what it is pretrained on.
    """
    return {name: kept for name, kept in mask.items() if kept.shape == weights[name].shape}
