"""The state of a dense run along its training, in numbers (Figure 3 of the paper).

While the run trains, `Telemetry` keeps the prunable weights at sampled iterations and the size of the
gradients there. Everything else is computed when it has ended, because distances to the final weights
need them: exact, for the memory of one float32 vector a sample (ResNet-20 at the paper's 167 samples:
181 MB).

A vector holds all prunable weights, flat, layer after layer: (P,).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from earlyphase.errors import InvalidInput
from earlyphase.masks import Weights
from earlyphase.models import prunable_names
from earlyphase.streams import generator

ALL = "all"  # the name of all layers together
TRACES = 10  # single weights that are followed


# When


def sampled_iterations(schedule: Sequence[Sequence[float]], iterations: int) -> tuple[int, ...]:
    """List the iterations at which a run is sampled: 0, those of `schedule`, and the last.

    Args:
        schedule: pairs of (until, every): up to `until`, one sample every so many iterations. An integer
            is iterations, a float a fraction of training. What lies past the end is left out.
        iterations: length of training.

    Raises:
        InvalidInput: `until` does not rise, or `every` is not positive.

    The paper's range: [[50, 1], [500, 10], [4000, 50]].
    """
    sampled, start = {0, iterations}, 0
    for until, every in schedule:
        stop, step = as_iterations(until, iterations), as_iterations(every, iterations)
        if until <= 0 or every <= 0 or stop < start:
            raise InvalidInput(
                f"telemetry schedule: [{until}, {every}] does not follow iteration {start}; "
                "each pair is [until, every], both positive, until rising"
            )
        sampled.update(range(start, min(stop, iterations) + 1, max(step, 1)))
        start = stop
    return tuple(sorted(sampled))


def as_iterations(time: float, iterations: int) -> int:
    """Read a time of the configuration: an integer is iterations, a float a fraction of training."""
    return round(time * iterations) if isinstance(time, float) else time


# State -> numbers


def mean_magnitude(weights: np.ndarray) -> float:
    """Mean of abs(w)."""
    return float(np.abs(weights).mean())


def sign_changes(weights: np.ndarray, initial: np.ndarray) -> float:
    """Share of weights whose sign differs from the initial one, in [0, 1]."""
    return float((np.sign(weights) != np.sign(initial)).mean())


def distance(weights: np.ndarray, other: np.ndarray) -> float:
    """L2 norm of the difference."""
    return float(np.linalg.norm(weights - other))


def cosine(weights: np.ndarray, other: np.ndarray) -> float:
    """Cosine of the angle between two vectors, in [-1, 1]; NaN if one is zero."""
    lengths = np.linalg.norm(weights) * np.linalg.norm(other)
    return float(weights @ other / lengths) if lengths else float("nan")


def gradient_sizes(gradients: Weights, layers: Sequence[str]) -> np.ndarray:
    """L2 norm and mean absolute value of a gradient: float64 (1 + layers, 2).

    Args:
        gradients: parameter name -> array.
        layers: names of the parameters that get a row of their own; the first row is all parameters.
    """
    flat = {name: array.ravel().astype(np.float64) for name, array in gradients.items()}
    parts = [np.concatenate(list(flat.values())), *(flat[name] for name in layers)]
    return np.array([[np.linalg.norm(part), np.abs(part).mean()] for part in parts])


# A run


class Telemetry:
    """Keeps what the table of one dense run is computed from; only reads the network.

    Call `observe` at every yield of `train`, and for a run that may be killed save `state` with its
    progress: a new object that is given it back goes on as if nothing had happened.
    """

    def __init__(self, model: nn.Module, iterations: Sequence[int]) -> None:
        """Nothing is seen yet.

        Args:
            iterations: as `sampled_iterations` gives them.
        """
        parameters = dict(model.named_parameters())
        self.iterations = tuple(iterations)
        self.layers = {name: parameters[name].numel() for name in prunable_names(model)}
        self._weights = np.empty((len(iterations), sum(self.layers.values())), np.float32)
        self._gradients = np.full((len(iterations), 1 + len(self.layers), 2), np.nan)
        self._seen = 0  # samples whose weights are kept

    def observe(self, iteration: int, model: nn.Module) -> None:
        """See the network after `iteration` steps; it holds the gradient of the step that led there.

        So the gradient at a sampled iteration is read at the next one. The last has none: NaN.
        """
        if self._is_sampled(iteration - 1):
            gradients = {name: p.grad.cpu().numpy() for name, p in model.named_parameters()}
            self._gradients[self._seen - 1] = gradient_sizes(gradients, list(self.layers))
        if self._is_sampled(iteration):
            parameters = dict(model.named_parameters())
            parts = [parameters[name].detach().cpu().numpy().ravel() for name in self.layers]
            np.concatenate(parts, out=self._weights[self._seen])
            self._seen += 1

    def _is_sampled(self, iteration: int) -> bool:
        position = bisect_left(self.iterations, iteration)
        return position < len(self.iterations) and self.iterations[position] == iteration

    @property
    def state(self) -> Weights:
        """What has been kept so far, as arrays; views, to be saved before the next step."""
        return {"weights": self._weights[: self._seen], "gradients": self._gradients[: self._seen]}

    @state.setter
    def state(self, arrays: Weights) -> None:
        self._seen = len(arrays["weights"])
        self._weights[: self._seen] = arrays["weights"]
        self._gradients[: self._seen] = arrays["gradients"]

    def rows(self) -> Iterator[dict[str, str | int | float]]:
        """Rows of the telemetry table, once the run has ended: as `state_rows`."""
        return state_rows(self.iterations, self._weights, self._gradients, self.layers)

    def traces(self, seed: int) -> Iterator[dict[str, str | int | float]]:
        """Rows of the table of single weights: as `trace_rows`."""
        return trace_rows(self.iterations, self._weights, self.layers, seed)


def state_rows(
    iterations: Sequence[int], weights: np.ndarray, gradients: np.ndarray, layers: dict[str, int]
) -> Iterator[dict[str, str | int | float]]:
    """Reduce a run to a table: a row for all layers together and one per layer, at each iteration.

    Args:
        iterations: those sampled, (S,); the first is 0, the last the end of training.
        weights: (S, P).
        gradients: as `gradient_sizes`, (S, 1 + layers, 2).
        layers: name -> weights in it, in the order of the vector.

    Yields:
        `iteration`, `layer`; `mean_magnitude`; `sign_changes`, the share against the initial signs;
        `distance_initial`, `distance_final`, `cosine_initial`, `cosine_final`; `gradient_norm` and
        `gradient_mean_abs`, of the mini-batch gradient without weight decay, where the row for all
        layers is over all parameters, batch norm and biases included.

    Source: Frankle, Schwab & Morcos 2020, Figure 3; which norm of the gradient it shows is not recorded.
    """
    stops = np.cumsum(list(layers.values()))
    parts = {ALL: slice(None)} | {
        name: slice(stop - size, stop) for (name, size), stop in zip(layers.items(), stops, strict=True)
    }
    initial, final = weights[0].astype(np.float64), weights[-1].astype(np.float64)
    for iteration, sample, sizes in zip(iterations, weights, gradients, strict=True):
        current = sample.astype(np.float64)
        for (layer, part), (norm, mean_abs) in zip(parts.items(), sizes, strict=True):
            yield {
                "iteration": iteration,
                "layer": layer,
                "mean_magnitude": mean_magnitude(current[part]),
                "sign_changes": sign_changes(current[part], initial[part]),
                "distance_initial": distance(current[part], initial[part]),
                "distance_final": distance(current[part], final[part]),
                "cosine_initial": cosine(current[part], initial[part]),
                "cosine_final": cosine(current[part], final[part]),
                "gradient_norm": float(norm),
                "gradient_mean_abs": float(mean_abs),
            }


def traced_weights(layers: dict[str, int], seed: int, count: int = TRACES) -> list[tuple[str, int]]:
    """Choose the weights to follow: evenly over the depth, at random within a layer.

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


def trace_rows(
    iterations: Sequence[int], weights: np.ndarray, layers: dict[str, int], seed: int
) -> Iterator[dict[str, str | int | float]]:
    """Follow single weights: `iteration`, `layer`, `position` in it, `weight`; arguments as `state_rows`."""
    starts = dict(zip(layers, np.cumsum([0, *layers.values()]).tolist(), strict=False))
    for layer, position in traced_weights(layers, seed):
        for iteration, value in zip(iterations, weights[:, starts[layer] + position], strict=True):
            yield {"iteration": iteration, "layer": layer, "position": position, "weight": float(value)}
