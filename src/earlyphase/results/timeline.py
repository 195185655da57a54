"""Sub-phases of early training, computed from telemetry by stated rules (Figure 2 of the paper)."""

from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.summaries import last_evaluations, t_interval

ALL = "all"  # layers

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

HALF = 0.5  # of the gradient, and of a subspace
MATCHES_WITHIN = 0.005  # accuracy, as a fraction: the tolerance of the paper's claim
EVENTS = RULES | {
    "subspace_formed": "from this measured iteration on, at least half of the squared gradient lies in the "
    "Hessian's top subspace, and the subspace overlaps with that of the next measured iteration by a half",
    "rewinding_matches": "from this k on, tickets at 16.8 % of weights are less than 0.5 points below the "
    "dense network (one-sided 95 % t bound of the difference within seeds)",
    # Later additions, such as the end of the critical period: a rule here, a row in `timeline`.
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


def before_decay(table: DataFrame) -> DataFrame:
    """Rows of all layers together, in time, until the learning rate first falls, which slows all.

    The end of training, which has no gradient, is left out.
    """
    whole = table[table["layer"] == ALL].sort_values(["seed", "iteration"])
    at_end = whole["iteration"] == whole["iteration"].max()
    whole = whole[~(at_end & whole["gradient_norm"].isna() & whole["distance_initial"].notna())]
    return whole[whole["learning_rate"] == whole["learning_rate"].max()]


def boundaries(table: DataFrame) -> DataFrame:
    """Find the boundaries of each seed.

    Args:
        table: telemetry of one network: `seed`, `layer`, `iteration`, `learning_rate`, `gradient_norm` and
            `distance_initial`.

    Returns:
        A row per seed: `seed`, and the iteration of each boundary (NaN for none), in the order of `RULES`.
    """
    runs = before_decay(table).groupby("seed")
    return DataFrame([{"seed": seed, **run_boundaries(run)} for seed, run in runs], columns=["seed", *RULES])


def run_boundaries(run: DataFrame) -> dict[str, float]:
    """Boundaries of one curve: `phase_boundaries` of columns of a table."""
    columns = (run[name].to_numpy() for name in ("iteration", "gradient_norm", "distance_initial"))
    return phase_boundaries(*columns)


# Events that other measurements put on the same axis


def subspace_formed(curvature: DataFrame, pairs: DataFrame) -> DataFrame:
    """Find when the Hessian's top subspace of each seed has formed, by `EVENTS`.

    Args:
        curvature: of one network: `seed`, `iteration`, `gradient_share`.
        pairs: of the same: `seed`, `earlier`, `later`, `overlap`.

    Returns:
        A row per seed: `seed`, `subspace_formed` (NaN where it has not, or the run diverged).
    """
    found = []
    for seed, run in curvature.sort_values("iteration").groupby("seed"):
        overlaps = pairs[pairs["seed"] == seed].set_index(["earlier", "later"])["overlap"]
        times, shares = run["iteration"].tolist(), run["gradient_share"].to_numpy()
        lasting = np.array([overlaps.get(step, np.nan) for step in pairwise(times)])
        holds = (shares[:-1] >= HALF) & (lasting >= HALF)
        first = len(holds) - int(np.argmin(holds[::-1])) if not holds.all() else 0
        formed = times[first] if len(holds) and first < len(holds) else float("nan")
        found.append({"seed": seed, "subspace_formed": float(formed)})
    return DataFrame(found, columns=["seed", "subspace_formed"])


def rewinding_matches(imp: DataFrame, dense: DataFrame, density: float = 0.8**8) -> float:
    """Find the smallest k from which tickets match the dense network, by `EVENTS`; NaN where none does.

    Args:
        imp: tickets of one network: a row per evaluation.
        dense: the dense network, likewise.
        density: of the round that is looked at, which must lie within half a round.
    """
    whole = last_evaluations(dense, ["seed"]).set_index("seed")["accuracy"]
    tickets = last_evaluations(imp, ["seed", "k", "round"])
    densities = tickets.groupby("round")["density"].mean()
    steps = np.log(densities / density).abs() / -np.log(0.8)
    if not len(steps) or steps.min() > 0.5:
        return float("nan")
    at_round = tickets[tickets["round"] == steps.idxmin()].pivot(index="seed", columns="k", values="accuracy")
    matching = float("nan")
    for k in sorted(at_round, reverse=True):
        gap = (whole - at_round[k]).dropna()
        if len(gap) < 2 or t_interval(gap)[1] >= MATCHES_WITHIN:
            break
        matching = float(k)
    return matching


def timeline(tables: dict[str, DataFrame]) -> DataFrame:
    """Put every event of one network on one axis.

    Args:
        tables: `telemetry`; `curvature` with `pairs`, and `imp` with `dense`, where there are any.

    Returns:
        A row per event, in the order of `EVENTS`: `event`; `mean`, `std` (sample), `low` and `high`, the
        smallest and largest, in iterations over the `n` seeds in which it was found; `not_found`, the
        other seeds; `rule`. An event that is found from all seeds together has no spread.
    """
    found = boundaries(tables["telemetry"]).set_index("seed")
    if "curvature" in tables:
        formed = subspace_formed(tables["curvature"], tables["pairs"]).set_index("seed")
        found = found.join(formed, how="outer")
    rows = [event_row(name, found[name]) for name in found]
    if "imp" in tables:
        imp, dense = (table[table["task"] == "supervised"] for table in (tables["imp"], tables["dense"]))
        k, seeds = rewinding_matches(imp, dense), imp["seed"].nunique()
        one = {"event": "rewinding_matches", "mean": k, "std": np.nan, "low": k, "high": k}
        missing = bool(np.isnan(k))
        rows.append(one | {"n": 0 if missing else seeds, "not_found": seeds if missing else 0})
    return DataFrame(rows).assign(rule=lambda table: table["event"].map(EVENTS))


def event_row(name: str, times: Series) -> dict:
    """Summarise the iteration of an event over seeds; NaN is a seed in which it was not found."""
    known = times.dropna()
    summary = {"mean": known.mean(), "std": known.std(), "low": known.min(), "high": known.max()}
    return {"event": name, **summary, "n": len(known), "not_found": len(times) - len(known)}
