"""Measures of the state of the network, the paper's Figures 2 and 3, and of the Hessian's subspace."""

from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import dense_accuracy
from earlyphase.results.timeline import before_decay, boundaries, plateau_level, smoothed, window_means

NEAR = 0.01  # how far from an iteration its measurement may lie, as a share of the iteration

# Measures: tables of one network -> (seeds, contrasts); a diverged seed is NaN


def telemetry_of(tables: Tables) -> DataFrame:
    """Telemetry of all layers together, until the learning rate first falls."""
    if "telemetry" not in tables or tables["telemetry"].empty:
        raise NotRun("there is no telemetry")
    return before_decay(tables["telemetry"])


def by_seed(table: DataFrame, column: str) -> DataFrame:
    """A column of telemetry, (iterations, seeds)."""
    return table.pivot(index="iteration", columns="seed", values=column)


def at_iteration(values: DataFrame, iteration: float) -> Series:
    """The row of `values` (iterations, seeds) at an iteration, or the nearest within 1 % of it, by seed.

    Its name is the iteration it was measured at.
    """
    if not len(values):
        raise NotRun("nothing was measured")
    distance = np.abs(values.index.to_numpy() - iteration)
    row = values.iloc[int(distance.argmin())]
    if distance.min() > NEAR * iteration:
        raise NotRun(
            f"nothing was measured within {NEAR:.0%} of iteration {iteration:,.0f}; the nearest is "
            f"{row.name:,}"
        )
    return row


@measure(reads=("dense",))
def dense_accuracy_minus(tables: Tables, *, percent: float) -> DataFrame:
    """Final accuracy of the dense network less the paper's."""
    return DataFrame({f"dense accuracy minus {percent} %": dense_accuracy(tables) - percent})


def evaluations_of(tables: Tables, column: str) -> DataFrame:
    """A column of the evaluations along the dense run, (iterations, seeds)."""
    if "evaluations" not in tables or tables["evaluations"].empty:
        raise NotRun("the dense run was not evaluated along its course")
    return by_seed(tables["evaluations"], column)


@measure(reads=("evaluations",))
def accuracy_minus(tables: Tables, *, iteration: int, percent: float) -> DataFrame:
    """Accuracy at an iteration less the paper's, in points."""
    accuracy = POINTS * at_iteration(evaluations_of(tables, "accuracy"), iteration)
    return DataFrame({f"accuracy at iteration {accuracy.name:,} minus {percent} %": accuracy - percent})


@measure(reads=("evaluations", "dense"))
def accuracy_after_an_epoch(tables: Tables) -> DataFrame:
    """Accuracy after one epoch less half of the final one, in points."""
    epochs = evaluations_of(tables, "epochs").mean(axis=1)
    after = float(np.interp(1, epochs, epochs.index)) if epochs.max() >= 1 else np.nan
    if np.isnan(after):
        raise NotRun("no evaluation after a whole epoch")
    accuracy = POINTS * at_iteration(evaluations_of(tables, "accuracy"), after)
    label = f"accuracy at iteration {accuracy.name:,} minus half of the final"
    return DataFrame({label: accuracy - dense_accuracy(tables) / 2})


@measure(reads=("telemetry",))
def signs_changed(tables: Tables, *, iteration: int) -> DataFrame:
    """Share of signs that differ from the initial ones at an iteration, in %."""
    changed = at_iteration(by_seed(telemetry_of(tables), "sign_changes"), iteration)
    return DataFrame({f"signs changed by iteration {changed.name}": 100 * changed})


@measure(reads=("telemetry",))
def burst(tables: Tables, *, first: int) -> DataFrame:
    """How much larger gradients, speed and the rate of sign changes are in the first iterations, in %.

    Each is the mean over iterations 0 to `first` over the mean over what is left of the window, less 1.
    """
    table = telemetry_of(tables)
    gradient = by_seed(table, "gradient_norm")
    early, late = gradient[gradient.index < first], gradient[gradient.index >= first]
    found = {"gradient norm": means_in_time(early) / means_in_time(late)}
    columns = {"speed from the start": "distance_initial", "rate of sign changes": "sign_changes"}
    for name, column in columns.items():
        values = by_seed(table, column)
        end = values.index.max()
        found[name] = rate(values, 0, first) / rate(values, first, end)
    return DataFrame(
        {
            f"{name}, first {first} iterations over the rest": 100 * (ratio - 1)
            for name, ratio in found.items()
        }
    )


def means_in_time(values: DataFrame) -> Series:
    """Mean over time of unevenly sampled values (iterations, seeds), by seed."""
    if len(values) < 2:
        raise NotRun("the window has too few samples")
    times = values.index.to_numpy(float)
    first, last = times[:1], times[-1:]
    return values.apply(lambda curve: window_means(times, curve.to_numpy(), first, last)[0])


def rate(values: DataFrame, start: float, stop: float) -> Series:
    """Change per iteration between two sampled iterations, by seed."""
    first, last = (at_iteration(values, time) for time in (start, stop))
    if last.name <= first.name:
        raise NotRun("the window has too few samples")
    return (last - first) / (last.name - first.name)


@measure(reads=("telemetry",))
def gradient_minimum(tables: Tables) -> DataFrame:
    """Iteration at which the smoothed gradient is smallest, by the rule of the timeline."""
    found = boundaries(telemetry_of(tables)).set_index("seed")
    return DataFrame({"iteration of the smallest gradient": found["gradient_minimum"]})


@measure(reads=("telemetry",))
def fall_and_rise(tables: Tables) -> DataFrame:
    """How far the gradient falls from its start, and rises to its plateau, over its minimum, in %.

    Where the minimum is, the mean curve of the *other* seeds says. A seed's own minimum lies below its
    plateau in any noise.
    """
    gradient = by_seed(telemetry_of(tables), "gradient_norm").dropna(axis="columns")
    if gradient.shape[1] < 2:
        raise NotRun("the minimum is taken from the other seeds: it needs two")
    times = gradient.index.to_numpy()
    fall, rise = {}, {}
    for seed in gradient:
        own = smoothed(times, gradient[seed].to_numpy())
        others = smoothed(times, gradient.drop(columns=seed).mean(axis=1).to_numpy())
        least = own[int(others.argmin())]
        fall[seed] = 100 * (own[0] / least - 1)
        rise[seed] = 100 * (plateau_level(times, gradient[seed].to_numpy()) / least - 1)
    ratios = {"start over the minimum, less 1": fall, "plateau over the minimum, less 1": rise}
    return DataFrame({label: Series(values) for label, values in ratios.items()})


@measure(reads=("telemetry", "evaluations"))
def slowing(
    tables: Tables, *, edges: list[float] | None = None, shares: list[float] | None = None
) -> DataFrame:
    """How much slower the network changes in one span than in the one before, in % of its mean speed.

    Of the distance from the initial weights, of sign changes and of accuracy.

    Args:
        edges: iterations that bound the spans, or
        shares: the same as shares of the window: see `proportional_edges`.
    """
    table = telemetry_of(tables)
    curves = {
        "distance": by_seed(table, "distance_initial"),
        "sign changes": by_seed(table, "sign_changes"),
        "accuracy": evaluations_of(tables, "accuracy"),
    }
    edges = proportional_edges(list(curves.values()), shares) if edges is None else edges
    found = {}
    for name, values in curves.items():
        nearest = [at_iteration(values, edge).name for edge in edges]
        speeds = [rate(values, start, stop) for start, stop in pairwise(nearest)]
        overall = rate(values, nearest[0], nearest[-1])
        for number, (before, after) in enumerate(pairwise(speeds), start=1):
            span = f"iterations {nearest[number]:,} to {nearest[number + 1]:,}"
            found[f"{name}: loss of speed in {span}"] = 100 * (before - after) / overall
    return DataFrame(found)


def proportional_edges(curves: list[DataFrame], shares: list[float]) -> list[float]:
    """Iterations in given proportions of the window.

    They are iterations at which every curve was measured, the nearest to each proportion.
    """
    shared = np.array(sorted(set.intersection(*(set(curve.index) for curve in curves))), dtype=float)
    if not len(shared):
        raise NotRun("no iteration has both telemetry and an evaluation")
    wanted = np.array(shares) * shared[-1]
    edges = [float(shared[np.abs(shared - edge).argmin()]) for edge in wanted]
    if len(set(edges)) < len(edges) or edges[0] > 0:
        raise NotRun(f"too few iterations have both telemetry and an evaluation: {len(shared)}")
    return edges


@measure(reads=("telemetry",))
def growth_of_magnitude(tables: Tables) -> DataFrame:
    """Growth of the mean weight magnitude from the start to the end of the window, in % of the start."""
    values = by_seed(telemetry_of(tables), "mean_magnitude")
    first, last = values.iloc[0], values.iloc[-1]
    label = f"growth from iteration {first.name:,} to {last.name:,}"
    return DataFrame({label: 100 * (last / first - 1)})


@measure(reads=("pairs",))
def signs_between(tables: Tables, *, earlier: int, later: int) -> DataFrame:
    """Share of signs that differ between two iterations, in %."""
    if "pairs" not in tables:
        raise NotRun("no two times were compared")
    rows = tables["pairs"]
    rows = rows[(rows["earlier"] == earlier) & (rows["later"] == later)]
    if rows.empty:
        raise NotRun(f"iterations {earlier:,} and {later:,} were not compared")
    once = rows.drop_duplicates("seed")  # kinds of batch statistics have a row each, with the same signs
    changed = 100 * once.set_index("seed")["sign_changes"]
    return DataFrame({f"signs that differ between {earlier:,} and {later:,}": changed})


@measure(reads=("curvature",))
def gradient_in_subspace(
    tables: Tables, *, statistics: str, after: int | None = None, after_share: float | None = None
) -> DataFrame:
    """Share of the squared gradient in the top subspace at each measured time from a time on, in %.

    Args:
        statistics: of batch norm in the Hessian and the gradient, "running" or of the "sample"; a network
            without it has one curvature, which counts as either.
        after: an iteration, or
        after_share: a share of the last measured time.
    """
    if "curvature" not in tables or tables["curvature"].empty:
        raise NotRun("the Hessian's top subspace was not computed")
    measured = tables["curvature"][tables["curvature"]["statistics"].isin([statistics, "none"])]
    if measured.empty:
        raise NotRun(f"the Hessian's top subspace was not computed with {statistics} statistics")
    shares = by_seed(measured, "gradient_share")
    after = after_share * shares.index.max() if after is None else after
    shares = shares[shares.index >= after]
    if shares.empty:
        raise NotRun(f"the subspace was not computed from iteration {after:,} on")
    return DataFrame({f"share at iteration {time:,}": 100 * shares.loc[time] for time in shares.index})
