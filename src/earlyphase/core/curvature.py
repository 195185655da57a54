"""The Hessian's top subspace, and how much of the gradient lies in it.

The loss is the mean cross-entropy on a fixed, unaugmented sample, without weight decay, over all
parameters. Its Hessian is never formed: an eigen-solver asks for Hessian-vector products.

A vector holds all parameters, flat, in the order of `named_parameters`: (d,).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from earlyphase.core.images import Batch
from earlyphase.core.precision import full_precision
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.stability import estimate_statistics
from earlyphase.core.streams import generator
from earlyphase.core.subspaces import random_subspace, share_in
from earlyphase.core.tasks import Task, sample_at, sample_positions
from earlyphase.errors import InvalidInput

MINIBATCHES = 10  # mini-batches whose gradients are compared with the top subspace
SAMPLE_BATCH = 500  # images whose double-backward graph is in memory at once
RESTARTS = 100  # the most restarts of the eigen-solver; a solve takes two to five


@dataclass(frozen=True)
class Eigenpairs:
    """The largest eigenvalues of a symmetric matrix, in falling order, and how well they are known."""

    values: np.ndarray  # (k,)
    vectors: np.ndarray  # (d, k), orthonormal columns
    residuals: np.ndarray  # (k,), norm(H v - value v) / abs(value)
    products: int  # with the matrix, those that measured the residuals included


# The loss


def fixed_sample(task: Task, size: int, iteration: int) -> Batch:
    """Choose training images for good, the same for all seeds, as the network sees them at an iteration.

    Raises:
        InvalidInput: the set has fewer.
    """
    return sample_at(task, size, iteration, sample_stream())


def sample_stream() -> np.random.Generator:
    """The stream that the sample is drawn from: the same for all seeds."""
    return generator(0, "curvature sample")


def other_minibatches(
    task: Task, size: int, settings: TrainingSettings, iteration: int, seed: int
) -> Iterator[Batch]:
    """Yield `MINIBATCHES` mini-batches of training images that are not in the fixed sample.

    So what is measured on them is not measured on the images that the Hessian was computed on. They are
    augmented as in training at the iteration, and drawn from a stream of their own for each seed and
    iteration. There are none where the sample leaves fewer than two images.

    Args:
        size: number of images of the fixed sample.
        iteration: the clock.
        seed: the replicate.
    """
    drawn = sample_positions(task.train, size, sample_stream())
    others = np.setdiff1d(np.arange(len(task.train)), drawn)
    order = int(generator(seed, "curvature mini-batches", iteration).integers(2**62, 2**63))
    batch_at = replace(task, train=task.train.chosen(others)).batches(
        order, settings.batch_size, lambda _: settings.augmentation_at(iteration)
    )
    for number in range(MINIBATCHES if len(others) > 1 else 0):
        yield batch_at(number)


class FixedNorm(nn.Module):
    """Batch norm in eval mode as the affine map it is, which is cheaper to differentiate twice."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None])


def fix_norms(model: nn.Module) -> None:
    """Replace batch norm by what it is in eval mode, in place; parameters keep their names and order."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FixedNorm(child))


def forget_statistics(model: nn.Module) -> None:
    """Have batch norm normalise each batch by its own statistics and record none, in place."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None


def prepared(model: nn.Module, sample: Batch, statistics: str, batch: int) -> nn.Module:
    """Copy a network so that it normalises as `SampleLoss` says.

    Raises:
        InvalidInput: "batch" statistics of a sample that is not one batch, or unknown statistics.
    """
    copied = deepcopy(model)
    if statistics == "batch":
        images, _ = sample
        if len(images) > batch:
            raise InvalidInput(
                f"statistics 'batch' are of the whole sample at once, but it has {len(images)} images "
                f"and a batch {batch}"
            )
        forget_statistics(copied)
        return copied.train()
    if statistics == "sample":
        estimate_statistics(copied, sample[0].to(next(copied.parameters()).dtype), nullcontext)
    elif statistics not in ("running", "none"):
        raise InvalidInput(f"unknown statistics {statistics!r} (known: batch, none, running, sample)")
    fix_norms(copied)
    return copied.eval()


def flatten(tensors: Sequence[torch.Tensor]) -> np.ndarray:
    """Lay tensors out in one float64 vector."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu().numpy().astype(np.float64)


def parameters_of(model: nn.Module) -> np.ndarray:
    """All parameters as a float64 vector (d,)."""
    return flatten(list(model.parameters()))


class Diverged(InvalidInput):
    """A weight, or the loss, of the network is not finite."""


class SampleLoss:
    """Mean cross-entropy (nats) on a sample as a function of the parameters, to second order.

    Computed in the parameters' own precision. The graph of the gradient is kept between products where
    the sample is one batch, and built anew for each product where it is larger.

    The mean and variance that batch norm subtracts and divides by decide which function this is:

    * "running": eval mode, with the running averages of training. They lag some ten iterations behind
      the weights; where these move fast, this is another network than the one that trains.
    * "sample": eval mode, with averages over the sample at these very weights.
    * "batch": train mode, the sample being one batch, so that the statistics depend on the weights: the
      function that SGD descends, in which the length of a convolution's weights does not matter.
    * "none": of a network without batch norm, in which the other three are one and the same function.

    "sample" and "batch" agree in the loss, and differ in its derivatives.

    Attributes:
        value: the loss.
        gradient: float64 (d,).
    """

    def __init__(
        self, model: nn.Module, sample: Batch, *, statistics: str = "running", batch: int = SAMPLE_BATCH
    ) -> None:
        """Copy `model` and evaluate it.

        Raises:
            Diverged: a weight or the loss is not finite.
            InvalidInput: "batch" statistics of more than one batch.
        """
        if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
            raise Diverged("weights are not finite: the training diverged; lower its learning rate")
        self._model = prepared(model, sample, statistics, batch)
        self._parameters = list(self._model.parameters())
        self._sample, self._batch, self._size = sample, batch, len(sample[1])
        self._kept = list(self._terms()) if self._size <= batch else None
        self.value, self.gradient = 0.0, np.zeros(sum(p.numel() for p in self._parameters))
        for loss, gradients in self._kept or self._terms():
            self.value += loss
            self.gradient += flatten(gradients)
        if not np.isfinite(self.value) or not np.isfinite(self.gradient).all():
            raise Diverged(f"the loss on the curvature sample is {self.value}: the training diverged")

    def _terms(self) -> Iterator[tuple[float, tuple[torch.Tensor, ...]]]:
        """Each batch's part of the loss, and of the gradient with its graph."""
        parts = (part.split(self._batch) for part in self._sample)
        for inputs, labels in zip(*parts, strict=True):
            with full_precision():
                logits = self._model(inputs.to(self._parameters[0].dtype))
                loss = F.cross_entropy(logits, labels, reduction="sum") / self._size
                gradients = torch.autograd.grad(loss, self._parameters, create_graph=True)
            yield loss.item(), gradients

    def hessian_vector_product(self, vector: np.ndarray) -> np.ndarray:
        """Hessian-vector product: float64 (d,), by backpropagation through the gradient."""
        first = self._parameters[0]
        parts = torch.from_numpy(vector.ravel()).to(first).split([p.numel() for p in self._parameters])
        directions = [part.view(p.shape) for part, p in zip(parts, self._parameters, strict=True)]
        product = np.zeros(len(self.gradient))
        for _, gradients in self._kept or self._terms():
            with full_precision():
                product += flatten(
                    torch.autograd.grad(
                        gradients, self._parameters, directions, retain_graph=self._kept is not None
                    )
                )
        return product


def training_gradient(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Gradient that SGD follows on a mini-batch, before weight decay: float64 (d,).

    Batch norm normalises the mini-batch by its own statistics, as in training, whatever statistics the
    Hessian is computed with. `model` stays as it is: a copy records running statistics, and is forgotten.

    Args:
        model: the network.
        images: (B, C, H, W), augmented as in training.
        labels: (B,).
    """
    copied = deepcopy(model).train()
    parameters = list(copied.parameters())
    with full_precision():
        loss = F.cross_entropy(copied(images.to(parameters[0].dtype)), labels)
        return flatten(torch.autograd.grad(loss, parameters))


# Its eigenvectors


def top_eigenpairs(
    product: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    count: int,
    *,
    tolerance: float,
    held: int | None = None,
) -> Eigenpairs:
    """Eigenpairs of the `count` largest eigenvalues: largest algebraically, not in modulus.

    Args:
        product: vector (d,) -> matrix times vector, of a symmetric matrix.
        start: vector (d,) that the solver starts from.
        tolerance: residual at which an eigenpair counts as found.
        held: Lanczos vectors that the solver holds, more than `count`; None for its own choice, 20 or more.
            With few a solve that starts near the answer ends after few products.

    Raises:
        InvalidInput: there are not so many, or the solver did not find them.

    Source: ARPACK's implicitly restarted Lanczos method (Lehoucq, Sorensen & Yang 1998).
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # slow to import

    dimension = len(start)
    if not 0 < count < dimension:
        raise InvalidInput(f"{count} eigenvectors of a Hessian of {dimension} dimensions")
    calls = 0

    def counted(vector: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return product(vector)

    matrix = LinearOperator((dimension, dimension), matvec=counted, dtype=np.float64)
    options = {"which": "LA", "v0": start, "ncv": held, "tol": tolerance, "maxiter": RESTARTS}
    try:
        values, vectors = eigsh(matrix, count, **options)
    except ArpackNoConvergence as failure:
        raise InvalidInput(
            f"{len(failure.eigenvalues)} of {count} eigenvectors found after {calls} Hessian-vector "
            f"products; raise the tolerance ({tolerance}) or the sample size"
        ) from None
    values, vectors = values[::-1], vectors[:, ::-1]
    images = np.stack([counted(vector) for vector in vectors.T], axis=1)
    residuals = np.linalg.norm(images - vectors * values, axis=0) / np.abs(values)
    return Eigenpairs(values, vectors, residuals, calls)


def measure(
    loss: SampleLoss,
    displacement: np.ndarray,
    minibatches: Sequence[np.ndarray],
    *,
    count: int,
    seed: int,
    tolerance: float,
) -> tuple[dict[str, float | int], Eigenpairs]:
    """Measure the curvature at one state of a network.

    Args:
        displacement: parameters less the initial ones, (d,).
        minibatches: gradients that SGD follows on mini-batches, (d,) each, as of `training_gradient`.
        count: eigenvectors, as many as classes.
        seed: of the start vector and of the random subspace.
        tolerance: as `top_eigenpairs`.

    Returns:
        A row of a table, and the eigenpairs. In the row: `loss` (nats); `gradient_norm`; `gradient_share`,
        `minibatch_share` and `displacement_share`, of their squared lengths in the top subspace: of the
        mini-batches the mean share, NaN without any, and NaN for a displacement of zero; `random_share`, of
        the gradient in a random subspace, and `chance`, its expectation k / d; `residual`, the largest;
        `products`, with the Hessian.
    """
    dimension = len(loss.gradient)
    start = generator(seed, "eigenvectors").standard_normal(dimension)
    pairs = top_eigenpairs(loss.hessian_vector_product, start, count, tolerance=tolerance)
    shares = [share_in(pairs.vectors, gradient) for gradient in minibatches]
    row = {
        "loss": loss.value,
        "gradient_norm": float(np.linalg.norm(loss.gradient)),
        "gradient_share": share_in(pairs.vectors, loss.gradient),
        "minibatch_share": float(np.mean(shares)) if shares else float("nan"),
        "displacement_share": share_in(pairs.vectors, displacement),
        "random_share": share_in(random_subspace(dimension, count, seed), loss.gradient),
        "chance": count / dimension,
        "residual": float(pairs.residuals.max()),
        "products": pairs.products,
    }
    return row, pairs
