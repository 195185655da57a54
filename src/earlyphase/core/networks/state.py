"""The tensors of a network: which are prunable, how they start, how they are read and replaced."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from earlyphase.core.initial import USUAL, draw_initial
from earlyphase.core.masks import Mask, Weights
from earlyphase.core.streams import generator
from earlyphase.errors import InvalidInput


def prunable_names(model: nn.Module) -> list[str]:
    """Names of the tensors that IMP prunes: weights of convolutions and linear layers, in order.

    Shortcuts, the first and the last layer are included, but for those that the network itself names in
    `not_pruned`; biases and batch norm never are.

    Source: OpenLTH, the code of the paper's first author.
    """
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    spared = getattr(model, "not_pruned", ())
    return [f"{name}.weight" for name in layers if f"{name}.weight" not in spared]


def layers_of(model: nn.Module) -> dict[str, list[str]]:
    """Parameters of each layer: its name -> those of a convolution or linear layer and of its batch norm.

    Every parameter belongs to one layer: to the convolution or linear layer that is defined last before it,
    or to the first of all.
    """
    named = dict(model.named_modules())
    layers: dict[str, list[str]] = {}
    without: list[str] = []
    for name, _ in model.named_parameters():
        module = name.rpartition(".")[0]
        if isinstance(named[module], nn.Conv2d | nn.Linear) and module not in layers:
            layers[module], without = without, []
        (layers[next(reversed(layers))] if layers else without).append(name)
    return layers


def output_layer(model: nn.Module) -> nn.Module:
    """The layer that puts out the logits: the last convolution or linear layer among the modules."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]


def initial_state(
    model: nn.Module, seed: int, purpose: str = "initial", entry: Mapping[str, Any] = USUAL
) -> Weights:
    """State dict of the network at iteration 0 in the replicate `seed`; each purpose is a draw of its own.

    Batch norm: scale uniform on [0, 1], shift 0. The bias of a convolution or linear layer: uniform within
    1 / sqrt(fan-in) of 0, PyTorch's own law.

    Args:
        entry: the law of the weights of convolutions and linear layers: a registered function and its
            arguments.

    Source: OpenLTH (`kaiming_normal` weights, `uniform` batch norm).
    """
    state = state_of(model)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = f"{name}.weight"
            state[weight] = draw_initial(weight, state[weight].shape, seed, purpose, entry)
            if layer.bias is not None:
                bound = 1 / math.sqrt(math.prod(state[weight].shape[1:]))
                bias = generator(seed, purpose, f"{name}.bias").uniform(-bound, bound, layer.bias.shape)
                state[f"{name}.bias"] = bias.astype(np.float32)
        elif isinstance(layer, nn.BatchNorm2d):
            scale = generator(seed, purpose, f"{name}.weight").random(layer.num_features, np.float32)
            state[f"{name}.weight"] = scale
            state[f"{name}.bias"] = np.zeros(layer.num_features, np.float32)
    return state


def state_of(model: nn.Module) -> Weights:
    """Copy of the whole state dict (weights, batch norm, running statistics) as contiguous arrays."""
    return {
        name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in model.state_dict().items()
    }


def gradients_of(model: nn.Module) -> Weights:
    """Copy of the gradient that each parameter holds; zero of one that no loss depended on."""
    return {
        name: (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
        .detach()
        .cpu()
        .contiguous()
        .numpy()
        .copy()
        for name, parameter in model.named_parameters()
    }


def load_state(model: nn.Module, state: Weights) -> None:
    """Copy `state` into `model`, in place.

    Raises:
        InvalidInput: names or shapes differ: the state belongs to another network.
    """
    own = model.state_dict()
    for name in own.keys() ^ state.keys():
        where = "lacks" if name in own else "has an unknown"
        raise InvalidInput(f"the checkpoint belongs to another network: it {where} tensor {name!r}")
    for name, tensor in own.items():
        if tuple(tensor.shape) != state[name].shape:
            raise InvalidInput(
                f"the checkpoint belongs to another network: {name!r} has shape {state[name].shape}, "
                f"this network's is {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(torch.from_numpy(state[name]))


def hold_at_zero(model: nn.Module, mask: Mask) -> None:
    """Set the gradient of every weight that `mask` prunes to zero, from now on, whenever there is one.

    A pruned weight that is zero then stays zero under any optimiser whose state began at zero and whose step
    is zero where gradient and weight are: as those of SGD, Adam and AdamW, with weight decay too. Names in
    the state dict stay as they are. A copy of the model does not hold them.

    Args:
        model: its pruned weights are zero.
        mask: parameter name -> bool array of the weight's shape, True = kept.
    """
    for name, kept in mask.items():
        parameter = model.get_parameter(name)
        pruned = torch.from_numpy(~kept).to(parameter.device)
        parameter.register_hook(
            lambda gradient, pruned=pruned: gradient.masked_fill(pruned.to(gradient.device), 0)
        )
