"""The edge of stability: the Hessian's largest eigenvalue at many iterations of one run.

Gradient descent at the rate eta oscillates along an eigenvector of the Hessian, and moves away along it once
eta times the eigenvalue exceeds 2, or 2 (1 + momentum) with heavy-ball momentum. Training nevertheless goes
on, near that edge. From one iteration to the next the eigenvector turns by little; so each solve starts where
the one before it ended, and takes a few products with the Hessian.

Source: Cohen, Kaur, Li, Kolter & Talwalkar 2021; the warm start as in Kalra & Barkeshli 2023.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import nn

from earlyphase.core.curvature import Diverged, SampleLoss
from earlyphase.core.images import Batch
from earlyphase.core.masks import Weights
from earlyphase.core.networks.state import state_of
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.streams import generator
from earlyphase.core.telemetry import check_same
from earlyphase.errors import InvalidInput

MOST_PRODUCTS = 200  # of a solve; seven on average in the default study's network, fourteen at first
TINY = 1e-30  # in place of the length of a gradient that is zero
COLUMNS = ("eigenvalue", "residual", "products", "loss")


def edge_of(settings: TrainingSettings) -> float:
    """Learning rate times eigenvalue from which on an optimiser is unstable on a quadratic function.

    Returns:
        2 (1 + momentum) of SGD with heavy-ball momentum; NaN for an optimiser whose edge is none of the
        Hessian's alone, such as Adam.
    """
    entry = settings.optimizer
    return 2 * (1 + entry["momentum"]) if entry["function"] == "sgd" else float("nan")


def largest_eigenpair(
    product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, *, tolerance: float
) -> tuple[float, np.ndarray, float, int]:
    """The algebraically largest eigenvalue of a symmetric matrix, by Lanczos' method from a given vector.

    Args:
        product: vector (d,) -> matrix times vector.
        start: (d,); an eigenvector that it has no part of is not found.
        tolerance: residual, relative to the eigenvalue, at which it ends.

    Returns:
        The eigenvalue, its eigenvector of length 1, the residual norm(H v - value v) / abs(value), and the
        number of products.

    Raises:
        InvalidInput: the residual is still larger after `MOST_PRODUCTS`.
    """
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    for products in range(1, min(MOST_PRODUCTS, len(start)) + 1):
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        known = np.stack(basis)
        for _ in range(2):  # once leaves what rounding has left of the others
            image = image - known.T @ (known @ image)
        length = float(np.linalg.norm(image))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        residual = length * abs(vectors[-1, -1]) / abs(values[-1])
        if residual <= tolerance:
            return float(values[-1]), known.T @ vectors[:, -1], float(residual), products
        beside.append(length)
        basis.append(image / length)
    raise InvalidInput(
        f"the largest eigenvalue has a residual of {residual:.2g} of it after {products} products with the "
        f"Hessian; raise the tolerance ({tolerance}) or the sample size"
    )


class Sharpness:
    """Watches the replay of a dense run: `observe` at every yield of `train`; only reads the network.

    As with `Telemetry`, `state` is saved with the progress of a replay that may be killed.
    """

    def __init__(
        self, iterations: Sequence[int], kept: Mapping[int, Weights], sample: Batch, *, seed: int,
        tolerance: float, exact: bool = True,
    ) -> None:  # fmt: skip
        """Begin at iteration 0; nothing is seen yet.

        Args:
            iterations: at which the eigenvalue is measured, rising.
            kept: iteration -> state dict that the run kept, which the replay must repeat.
            sample: images whose mean loss it is measured of.
            seed: of the vector that the first solve starts from.
            tolerance: as `largest_eigenpair`.
            exact: as of `Telemetry`.
        """
        self.iterations, self._kept, self._sample = tuple(iterations), kept, sample
        self._seed, self._tolerance, self._exact = seed, tolerance, exact
        self._found = np.full((len(self.iterations), len(COLUMNS)), np.nan)
        self._vector = np.zeros(0)  # none yet

    def observe(self, iteration: int, model: nn.Module) -> None:
        """Measure the network after `iteration` steps, if that is asked for; NaN where it has diverged.

        The loss is the one that SGD descends, without weight decay: batch norm normalises the sample by the
        sample's own statistics. The gradient, which lies mostly in the span of the largest eigenvectors, is
        added to the vector that a solve starts from, so that one which has overtaken the last is not missed.

        Raises:
            InvalidInput: the replay is not the run, or no eigenvector is found.
        """
        if iteration in self._kept:
            check_same(iteration, state_of(model), self._kept[iteration], self._exact)
        if iteration not in self.iterations:
            return
        try:
            loss = SampleLoss(model, self._sample, statistics="batch", batch=len(self._sample[1]))
        except Diverged:
            return
        if not len(self._vector):
            drawn = generator(self._seed, "edge of stability").standard_normal(len(loss.gradient))
            self._vector = drawn / np.linalg.norm(drawn)
        start = self._vector + loss.gradient / max(float(np.linalg.norm(loss.gradient)), TINY)
        value, self._vector, residual, products = largest_eigenpair(
            loss.hessian_vector_product, start, tolerance=self._tolerance
        )
        self._found[self.iterations.index(iteration)] = value, residual, products, loss.value

    @property
    def state(self) -> Weights:
        """What has been seen so far, and where the next solve starts."""
        return {"found": self._found, "vector": self._vector}

    @state.setter
    def state(self, arrays: Weights) -> None:
        self._found, self._vector = arrays["found"].copy(), arrays["vector"].copy()

    def rows(self, settings: TrainingSettings) -> list[dict[str, float]]:
        """A row per measured iteration.

        Returns:
            `iteration`, `learning_rate`, `edge`, as of `edge_of`, and `COLUMNS`: `eigenvalue` (nats per
            squared unit of weight), its `residual`, relative, `products` with the Hessian, `loss` (nats).
        """
        return [
            {
                "iteration": iteration,
                "learning_rate": settings.learning_rate_at(iteration),
                "edge": edge_of(settings.at(iteration)),
                **dict(zip(COLUMNS, values.tolist(), strict=True)),
            }
            for iteration, values in zip(self.iterations, self._found, strict=True)
        ]
