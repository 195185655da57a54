"""Sub-phases of early training, computed from telemetry by stated rules (Figure 2 of the paper)."""

from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series, isna

from earlyphase.results.deficits import period_end
from earlyphase.results.pretraining import RULE, matching_durations
from earlyphase.results.stability import RULE as STABILITY_RULE
from earlyphase.results.stability import stable_from, ticket_round
from earlyphase.results.summaries import Tables, last_evaluations, nearest_round, onset, t_interval

ALL = "all"  # layers

SMOOTHING = 0.25  # half the window of the moving average, in the logarithm of iteration + 1
DESCENT = 0.5  # share of the gradient's fall after which the first burst is over
RISE = 0.9  # share of the gradient's rise after which the plateau has begun
SLOWING = 0.5  # share of its highest speed at which motion counts as slow

RULES = {  # boundary -> how it is found
    "burst_end": "the gradient norm has made half of its fall to the minimum",
    "gradient_minimum": "the gradient norm is smallest",
    "plateau_start": "the gradient norm has made 90 % of its rise from the minimum to the plateau, "
    "its mean over the later half of the window in iterations",
    "deceleration": "the speed away from the initial weights has fallen to half of its highest value "
    "after the minimum",
}

HALF = 0.5  # of the gradient, and of a subspace
SLOW = 0.1  # share of its highest velocity at which the tangent kernel counts as slow
MATCHES_WITHIN = 0.005  # accuracy, as a fraction: the tolerance of the paper's claim
EVENTS = RULES | {
    "subspace_formed": "from then on, at least half of the squared gradient lies in the Hessian's top "
    "subspace, and the subspace overlaps with that of the next measured iteration by a half. `low` and "
    "`high` are over all seeds, and `mean` is the mean of the first times at which it had formed",
    "rewinding_matches": "from this k on, tickets at 16.8 % of weights are less than 0.5 points below the "
    "dense network (95 % t interval of the difference within seeds)",
    "critical_period_over": "the first onset from which on a deficit in a window of fixed length costs less "
    "than 0.5 points of final accuracy (95 % t interval of the loss within seeds); the deficit is "
    "blur where it was run",
    "dense_stable": STABILITY_RULE,
    "tickets_stable": f"{STABILITY_RULE}; of tickets at 16.8 % of weights, or the nearest density measured",
    "kernel_slow": "from this measured time on, the tangent kernel changes at most a tenth as fast as at its "
    "fastest, by the mean over seeds",
    # Later additions: a rule here, a row in `timeline`.
}
PRETRAINING_MATCHES = "pretraining_matches"  # an event for each pretraining: `pretraining_matches: rotation`
LABELS = {  # event -> what it is called; `label_of` for those of pretraining
    "burst_end": "first burst over",
    "gradient_minimum": "gradient smallest",
    "plateau_start": "gradient on its plateau",
    "deceleration": "weights slow down",
    "subspace_formed": "Hessian subspace formed",
    "rewinding_matches": "smallest k that matches dense",
    "dense_stable": "smallest k of a stable network",
    "tickets_stable": "smallest k of stable tickets",
    "critical_period_over": "critical period over",
    "kernel_slow": "tangent kernel slow",
}
PRETRAINED = {"pretrained_dense", "pretrained_imp", "imp"}  # the tables that it needs


def label_of(event: str) -> str:
    """Return what an event is called where people read of it."""
    kind, _, name = event.partition(": ")
    if kind == PRETRAINING_MATCHES:
        return f"shortest pretraining that matches: {name.replace('_', ' ')}"
    return LABELS.get(event, event)


def known_to_the_grid(events: DataFrame | Series) -> Series | bool:
    """Tell whether an event, or each of several, is known to lie between two measured times only."""
    return isna(events["std"]) & (events["low"] < events["high"])


def window_means(
    iterations: np.ndarray, values: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> np.ndarray:
    """Average over time, from `start` to `stop`, the line that joins the samples.

    So each sample counts by the time it stands for, however uneven the sampling: of a linear function the
    average is exactly its value in the middle.

    Args:
        iterations: (S,), rising, two or more.
        values: (S,).
        start: of each window, (W,), within the samples; before `stop`.
        stop: likewise.

    Returns:
        (W,).
    """
    steps = np.diff(iterations)
    areas = np.concatenate([[0.0], np.cumsum(steps * (values[1:] + values[:-1]) / 2)])

    def area_until(time: np.ndarray) -> np.ndarray:
        before = np.clip(np.searchsorted(iterations, time, side="right") - 1, 0, len(steps) - 1)
        past = time - iterations[before]
        slope = (values[before + 1] - values[before]) / steps[before]
        return areas[before] + past * (values[before] + slope * past / 2)

    return (area_until(stop) - area_until(start)) / (stop - start)


def smoothed(iterations: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average over the time nearby on a logarithmic axis, within a factor of e^0.25 in iteration + 1.

    So the window grows with time, as the intervals between samples do: little more than single samples up to
    iteration 2, two and a half samples at 4 and three to thirty from there on in the paper's sampling. A
    minimum with one steep side moves away from that side, by less than the factor. At the start the window
    shrinks to the first sample, as an average to one side would hide how steep the curve is; at the end
    it stops at the last.

    Args:
        iterations: (S,), rising, two or more.
        values: (S,).
    """
    axis = np.log1p(iterations)
    start = np.maximum(np.expm1(axis - SMOOTHING), iterations[0])
    stop = np.expm1(axis + np.minimum(SMOOTHING, axis - axis[0]))
    stop = np.minimum(np.maximum(stop, iterations), iterations[-1])  # rounding aside, never before the sample
    means = values.astype(float)
    means[1:] = window_means(iterations, values, start[1:], stop[1:])
    return means


def first_from(start: int, condition: np.ndarray) -> int | None:
    """Return the position of the first True at or after `start`, or None."""
    positions = np.flatnonzero(condition[start:])
    return start + int(positions[0]) if len(positions) else None


def plateau_level(iterations: np.ndarray, gradient: np.ndarray) -> float:
    """Mean of the gradient norm over the later half of the window, in iterations."""
    middle = max(iterations[-1] / 2, iterations[0])
    return float(window_means(iterations, gradient, np.array([middle]), iterations[-1:])[0])


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
    unknown = dict.fromkeys(RULES, float("nan"))
    if len(iterations) < 2 or not np.isfinite([*gradient, *distances]).all():
        return unknown
    curve, motion = smoothed(iterations, gradient), speed(iterations, distances)
    low = int(curve.argmin())
    if low == 0 or np.log1p(iterations[low]) + SMOOTHING > np.log1p(iterations[-1]):
        return unknown
    level = plateau_level(iterations, gradient)
    fastest = low + int(motion[low:].argmax())
    positions = {
        "burst_end": first_from(0, curve <= curve[0] + DESCENT * (curve[low] - curve[0])),
        "gradient_minimum": low,
        "plateau_start": first_from(low, curve >= curve[low] + RISE * (level - curve[low])),
        "deceleration": first_from(fastest, motion <= SLOWING * motion[fastest]),
    }
    return unknown | {
        name: float(iterations[position]) for name, position in positions.items() if position is not None
    }


def before_decay(table: DataFrame) -> DataFrame:
    """Rows of all layers together, in time, until the learning rate has fallen to half of its highest.

    The end of training, which has no gradient, is left out.
    """
    whole = table[table["layer"] == ALL].sort_values(["seed", "iteration"])
    at_end = whole["iteration"] == whole["iteration"].max()
    whole = whole[~(at_end & whole["gradient_norm"].isna() & whole["distance_initial"].notna())]
    rate, highest = whole["learning_rate"], whole["learning_rate"].max()
    warm = whole["iteration"] >= whole["iteration"][rate == highest].min()  # before it, the rate rises
    fallen = whole["iteration"][warm & (rate <= highest / 2)]
    return whole[whole["iteration"] < fallen.min()] if len(fallen) else whole


def boundaries(table: DataFrame) -> DataFrame:
    """Find the boundaries of each seed.

    Args:
        table: telemetry of one network: `seed`, `layer`, `iteration`, `learning_rate`, `gradient_norm` and
            `distance_initial`.

    Returns:
        A row per seed: `seed`, and the iteration of each boundary (NaN for none), in the order of `RULES`.
    """
    curves = ("iteration", "gradient_norm", "distance_initial")
    rows = [
        {"seed": seed, **phase_boundaries(*(run[name].to_numpy() for name in curves))}
        for seed, run in before_decay(table).groupby("seed")
    ]
    return DataFrame(rows, columns=["seed", *RULES])


# Events that other measurements put on the same axis


def subspace_formed(curvature: DataFrame, pairs: DataFrame) -> DataFrame:
    """Find between which measured times the Hessian's top subspace of each seed has formed, by `EVENTS`.

    Args:
        curvature: of one network and one kind of batch statistics: `seed`, `iteration`, `gradient_share`.
        pairs: of the same: `seed`, `earlier`, `later`, `overlap`.

    Returns:
        A row per seed: `seed`; `low`, the last measured iteration at which it had not formed (0 if none);
        `high`, the first at which it had. Both are NaN where it has not formed, or the run diverged.
    """
    rows = []
    for seed, run in curvature.sort_values("iteration").groupby("seed"):
        overlaps = pairs[pairs["seed"] == seed].set_index(["earlier", "later"])["overlap"]
        shares = run.set_index("iteration")["gradient_share"]
        formed = {
            step[0]: shares[step[0]] >= HALF and overlaps.get(step, np.nan) >= HALF
            for step in pairwise(shares.index)
        }
        rows.append((seed, *onset(formed)))
    return DataFrame(rows, columns=["seed", "low", "high"])


def of_best_statistics(table: DataFrame) -> DataFrame:
    """Rows of one kind of batch statistics, that of the sample where it was measured.

    Running statistics belong to no network that trains. A table without the column is of one kind; rows
    without an entry there are of no Hessian.
    """
    if "statistics" not in table:
        return table
    table = table.dropna(subset="statistics")
    kinds = table["statistics"].unique()
    return table[table["statistics"] == ("sample" if "sample" in kinds or not len(kinds) else kinds[0])]


def rewinding_matches(imp: DataFrame, dense: DataFrame, density: float = 0.8**8) -> tuple[float, float]:
    """Find between which two k tickets begin to match the dense network, by `EVENTS`.

    Args:
        imp: tickets of one network: a row per evaluation.
        dense: the dense network, likewise.
        density: of the round that is looked at, which must lie within half a round.

    Returns:
        The last k that does not surely match and the first from which on all do, as `onset` has them.
    """
    whole = last_evaluations(dense, ["seed"]).set_index("seed")["accuracy"]
    tickets = last_evaluations(imp, ["seed", "k", "round"])
    nearest, off = nearest_round(tickets, density) if len(tickets) else (0, np.inf)
    if off > 0.5:
        return onset({})
    at_round = tickets[tickets["round"] == nearest].pivot(index="seed", columns="k", values="accuracy")
    gaps = at_round.rsub(whole, axis="index")
    return onset({k: t_interval(gaps[k].dropna())[1] < MATCHES_WITHIN for k in gaps})


def kernel_slow(kernel: DataFrame) -> tuple[float, float]:
    """Find between which two measured times the tangent kernel slows down, by `EVENTS`.

    Args:
        kernel: of one network: `iteration`, `velocity`.

    Returns:
        The last time at which it is fast and the first from which on it is slow, as `onset` has them.
    """
    velocity = kernel.groupby("iteration")["velocity"].mean()
    return onset({time: value <= SLOW * velocity.max() for time, value in velocity.items()})


def timeline(tables: Tables) -> DataFrame:
    """Put every event of one network on one axis.

    Args:
        tables: `telemetry`; `curvature` with `pairs`, `imp` with `dense`, `stability`, `deficits`,
            `kernel`, and `pretrained_dense` with `pretrained_imp`, where there are any.

    Returns:
        A row per event, in the order of `EVENTS`, then one for each pretraining: `event`; `mean`, `std`
        (sample), `low` and `high`, the smallest and largest, in iterations over the `n` seeds in which it
        was found; `not_found`, the other seeds; `rule`. An event that is known to the grid of measured times
        only has no `std`: it lies between `low`, the last time before it (0 if none), and `high`, the first
        after it, and `mean` is the latter.
    """
    of_seeds = boundaries(tables["telemetry"])
    rows = [event_row(name, of_seeds[name]) for name in RULES]
    if tables.keys() >= {"curvature", "pairs"}:
        formed = subspace_formed(*(of_best_statistics(tables[name]) for name in ("curvature", "pairs")))
        row = event_row("subspace_formed", formed["high"])
        rows.append(row | {"std": np.nan, "low": formed["low"].min(), "high": formed["high"].max()})
    if tables.keys() >= {"imp", "dense"}:
        imp, dense = tables["imp"], tables["dense"]
        rows.append(event_of_all(imp["seed"].nunique(), "rewinding_matches", rewinding_matches(imp, dense)))
    if "stability" in tables:
        pairs = tables["stability"]
        for name, number in {"dense_stable": 0, "tickets_stable": ticket_round(pairs)}.items():
            if len(own := pairs[pairs["round"] == number]):
                rows.append(event_of_all(own["seed"].nunique(), name, stable_from(own)))
    if "deficits" in tables and (over := period_end(tables["deficits"]))["n"]:
        rows.append(event_of_all(over["n"], "critical_period_over", (over["low"], over["high"])))
    if "kernel" in tables:
        seeds = tables["kernel"]["seed"].nunique()
        rows.append(event_of_all(seeds, "kernel_slow", kernel_slow(tables["kernel"])))
    if tables.keys() >= PRETRAINED:
        seeds = tables["pretrained_imp"]["seed"].nunique()
        for name, times in matching_durations(tables).items():
            rows.append(event_of_all(seeds, f"{PRETRAINING_MATCHES}: {name}", times))
    return DataFrame(rows).assign(rule=lambda table: table["event"].map(EVENTS).fillna(RULE))


def event_of_all(seeds: int, name: str, times: tuple[float, float]) -> dict:
    """Describe an event that lies between two measured times, as all `seeds` together show."""
    low, high = times
    counts = {"n": 0, "not_found": seeds} if np.isnan(high) else {"n": seeds, "not_found": 0}
    return {"event": name, "mean": high, "std": np.nan, "low": low, "high": high, **counts}


def event_row(name: str, times: Series) -> dict:
    """Summarise the iteration of an event over seeds; NaN is a seed in which it was not found."""
    known = times.dropna()
    summary = {"mean": known.mean(), "std": known.std(), "low": known.min(), "high": known.max()}
    return {"event": name, **summary, "n": len(known), "not_found": len(times) - len(known)}
