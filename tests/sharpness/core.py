"""Sharpness: how much the loss of a network rises within a ball around its weights.

Source: Keskar, Mudigere, Nocedal, Smelyanskiy & Tang 2017, with a ball of the Euclidean norm.
"""

import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Batch


def largest_rise(model: nn.Module, batch: Batch, radius: float, steps: int) -> float:
    """Climb along the gradient in equal steps to the edge of the ball; return the most that the loss rose.

    Args:
        model: it ends where the climb does, in eval mode.
        batch: of the examples whose mean loss it is.
        radius: of the ball, over all parameters.
        steps: of length `radius / steps`.
    """
    model.eval()
    images, labels = batch
    parameters = list(model.parameters())
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(model(images), labels)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        length = torch.stack([gradient.norm() for gradient in gradients]).norm()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter += radius / steps * gradient / length
    with torch.no_grad():
        losses.append(F.cross_entropy(model(images), labels).item())
    return max(losses) - losses[0]
