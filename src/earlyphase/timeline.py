"""Sub-phases of early training, computed from telemetry by stated rules (Figure 2 of the paper)."""

import numpy as np
from pandas import DataFrame

SMOOTHING = 0.25  # half the window of the moving average, in the logarithm of iteration + 1
DESCENT = 0.5  # share of the gradient's fall after which the first burst is over
RISE = 0.9  # share of the gradient's rise after which the plateau has begun
SLOWING = 0.5  # share of its highest speed at which motion counts as slow

RULES = {  # boundary -> how it is found
    "burst_end": "the gradient norm has made half of its fall to the minimum",
    "gradient_minimum": "the gradient norm is smallest",
    "plateau_start": "the gradient norm has made 90 % of its rise from the minimum to the plateau, "
    "its mean over the later half of the window",
    "deceleration": "the speed away from the initial weights has fallen to half of its highest value "
    "after the minimum",
}


def smoothed(iterations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average over the samples nearby on a logarithmic axis, within a factor of e^0.25 in iteration + 1.

    So the window grows with time, as the intervals between samples do: single samples up to iteration 2,
    three to thirty from 4 on in the paper's sampling. A minimum with one steep side moves away from that
    side, by less than the factor.

    Args:
        iterations: (S,), rising.
        values: (S,).
    """
    axis = np.log1p(iterations)
    first = np.searchsorted(axis, axis - SMOOTHING)
    stop = np.searchsorted(axis, axis + SMOOTHING, side="right")
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[stop] - sums[first]) / (stop - first)


def first_from(start: int, condition: np.ndarray) -> int | None:
    """Position of the first True at or after `start`, or None."""
    found = np.flatnonzero(condition[start:])
    return start + int(found[0]) if len(found) else None


def plateau_level(iterations: np.ndarray, gradient: np.ndarray) -> float:
    """Mean of the gradient norm over the later half of the window, in iterations."""
    return float(gradient[iterations >= iterations[-1] / 2].mean())


def speed(iterations: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Smoothed slope of a distance, per iteration: (S,)."""
    return smoothed(iterations, np.gradient(distances, iterations))


def phase_boundaries(iterations: np.ndarray, gradient: np.ndarray, distances: np.ndarray) -> dict[str, float]:
    """Find the boundaries of one run by `RULES`.

    Args:
        iterations: (S,), rising; all before the learning rate first falls.
        gradient: norms of the mini-batch gradient, (S,).
        distances: from the initial weights, (S,).

    Returns:
        Boundary -> iteration; NaN where the rule finds none. The first sample is no minimum, nor is one
        whose average reaches past the last sample; without a minimum there are no boundaries.
    """
    found = dict.fromkeys(RULES, float("nan"))
    if len(iterations) < 2 or not np.isfinite([*gradient, *distances]).all():
        return found
    curve, motion = smoothed(iterations, gradient), speed(iterations, distances)
    low = int(curve.argmin())
    if low == 0 or np.log1p(iterations[low]) + SMOOTHING > np.log1p(iterations[-1]):
        return found
    level = plateau_level(iterations, gradient)
    fastest = low + int(motion[low:].argmax())
    positions = {
        "burst_end": first_from(0, curve <= curve[0] + DESCENT * (curve[low] - curve[0])),
        "gradient_minimum": low,
        "plateau_start": first_from(low, curve >= curve[low] + RISE * (level - curve[low])),
        "deceleration": first_from(fastest, motion <= SLOWING * motion[fastest]),
    }
    return found | {
        name: float(iterations[position]) for name, position in positions.items() if position is not None
    }


def boundaries(table: DataFrame, until: float) -> DataFrame:
    """Find the boundaries of each seed.

    Args:
        table: telemetry of one network: `seed`, `layer`, `iteration`, `gradient_norm` and
            `distance_initial`; only rows of all layers together are used.
        until: end of the window, itself left out; not after the learning rate first falls, which slows
            everything.

    Returns:
        A row per seed: `seed`, and the iteration of each boundary (NaN for none), in the order of `RULES`.
    """
    window = table[(table["layer"] == "all") & (table["iteration"] < until)].sort_values("iteration")
    return DataFrame([{"seed": seed, **run_boundaries(run)} for seed, run in window.groupby("seed")])


def mean_boundaries(table: DataFrame, until: float) -> dict[str, float]:
    """Find the boundaries of the mean curve over seeds, which is less noisy; arguments as `boundaries`."""
    window = table[(table["layer"] == "all") & (table["iteration"] < until)]
    mean = window.groupby("iteration")[["gradient_norm", "distance_initial"]].mean()
    return run_boundaries(mean.reset_index())


def run_boundaries(run: DataFrame) -> dict[str, float]:
    """Boundaries of one curve: `phase_boundaries` of columns of a table."""
    columns = (run[name].to_numpy() for name in ("iteration", "gradient_norm", "distance_initial"))
    return phase_boundaries(*columns)
