"""The state of a dense run along its training, in numbers (Figure 3 of the paper).

Telemetry watches a replay of the run, after the run itself has ended. So watching cannot change what is
watched, the final weights are known from the start, and every distance is taken at once: what is kept is
numbers, never states. Training is deterministic, and the replay is compared with every state that the run
kept.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import nn

from earlyphase.core.masks import Weights
from earlyphase.core.networks.state import gradients_of, prunable_names, state_of
from earlyphase.core.streams import generator
from earlyphase.errors import InvalidInput

ALL = "all"  # the name of all layers together
TRACES = 10  # single weights that are followed
WEIGHT_MEASURES = (
    "mean_magnitude", "sign_changes", "distance_initial", "distance_final", "cosine_initial", "cosine_final",
)  # fmt: skip
GRADIENT_MEASURES = ("gradient_norm", "gradient_mean_abs")
MEASURES = (*WEIGHT_MEASURES, *GRADIENT_MEASURES)

Row = dict[str, str | int | float]


# State -> numbers


def sign_changes(weights: np.ndarray, initial: np.ndarray) -> float:
    """Share of weights whose sign differs from the initial one, in [0, 1]; NaN where one has no sign."""
    if not np.isfinite(weights).all():
        return float("nan")
    return float((np.sign(weights) != np.sign(initial)).mean())


def cosine(weights: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the angle between two vectors, in [-1, 1]; NaN if one is zero."""
    lengths = np.linalg.norm(weights) * np.linalg.norm(other)
    return float(weights @ other / lengths) if lengths else float("nan")


def weight_measures(weights: np.ndarray, initial: np.ndarray, final: np.ndarray) -> tuple[float, ...]:
    """Measure the weights of a layer, or of all: `WEIGHT_MEASURES`.

    Mean of abs(w); share of signs that differ from the initial ones; L2 distance from the initial and
    from the final weights; cosine similarity with both.

    Args:
        weights: float64 (P,).
        initial: the same weights at iteration 0.
        final: the same weights at the end of training.
    """
    return (
        float(np.abs(weights).mean()),
        sign_changes(weights, initial),
        float(np.linalg.norm(weights - initial)),
        float(np.linalg.norm(weights - final)),
        cosine(weights, initial),
        cosine(weights, final),
    )


def gradient_measures(gradient: np.ndarray) -> tuple[float, ...]:
    """L2 norm and mean absolute value of a gradient (P,): `GRADIENT_MEASURES`."""
    return float(np.linalg.norm(gradient)), float(np.abs(gradient).mean())


def flattened(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Each of the arrays called `names` as a float64 vector, and before them all in one as `ALL`."""
    parts = {name: arrays[name].ravel().astype(np.float64) for name in names}
    return {ALL: np.concatenate(list(parts.values()))} | parts


def traced_weights(layers: dict[str, int], seed: int, count: int = TRACES) -> list[tuple[str, int]]:
    """Choose the weights to follow: evenly over the depth, at random within a layer.

    Args:
        layers: name -> number of weights in it.

    Returns:
        Layer and position in it, (count,).
    """
    names = list(layers)
    chosen = [names[index * len(names) // count] for index in range(count)]
    drawn = {
        name: generator(seed, "traced weights", name).choice(layers[name], chosen.count(name), replace=False)
        for name in dict.fromkeys(chosen)
    }
    return [(name, int(position)) for name, positions in drawn.items() for position in positions]


# A run


class Telemetry:
    """Watches the replay of a dense run: `observe` at every yield of `train`; only reads the network.

    For a replay that may be killed, `state` is saved with its progress: a new object that is given it
    back continues as if nothing had happened.
    """

    def __init__(
        self,
        model: nn.Module,
        iterations: Sequence[int],
        kept: Mapping[int, Weights],
        *,
        seed: int,
        exact: bool = True,
    ) -> None:
        """Begin at iteration 0; nothing is seen yet.

        Args:
            model: at iteration 0.
            iterations: as `sampled_iterations` gives them.
            kept: iteration -> state dict that the run kept; the last is that of its end.
            seed: chooses the weights that are traced.
            exact: whether the replay must repeat the kept states bit for bit; if not, a difference is
                printed. False on devices whose results vary from run to run.
        """
        self.iterations = tuple(iterations)
        self.layers = prunable_names(model)
        self._parameters = [name for name, _ in model.named_parameters()]
        self._kept, self._exact = kept, exact
        self._initial = flattened(state_of(model), self.layers)
        self._final = flattened(kept[max(kept)], self.layers)
        self.traced = traced_weights({name: self._initial[name].size for name in self.layers}, seed)
        samples = len(self.iterations)
        self._measures = np.full((samples, 1 + len(self.layers), len(MEASURES)), np.nan)
        self._traces = np.full((samples, TRACES), np.nan)

    def observe(self, iteration: int, model: nn.Module) -> None:
        """See the network after `iteration` steps; it holds the gradient of the step that led there.

        So the gradient at a sampled iteration is read at the next one. At the end of training there is
        none: NaN.

        Raises:
            InvalidInput: the replay is not the run: its state differs from one that was kept.
        """
        if iteration in self._kept:
            check_same(iteration, state_of(model), self._kept[iteration], self._exact)
        before, now = self._sample(iteration - 1), self._sample(iteration)
        if before is not None:
            gradients = gradients_of(model)
            layers = flattened(gradients, self.layers)
            layers[ALL] = flattened(gradients, self._parameters)[ALL]
            for layer, gradient in enumerate(layers.values()):
                self._measures[before, layer, len(WEIGHT_MEASURES) :] = gradient_measures(gradient)
        if now is not None:
            parameters = {name: p.detach().cpu().numpy() for name, p in model.named_parameters()}
            layers = flattened(parameters, self.layers)
            for layer, (name, weights) in enumerate(layers.items()):
                found = weight_measures(weights, self._initial[name], self._final[name])
                self._measures[now, layer, : len(WEIGHT_MEASURES)] = found
            self._traces[now] = [layers[name][position] for name, position in self.traced]

    def _sample(self, iteration: int) -> int | None:
        """Position of a sampled iteration, None for any other."""
        position = bisect_left(self.iterations, iteration)
        return position if iteration in self.iterations[position : position + 1] else None

    @property
    def state(self) -> Weights:
        """What has been seen so far; NaN stands for what has not."""
        return {"measures": self._measures, "traces": self._traces}

    @state.setter
    def state(self, arrays: Weights) -> None:
        self._measures, self._traces = arrays["measures"].copy(), arrays["traces"].copy()

    def rows(self) -> Iterator[Row]:
        """Yield a row per sampled iteration for all layers together, and one per layer.

        `iteration`, `layer` and `MEASURES`. Gradients are those of the mini-batch, without weight decay
        and before momentum; that of all layers is over all parameters, batch norm and biases included.

        Source: Frankle, Schwab & Morcos 2020, Figure 3; which norm of the gradient it shows is not recorded.
        """
        for iteration, sample in zip(self.iterations, self._measures, strict=True):
            for layer, values in zip((ALL, *self.layers), sample, strict=True):
                measured = dict(zip(MEASURES, values.tolist(), strict=True))
                yield {"iteration": iteration, "layer": layer, **measured}

    def traces(self) -> Iterator[Row]:
        """Yield the single weights: `iteration`, `layer`, `position` in it, `weight`."""
        for (layer, position), values in zip(self.traced, self._traces.T, strict=True):
            for iteration, value in zip(self.iterations, values.tolist(), strict=True):
                yield {"iteration": iteration, "layer": layer, "position": position, "weight": value}


def check_same(iteration: int, replayed: Weights, kept: Weights, exact: bool) -> None:
    """Compare a replayed state with the one that the run kept; NaN counts as equal to NaN.

    Raises:
        InvalidInput: they differ and `exact` is set; otherwise the difference is printed.
    """
    if all(np.array_equal(replayed[name], kept[name], equal_nan=True) for name in kept):
        return
    largest = max(float(np.nanmax(np.abs(replayed[name] - kept[name]))) for name in kept)
    if exact:
        raise InvalidInput(
            f"the replay differs from the dense run at iteration {iteration}, by up to {largest:.3g}: that "
            "run was made by another device, processor or version of torch; remove its trajectory and run "
            "Snakemake again, which trains it here"
        )
    print(f"warning: at iteration {iteration} the replay differs by up to {largest:.3g}", flush=True)
