"""The trace of the Fisher information: how much the network's answers tell of its weights.

F = E_x E_{y ~ p(y|x,w)} |grad_w log p(y|x,w)|^2, with labels drawn from the network's own answers p, over
all parameters. With the labels of the data it is another number, the empirical Fisher; the two agree where
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


def squared_gradients(
    model: nn.Module, batch: Batch, draws: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Squared length of the gradient of log p(y|x,w) of each example, y from the model and from the data.

    One example at a time: torch's way to do many at once imports its compiler, which takes longer than
    the examples of a small network.

    Args:
        model: in any mode; it stays as it is.
        batch: of n examples.
        draws: labels drawn from the model for each example.
        random: where they are drawn from.

    Returns:
        float64 (n, draws) and float64 (n,); summed in float64 of gradients in the parameters' own precision.
        NaN for an example whose logits are not finite.
    """
    copied = deepcopy(model).eval()
    parameters = list(copied.parameters())
    images, labels = batch
    uniform = random.random((len(labels), draws))
    by_model, by_data = np.full((len(labels), draws), np.nan), np.full(len(labels), np.nan)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        with full_precision():
            log_p = F.log_softmax(copied(image[None].to(parameters[0].dtype))[0], dim=0)
            if not log_p.isfinite().all():
                continue
            drawn = drawn_labels(log_p.detach(), uniform[number])
            found = {  # many a label comes twice
                one: squared_length(torch.autograd.grad(log_p[one], parameters, retain_graph=True))
                for one in {label, *drawn}
            }
        by_model[number], by_data[number] = [found[one] for one in drawn], found[label]
    return by_model, by_data


def drawn_labels(log_p: torch.Tensor, uniform: np.ndarray) -> list[int]:
    """Labels that numbers uniform in [0, 1) stand for, under log-probabilities (classes,)."""
    steps = np.exp(log_p.double().cpu().numpy()).cumsum()
    return np.searchsorted(steps / steps[-1], uniform, side="right").tolist()


def squared_length(gradients: tuple[torch.Tensor, ...]) -> float:
    """Sum of squares over all tensors, in float64."""
    flat = torch.cat([part.reshape(-1) for part in gradients]).double()
    return float(flat.dot(flat))


def mean_with_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over examples (n,) and its standard error, std / sqrt(n) with n - 1; NaN for one example."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def fisher_trace(
    model: nn.Module, batch: Batch, draws: int, random: np.random.Generator
) -> dict[str, float | int]:
    """Estimate the trace of the Fisher information and, with the data's labels, of the empirical one.

    Labels are drawn for each example alone, so the error over examples holds what their drawing adds.

    Args:
        model: the network, with running statistics.
        batch: of the examples that stand for all.
        draws: labels drawn from the model for each example.
        random: where they are drawn from.

    Returns:
        A row of a table: `fisher_trace` and `empirical_fisher`, each with its standard error over examples,
        `fisher_standard_error` and `empirical_standard_error` (nats squared per squared unit of weight); and
        `samples`, the number of examples. NaN where the network has diverged.
    """
    by_model, by_data = squared_gradients(model, batch, draws, random)
    row: dict[str, float | int] = {}
    for name, values in (("fisher", by_model.mean(axis=1)), ("empirical", by_data)):
        mean, error = mean_with_error(values)
        row |= {("fisher_trace" if name == "fisher" else "empirical_fisher"): mean}
        row |= {f"{name}_standard_error": error}
    return row | {"samples": len(by_data)}
