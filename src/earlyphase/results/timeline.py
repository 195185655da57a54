"""Sub-phases of early training, computed from telemetry by stated rules (Figure 2 of the paper)."""

from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series, isna

from earlyphase.results.deficits import period_end
from earlyphase.results.pretraining import RULE, matching_durations
from earlyphase.results.stability import RULE as STABILITY_RULE
from earlyphase.results.stability import stable_from, ticket_round
from earlyphase.results.summaries import last_evaluations, nearest_round, t_interval

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
MATCHES_WITHIN = 0.005  # accuracy, as a fraction: the tolerance of the paper's claim
EVENTS = RULES | {
    "subspace_formed": "from then on, at least half of the squared gradient lies in the Hessian's top "
    "subspace, and the subspace overlaps with that of the next measured iteration by a half. Times are known "
    "to the measuring grid only: `low` is the last measured iteration at which it had not formed, `high` the "
    "first at which it had, over all seeds, and `mean` the mean of the latter",
    "rewinding_matches": "from this k on, tickets at 16.8 % of weights are less than 0.5 points below the "
    "dense network (95 % t interval of the difference within seeds)",
    "critical_period_over": "the first onset from which on a deficit in a window of fixed length costs less "
    "than 0.5 points of final accuracy (95 % t interval of the loss within seeds); the deficit is "
    "blur where it was run. `low` is the last onset at which it costs more, 0 if none",
    "dense_stable": STABILITY_RULE,
    "tickets_stable": f"{STABILITY_RULE}; of tickets at 16.8 % of weights, or the nearest density measured",
    # Later additions: a rule here, a row in `timeline`.
}
PRETRAINING_MATCHES = "pretraining_matches"  # an event for each pretraining: `pretraining_matches: rotation`
LABELS = {  # event -> what it is called; `label_of` for those of pretraining
    "burst_end": "first burst over",
    "gradient_minimum": "gradient smallest",
    "plateau_start": "gradient on its plateau",
    "deceleration": "weights slow down",
    "subspace_formed": "Hessian subspace formed",
    "rewinding_matches": "IMP matches dense from k =",
    "dense_stable": "dense network stable from k =",
    "tickets_stable": "tickets stable from k =",
    "critical_period_over": "critical period over",
}
PRETRAINED = {"pretrained_dense", "pretrained_imp", "imp"}  # the tables that it needs


def label_of(event: str) -> str:
    """What an event is called where people read of it."""
    kind, _, name = event.partition(": ")
    if kind == PRETRAINING_MATCHES:
        return f"pretraining, {name.replace('_', ' ')}, matches after"
    return LABELS.get(event, event)


def known_to_the_grid(events: DataFrame | Series) -> Series | bool:
    """Whether an event, or each of several, is known to lie between two measured times, and no closer."""
    return isna(events["std"]) & (events["low"] < events["high"])


def when(event: Series) -> str:
    """The iteration of an event of the timeline, or the measured times that it lies between."""
    if isna(event["mean"]):
        return "not found"
    if known_to_the_grid(event):
        return f"between {event['low']:,.0f} and {event['high']:,.0f}"
    return f"{event['mean']:,.0f}" + ("" if isna(event["std"]) else f" ± {event['std']:,.0f}")


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
    """Position of the first True at or after `start`, or None."""
    found = np.flatnonzero(condition[start:])
    return start + int(found[0]) if len(found) else None


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
    """Find between which measured times the Hessian's top subspace of each seed has formed, by `EVENTS`.

    Args:
        curvature: of one network and one kind of batch statistics: `seed`, `iteration`, `gradient_share`.
        pairs: of the same: `seed`, `earlier`, `later`, `overlap`.

    Returns:
        A row per seed: `seed`; `low`, the last measured iteration at which it had not formed (0 if none);
        `high`, the first at which it had. Both are NaN where it has not formed, or the run diverged.
    """
    found = []
    for seed, run in curvature.sort_values("iteration").groupby("seed"):
        overlaps = pairs[pairs["seed"] == seed].set_index(["earlier", "later"])["overlap"]
        times, shares = run["iteration"].tolist(), run["gradient_share"].to_numpy()
        lasting = np.array([overlaps.get(step, np.nan) for step in pairwise(times)])
        holds = (shares[:-1] >= HALF) & (lasting >= HALF)
        first = len(holds) - int(np.argmin(holds[::-1])) if not holds.all() else 0
        formed = len(holds) > 0 and first < len(holds)
        low = (times[first - 1] if first else 0) if formed else float("nan")
        high = times[first] if formed else float("nan")
        found.append({"seed": seed, "low": float(low), "high": float(high)})
    return DataFrame(found, columns=["seed", "low", "high"])


def of_best_statistics(table: DataFrame) -> DataFrame:
    """Rows of one kind of batch statistics, that of the sample where it was measured.

    Running statistics belong to no network that trains. A table without the column is of one kind.
    """
    if "statistics" not in table or table["statistics"].nunique() < 2:
        return table
    kinds = table["statistics"].unique()
    return table[table["statistics"] == ("sample" if "sample" in kinds else kinds[0])]


def rewinding_matches(imp: DataFrame, dense: DataFrame, density: float = 0.8**8) -> float:
    """Find the smallest k from which tickets match the dense network, by `EVENTS`; NaN where none does.

    Args:
        imp: tickets of one network: a row per evaluation.
        dense: the dense network, likewise.
        density: of the round that is looked at, which must lie within half a round.
    """
    whole = last_evaluations(dense, ["seed"]).set_index("seed")["accuracy"]
    tickets = last_evaluations(imp, ["seed", "k", "round"])
    if tickets.empty:
        return float("nan")
    nearest, off = nearest_round(tickets, density)
    if off > 0.5:
        return float("nan")
    at_round = tickets[tickets["round"] == nearest].pivot(index="seed", columns="k", values="accuracy")
    matching = float("nan")
    for k in sorted(at_round, reverse=True):
        gap = (whole - at_round[k]).dropna()
        if not t_interval(gap)[1] < MATCHES_WITHIN:  # nor where there is no interval
            break
        matching = float(k)
    return matching


def timeline(tables: dict[str, DataFrame]) -> DataFrame:
    """Put every event of one network on one axis.

    Args:
        tables: `telemetry`; `curvature` with `pairs`, `imp` with `dense`, `stability`, `deficits`, and
            `pretrained_dense` with `pretrained_imp`, where there are any.

    Returns:
        A row per event, in the order of `EVENTS`, then one for each pretraining: `event`; `mean`, `std`
        (sample), `low` and `high`, the smallest and largest, in iterations over the `n` seeds in which it
        was found; `not_found`, the other seeds; `rule`. An event that is found from all seeds together has
        no spread, nor has one that is known to the measuring grid only.
    """
    found = boundaries(tables["telemetry"])
    rows = [event_row(name, found[name]) for name in RULES]
    if "curvature" in tables:
        formed = subspace_formed(*(of_best_statistics(tables[name]) for name in ("curvature", "pairs")))
        row = event_row("subspace_formed", formed["high"])
        rows.append(row | {"std": np.nan, "low": formed["low"].min(), "high": formed["high"].max()})
    if "imp" in tables:
        imp, dense = tables["imp"], tables["dense"]
        rows.append(event_of_all(imp, "rewinding_matches", rewinding_matches(imp, dense)))
    if "stability" in tables:
        rows += stability_events(tables["stability"])
    if "deficits" in tables and (over := period_end(tables["deficits"]))["n"]:
        one = {"event": "critical_period_over", "mean": over["high"], "std": np.nan} | over
        rows.append(one | ({"n": 0, "not_found": over["n"]} if np.isnan(over["high"]) else {"not_found": 0}))
    if tables.keys() >= PRETRAINED:
        rows += [
            event_of_all(tables["pretrained_imp"], f"{PRETRAINING_MATCHES}: {name}", duration)
            for name, duration in matching_durations(tables).items()
        ]
    return DataFrame(rows).assign(rule=lambda table: table["event"].map(EVENTS).fillna(RULE))


def stability_events(pairs: DataFrame) -> list[dict]:
    """Describe from which k on the dense network is stable, and tickets, where they were measured."""
    rounds = {"dense_stable": 0, "tickets_stable": ticket_round(pairs)}
    there = {name: pairs[pairs["round"] == number] for name, number in rounds.items() if number is not None}
    return [event_of_all(own, name, stable_from(own)) for name, own in there.items() if not own.empty]


def event_of_all(table: DataFrame, name: str, time: float) -> dict:
    """Describe an event that is found from all seeds of `table` together; NaN is one that was not found."""
    seeds, missing = table["seed"].nunique(), bool(np.isnan(time))
    counts = {"n": 0 if missing else seeds, "not_found": seeds if missing else 0}
    return {"event": name, "mean": time, "std": np.nan, "low": time, "high": time, **counts}


def event_row(name: str, times: Series) -> dict:
    """Summarise the iteration of an event over seeds; NaN is a seed in which it was not found."""
    known = times.dropna()
    summary = {"mean": known.mean(), "std": known.std(), "low": known.min(), "high": known.max()}
    return {"event": name, **summary, "n": len(known), "not_found": len(times) - len(known)}
