"""SGD with momentum on a network of which a mask keeps a part."""

import torch
from torch import nn

from earlyphase.core.masks import Mask, Weights


class MaskedSGD:
    """SGD with momentum over all parameters at once; pruned weights are zero after every step.

    The parameters become views into one vector, and so do their gradients. A step is then a few
    operations for the whole network; for a small one, a few for each tensor cost as much as its
    gradients. Momentum starts at zero. The update is that of `torch.optim.SGD`, which is not used
    because making one imports torch's compiler: two seconds, in every job.
    """

    def __init__(self, model: nn.Module, mask: Mask | None, momentum: float) -> None:
        """Take over the parameters of `model`; `mask` of None keeps every weight."""
        self._momentum = momentum
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

    def step(self, loss: torch.Tensor, learning_rate: float, weight_decay: float) -> None:
        """Take one step down the gradient of `loss`, which stays in `.grad`, without weight decay.

        Weight decay pulls on all parameters, batch norm and biases included.
        """
        self._gradient.zero_()
        loss.backward()
        decayed = self._gradient.add(self._weights, alpha=weight_decay)
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
