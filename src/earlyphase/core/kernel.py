"""The empirical tangent kernel of a network, and how far it is from that of another state.

Of images x, y and logits a, b it is K(x a, y b) = <grad_w f_a(x, w), grad_w f_b(y, w)>: what a small step on
one logit does to another. While it stays as it is, the network learns as a linear model would.

Source: Jacot, Gabriel & Hongler 2018; distance and velocity: Fort et al. 2020.
"""

import numpy as np
import torch
from torch import nn

from earlyphase.core.curvature import prepared
from earlyphase.core.images import Batch
from earlyphase.core.precision import full_precision

COLUMNS = 65_536  # parameters whose gradients are multiplied in float64 at a time


def tangent_kernel(model: nn.Module, sample: Batch) -> np.ndarray:
    """The kernel of n images and all logits, over all parameters.

    Batch norm normalises by averages over the sample at these very weights, held fixed: running ones lag
    behind the weights, and by those of a batch an image's logits would depend on the other images.

    Args:
        model: in any mode; it stays as it is.
        sample: the images, two or more; n x classes x parameters numbers of four bytes are held in memory.

    Returns:
        float64 (n * classes, n * classes), image after image; NaN where the network has diverged.
    """
    fixed = prepared(model, sample, "sample", len(sample[0]))
    parameters = list(fixed.parameters())
    rows = []
    for image in sample[0]:
        with full_precision():
            logits = fixed(image[None].to(parameters[0].dtype))[0]
            for logit in logits:
                gradients = torch.autograd.grad(logit, parameters, retain_graph=True)
                rows.append(torch.cat([part.reshape(-1) for part in gradients]).cpu())
    jacobian = torch.stack(rows).numpy()
    parts = (jacobian[:, at : at + COLUMNS].astype(float) for at in range(0, jacobian.shape[1], COLUMNS))
    kernel = np.zeros((len(rows), len(rows)))
    for part in parts:
        kernel += part @ part.T
    return kernel


def kernel_distance(one: np.ndarray, other: np.ndarray) -> float:
    """One minus the cosine of two kernels, in [0, 1]; NaN where one is not finite or zero."""
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    if not np.isfinite(lengths) or not lengths:
        return float("nan")
    return float(max(1 - np.sum(one * other) / lengths, 0.0))
