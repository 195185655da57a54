"""The edge of stability: the Hessian's largest eigenvalue at many iterations of one run.

Gradient descent at the rate eta oscillates along an eigenvector of the Hessian, and moves away along it once
eta times the eigenvalue exceeds 2, or 2 (1 + momentum) with heavy-ball momentum. Training nevertheless goes
on, near that edge. From one iteration to the next the eigenvector turns by little; so each solve starts where
the one before it ended, and takes about nine products with the Hessian.

Source: Cohen, Kaur, Li, Kolter & Talwalkar 2021; the warm start as in Kalra & Barkeshli 2023.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from earlyphase.core.curvature import Diverged, SampleLoss, top_eigenpairs
from earlyphase.core.images import Batch
from earlyphase.core.masks import Weights
from earlyphase.core.networks.state import state_of
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.streams import generator
from earlyphase.core.telemetry import check_same

HELD = 6  # Lanczos vectors of a solve, which takes no fewer products; with fewer vectors it restarts often
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
            tolerance: as `top_eigenpairs`.
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
            InvalidInput: the replay is not the run, or the solver does not find the eigenvector.
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
        pairs = top_eigenpairs(loss.hessian_vector_product, start, 1, tolerance=self._tolerance, held=HELD)
        self._vector = pairs.vectors[:, 0]
        found = pairs.values[0], pairs.residuals[0], pairs.products, loss.value
        self._found[self.iterations.index(iteration)] = found

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
