"""The trace of the Fisher information: how much the network's predictions depend on its weights.

F = E_x E_{y ~ p(y|x,w)} |grad_w log p(y|x,w)|^2, over all parameters, where y has the network's own
probabilities p. With the labels of the data it is another number, the empirical Fisher; the two agree where
the network's answers are those of the data. Batch norm normalises by its running statistics (eval mode): by
those of a batch an example's answer would depend on the others, and it would have no gradient of its own.

Source: Achille, Rovere & Soatto 2019; the difference of the two: Kunstner, Balles & Hennig 2019.
"""

from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Batch
from earlyphase.core.precision import full_precision


def squared_gradients(model: nn.Module, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Squared length of the gradient of log p(y|x,w) of each example x and each class y, and p itself.

    One example at a time, with a backward pass for each class: torch's way to take many gradients at once is
    no faster for convolutions of one image.

    Args:
        model: in any mode; it stays as it is.
        batch: of n examples.

    Returns:
        Squared lengths, float64 (n, classes), summed in float64 of gradients in the parameters' own
        precision; probabilities, float64 (n, classes). NaN for an example whose logits are not finite.
    """
    copied = deepcopy(model).eval()
    parameters = list(copied.parameters())
    squares, probabilities = [], []
    for image in batch[0]:
        with full_precision():
            log_p = F.log_softmax(copied(image[None].to(parameters[0].dtype))[0], dim=0)
            finite = bool(log_p.isfinite().all())
            squares.append(
                [
                    squared_length(torch.autograd.grad(one, parameters, retain_graph=True))
                    if finite
                    else float("nan")
                    for one in log_p
                ]
            )
        probabilities.append(log_p.detach().double().exp().cpu().numpy())
    return np.array(squares), np.array(probabilities)


def squared_length(gradients: tuple[torch.Tensor, ...]) -> float:
    """Sum of squares over all tensors, in float64."""
    flat = torch.cat([part.reshape(-1) for part in gradients]).double()
    return float(flat.dot(flat))


def mean_with_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over examples (n,) and its standard error, std / sqrt(n) with n - 1; NaN for one example."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def fisher_trace(model: nn.Module, batch: Batch) -> dict[str, float | int]:
    """Estimate the trace of the Fisher information and, with the data's labels, of the empirical one.

    The expectation over the network's answers is exact; that over examples is a mean over those of the batch.

    Args:
        model: the network, with running statistics.
        batch: of the examples that stand for all.

    Returns:
        A row of a table: `fisher_trace` and `empirical_fisher`, each with its standard error over examples,
        `fisher_standard_error` and `empirical_standard_error` (nats squared per squared unit of weight); and
        `samples`, the number of examples. NaN where the network has diverged.
    """
    squares, probabilities = squared_gradients(model, batch)
    labels = batch[1].cpu().numpy()
    trace, error = mean_with_error((probabilities * squares).sum(axis=1))
    empirical, empirical_error = mean_with_error(squares[np.arange(len(labels)), labels])
    return {
        "fisher_trace": trace,
        "fisher_standard_error": error,
        "empirical_fisher": empirical,
        "empirical_standard_error": empirical_error,
        "samples": len(labels),
    }
