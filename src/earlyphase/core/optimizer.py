"""Optimisers, on a network of which a mask keeps a part.

An optimiser is a registered function that takes one step in place:

    (weights, gradient, state, learning rate, weight decay, **arguments)

`weights`, `gradient` and each entry of `state` are a vector of all parameters, (P,). The decorator names the
entries of the state, `@optimizer(state=("velocity",))`; they are zero at first. An entry called `steps` is no
vector but a number, for an optimiser that counts its steps. Nothing is random, and what happens at a position
of the vectors depends on that position alone. Weight decay pulls on all parameters, batch norm and biases
included.

The updates are those of `torch.optim`, which is not used because making one of its optimisers imports torch's
compiler: two seconds, in every job.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

import torch
from torch import nn

from earlyphase.core.masks import Mask, Weights
from earlyphase.registry import optimizer

Vector = torch.Tensor  # (P,)
State = dict[str, torch.Tensor]
Momentum = Annotated[float, {"minimum": 0, "exclusiveMaximum": 1}]
Epsilon = Annotated[float, {"exclusiveMinimum": 0}]
COUNT = "steps"  # the entry of a state that is the number of steps taken


@optimizer(state=("velocity",))
def sgd(
    weights: Vector,
    gradient: Vector,
    state: State,
    learning_rate: float,
    weight_decay: float,
    *,
    momentum: Momentum,
) -> None:
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""
    state["velocity"].mul_(momentum).add_(gradient.add(weights, alpha=weight_decay))
    weights.add_(state["velocity"], alpha=-learning_rate)


@optimizer(state=("first_moment", "second_moment", "steps"))
def adam(
    weights: Vector,
    gradient: Vector,
    state: State,
    learning_rate: float,
    weight_decay: float,
    *,
    beta1: Momentum = 0.9,
    beta2: Momentum = 0.999,
    epsilon: Epsilon = 1e-8,
) -> None:
    """Adam; weight decay is added to the gradient, so that it goes through both moments.

    Source: Kingma & Ba 2015.
    """
    decayed = gradient.add(weights, alpha=weight_decay)
    follow_moments(weights, decayed, state, learning_rate, (beta1, beta2), epsilon)


@optimizer(state=("first_moment", "second_moment", "steps"))
def adamw(
    weights: Vector,
    gradient: Vector,
    state: State,
    learning_rate: float,
    weight_decay: float,
    *,
    beta1: Momentum = 0.9,
    beta2: Momentum = 0.999,
    epsilon: Epsilon = 1e-8,
) -> None:
    """Adam whose weight decay shrinks the weights themselves, by learning rate times decay.

    Source: Loshchilov & Hutter 2019.
    """
    weights.mul_(1 - learning_rate * weight_decay)
    follow_moments(weights, gradient, state, learning_rate, (beta1, beta2), epsilon)


def follow_moments(
    weights: Vector,
    gradient: Vector,
    state: State,
    learning_rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """Take Adam's step: along the running mean of the gradient, over the root of that of its square."""
    state["steps"] += 1
    biases = [1 - beta ** int(state["steps"]) for beta in betas]
    state["first_moment"].lerp_(gradient, 1 - betas[0])
    state["second_moment"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    scale = state["second_moment"].sqrt().div_(biases[1] ** 0.5).add_(epsilon)
    weights.addcdiv_(state["first_moment"], scale, value=-learning_rate / biases[0])


def state_names(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the entries of an optimiser's state."""
    optimizer.named(entry["function"])  # refuses an unknown one
    return cast(tuple[str, ...], optimizer.facts[entry["function"]].get("state", ()))


class MaskedOptimizer:
    """A registered optimiser over all parameters at once; pruned weights are zero after every step.

    The parameters become views into one vector, and so do their gradients. A step is then a few
    operations for the whole network; for a small one, a few for each tensor cost as much as its
    gradients. The state begins at zero, and is zero where a weight is pruned.
    """

    def __init__(self, model: nn.Module, mask: Mask | None, entry: Mapping[str, Any]) -> None:
        """Take over the parameters of `model`.

        Args:
            mask: None keeps every weight.
            entry: the optimiser of the first step: a registered function, and its arguments.
        """
        self._parameters = dict(model.named_parameters())
        size = sum(parameter.numel() for parameter in self._parameters.values())
        device = next(model.parameters()).device
        self._weights = torch.empty(size, device=device)
        self._gradient = torch.zeros(size, device=device)
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
            self._weights.mul_(self._kept)
        self._state = self._zero_state(state_names(entry))

    def _zero_state(self, names: Iterable[str]) -> State:
        return {
            name: torch.zeros((), dtype=torch.int64) if name == COUNT else torch.zeros_like(self._weights)
            for name in names
        }

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

    def backward(self, loss: torch.Tensor) -> None:
        """Put the gradient of `loss`, without weight decay, in `.grad` of each parameter."""
        self._gradient.zero_()
        loss.backward()

    def step(self, entry: Mapping[str, Any], learning_rate: float, weight_decay: float) -> None:
        """Take one step down the gradient that the parameters hold.

        Args:
            entry: the optimiser of this step. Where its state consists of other things than that of the step
                before, it begins at zero.
        """
        names = state_names(entry)
        if self._state.keys() != set(names):
            self._state = self._zero_state(names)
        optimizer.bound(entry)(self._weights, self._gradient, self._state, learning_rate, weight_decay)
        if self._kept is not None:
            for vector in (self._weights, *(self._state[name] for name in names if name != COUNT)):
                vector.mul_(self._kept)

    def _state_parts(self) -> dict[str, torch.Tensor]:
        """Views of the state: "velocity/conv.weight" and so on; `COUNT`, where there is one, as a whole."""
        parts: dict[str, torch.Tensor] = {}
        for name, tensor in self._state.items():
            views = {"": tensor} if name == COUNT else self._views(tensor)
            parts |= {f"{name}/{parameter}".rstrip("/"): view for parameter, view in views.items()}
        return parts

    @property
    def state(self) -> Weights:
        """A copy of the state: "velocity/conv.weight" -> array, and so on; `COUNT` is a single number."""
        return {key: part.cpu().contiguous().numpy().copy() for key, part in self._state_parts().items()}

    @state.setter
    def state(self, values: Weights) -> None:
        self._state = self._zero_state(dict.fromkeys(key.split("/")[0] for key in values))
        for key, part in self._state_parts().items():
            part.copy_(torch.from_numpy(values[key]))
