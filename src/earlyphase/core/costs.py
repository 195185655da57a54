"""What a network costs on paper: its parameters, and the multiply-adds of a forward pass."""

from typing import NamedTuple

import torch
from torch import nn


class Cost(NamedTuple):
    """Numbers of a network; `kept` counts what is not zero, alone."""

    parameters: int
    kept_parameters: int
    multiply_adds: int  # of convolutions and linear layers, for one image
    kept_multiply_adds: int


def cost_of(model: nn.Module, image: torch.Tensor) -> Cost:
    """Count parameters, and the multiply-adds of convolutions and linear layers for one image.

    Each weight of a convolution is used once at each pixel of the output. The zeros around an image count, as
    in the kernels that multiply them; batch norm, additions and nonlinearities do not.

    Args:
        model: parameters that are zero count as pruned.
        image: (1, C, H, W).
    """
    found = {"all": 0, "kept": 0}

    def count(layer: nn.Conv2d | nn.Linear, _: tuple, output: torch.Tensor) -> None:
        pixels = output.shape[2:].numel() if isinstance(layer, nn.Conv2d) else 1
        found["all"] += pixels * layer.weight.numel()
        found["kept"] += pixels * int(layer.weight.count_nonzero())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            model.eval()(image)
    finally:
        for hook in hooks:
            hook.remove()
    parameters = list(model.parameters())
    return Cost(
        sum(one.numel() for one in parameters),
        sum(int(one.count_nonzero()) for one in parameters),
        found["all"],
        found["kept"],
    )
