"""Claims on the state of the network, S1 to S8, and on the Hessian's subspace, C1: Figures 2 and 3."""

from functools import partial
from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS
from earlyphase.results.claims.judging import Claim, Criterion, NotRun, Tables
from earlyphase.results.claims.measures import dense_accuracy
from earlyphase.results.timeline import before_decay, boundaries, plateau_level, smoothed, window_means

FIRST = 10  # iterations of the first sub-phase
GAIN_ENDS, SLOW_FROM = 1 / 8, 1 / 2  # of the paper's 4,000 iterations: 500 and 2,000
SHORT = "short study"
NEAR = 0.01  # how far from an iteration its measurement may lie, as a share of the iteration
STATISTICS = (
    "running statistics",
    "sample statistics",
)  # of batch norm, in the Hessian and its gradient: the readings of C1

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


def not_at_this_scale(tables: Tables, *, reason: str) -> DataFrame:
    """Raise `NotRun`."""
    raise NotRun(reason)


def dense_minus(tables: Tables, *, percent: float) -> DataFrame:
    """Final accuracy of the dense network less the paper's."""
    return DataFrame({f"dense accuracy minus {percent} %": dense_accuracy(tables) - percent})


def evaluations_of(tables: Tables, column: str) -> DataFrame:
    """A column of the evaluations along the dense run, (iterations, seeds)."""
    if "evaluations" not in tables or tables["evaluations"].empty:
        raise NotRun("the dense run was not evaluated along its course")
    return by_seed(tables["evaluations"], column)


def accuracy_minus(tables: Tables, *, iteration: int, percent: float) -> DataFrame:
    """Accuracy at an iteration less the paper's, in points."""
    accuracy = POINTS * at_iteration(evaluations_of(tables, "accuracy"), iteration)
    return DataFrame({f"accuracy at iteration {accuracy.name:,} minus {percent} %": accuracy - percent})


def epoch_minus_half(tables: Tables) -> DataFrame:
    """Accuracy after one epoch less half of the final one, in points."""
    epochs = evaluations_of(tables, "epochs").mean(axis=1)
    after = float(np.interp(1, epochs, epochs.index)) if epochs.max() >= 1 else np.nan
    if np.isnan(after):
        raise NotRun("no evaluation after a whole epoch")
    accuracy = POINTS * at_iteration(evaluations_of(tables, "accuracy"), after)
    label = f"accuracy at iteration {accuracy.name:,} minus half of the final"
    return DataFrame({label: accuracy - dense_accuracy(tables) / 2})


def signs_at_10(tables: Tables) -> DataFrame:
    """Share of signs that differ from the initial ones at iteration 10, in %."""
    changed = at_iteration(by_seed(telemetry_of(tables), "sign_changes"), FIRST)
    return DataFrame({f"signs changed by iteration {changed.name}": 100 * changed})


def burst(tables: Tables) -> DataFrame:
    """How much larger gradients, speed and the rate of sign changes are in the first ten iterations, in %.

    Each is the mean over iterations 0 to 10 over the mean over what is left of the window, less 1.
    """
    table = telemetry_of(tables)
    gradient = by_seed(table, "gradient_norm")
    early, late = gradient[gradient.index < FIRST], gradient[gradient.index >= FIRST]
    found = {"gradient norm": means_in_time(early) / means_in_time(late)}
    columns = {"speed from the start": "distance_initial", "rate of sign changes": "sign_changes"}
    for name, column in columns.items():
        values = by_seed(table, column)
        end = values.index.max()
        found[name] = rate(values, 0, FIRST) / rate(values, FIRST, end)
    return DataFrame(
        {f"{name}, first 10 iterations over the rest": 100 * (ratio - 1) for name, ratio in found.items()}
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


def minimum_at(tables: Tables) -> DataFrame:
    """Iteration at which the smoothed gradient is smallest, by the rule of the timeline."""
    found = boundaries(telemetry_of(tables)).set_index("seed")
    return DataFrame({"iteration of the smallest gradient": found["gradient_minimum"]})


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


def slowing(tables: Tables, *, edges: tuple[float, ...] | None) -> DataFrame:
    """How much slower the network changes in one span than in the one before, in % of its mean speed.

    Of the distance from the initial weights, of sign changes and of accuracy.

    Args:
        edges: iterations that bound the spans; None takes those of `proportional_edges`.
    """
    table = telemetry_of(tables)
    curves = {
        "distance": by_seed(table, "distance_initial"),
        "sign changes": by_seed(table, "sign_changes"),
        "accuracy": evaluations_of(tables, "accuracy"),
    }
    edges = proportional_edges(list(curves.values())) if edges is None else edges
    found = {}
    for name, values in curves.items():
        nearest = [at_iteration(values, edge).name for edge in edges]
        speeds = [rate(values, start, stop) for start, stop in pairwise(nearest)]
        overall = rate(values, nearest[0], nearest[-1])
        for number, (before, after) in enumerate(pairwise(speeds), start=1):
            span = f"iterations {nearest[number]:,} to {nearest[number + 1]:,}"
            found[f"{name}: loss of speed in {span}"] = 100 * (before - after) / overall
    return DataFrame(found)


def proportional_edges(curves: list[DataFrame]) -> list[float]:
    """Iterations in the paper's proportions of the window: its start, an eighth, a half and its end.

    They are iterations at which every curve was measured, the nearest to each proportion.
    """
    shared = np.array(sorted(set.intersection(*(set(curve.index) for curve in curves))), dtype=float)
    if not len(shared):
        raise NotRun("no iteration has both telemetry and an evaluation")
    wanted = np.array([0, GAIN_ENDS, SLOW_FROM, 1]) * shared[-1]
    edges = [float(shared[np.abs(shared - edge).argmin()]) for edge in wanted]
    if len(set(edges)) < len(edges) or edges[0] > 0:
        raise NotRun(f"too few iterations have both telemetry and an evaluation: {len(shared)}")
    return edges


def growth_of_magnitude(tables: Tables) -> DataFrame:
    """Growth of the mean weight magnitude from the start to the end of the window, in % of the start."""
    values = by_seed(telemetry_of(tables), "mean_magnitude")
    first, last = values.iloc[0], values.iloc[-1]
    label = f"growth from iteration {first.name:,} to {last.name:,}"
    return DataFrame({label: 100 * (last / first - 1)})


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


def gradient_in_subspace(tables: Tables, *, reading: str, after: float, fraction: bool) -> DataFrame:
    """Share of the squared gradient in the top subspace at each measured time from `after` on, in %.

    Args:
        reading: batch norm's statistics in the Hessian and the gradient, running or of the sample. Running
            statistics belong to no network that trains.
        after: an iteration or, with `fraction`, a share of the last measured time.
    """
    if "curvature" not in tables or tables["curvature"].empty:
        raise NotRun("the Hessian's top subspace was not computed")
    measured = tables["curvature"][tables["curvature"]["statistics"] == reading.removesuffix(" statistics")]
    if measured.empty:
        raise NotRun(f"the Hessian's top subspace was not computed with {reading}")
    shares = by_seed(measured, "gradient_share")
    shares = shares[shares.index >= (after * shares.index.max() if fraction else after)]
    if shares.empty:
        raise NotRun(f"the subspace was not computed from iteration {after:,} on")
    return DataFrame({f"share at iteration {time:,}": 100 * shares.loc[time] for time in shares.index})


# The claims

POSITIVE = (0, INFINITY)
NO_COUNTERPART = "this iteration of the paper's network has no known counterpart here"


def unknown(reason: str) -> Criterion:
    """A short study has no test."""
    return Criterion(partial(not_at_this_scale, reason=reason), POSITIVE, f"{SHORT}: no test")


FIRST_ITERATIONS = (
    Claim(
        "S1",
        "The dense network reaches the usual accuracy",
        "91.5 % (from the paper)",
        ("dense",),
        Criterion(partial(dense_minus, percent=91.5), (-0.4, 0.4), "equivalence (TOST): within ±0.4 points"),
        unknown("the number is that of the paper's network at full length"),
    ),
    Claim(
        "S2",
        "Accuracy climbs fast: it is over half way to its final value after one epoch",
        "55 % at about 400 iterations (from the paper)",
        ("evaluations", "dense"),
        Criterion(
            partial(accuracy_minus, iteration=400, percent=55),
            (-7, 7),
            "equivalence (TOST): within ±7 points",
        ),
        Criterion(epoch_minus_half, POSITIVE, f"{SHORT}: sign of the difference, paired within seeds"),
    ),
    Claim(
        "S3",
        "Accuracy approaches 80 % by 2,000 iterations",
        "just under 80 % (from the paper)",
        ("evaluations",),
        Criterion(
            partial(accuracy_minus, iteration=2000, percent=80),
            (-5, 5),
            "equivalence (TOST): within ±5 points",
        ),
        unknown(NO_COUNTERPART),
    ),
    Claim(
        "S4",
        "The first ten iterations: the largest gradients, the fastest motion, a burst of sign changes",
        "about 3 % of signs changed by iteration 10 (recollected)",
        ("telemetry",),
        Criterion(
            signs_at_10,
            (1, 6),
            "1 to 6 % of signs have changed",
            Criterion(burst, POSITIVE, "gradient, speed and sign changes are larger than later"),
        ),
        Criterion(
            burst,
            POSITIVE,
            f"{SHORT}: sign of the contrast of gradient, speed and sign changes between the first ten "
            "iterations and the rest of the window",
        ),
        unit="%",
    ),
    Claim(
        "S5",
        "The gradient is smallest at about iteration 200, then rises to a plateau by about 500",
        "minimum near 200; plateau about 10 % above it (recollected)",
        ("telemetry",),
        Criterion(
            minimum_at,
            (100, 350),
            "the minimum lies between iterations 100 and 350",
            Criterion(
                fall_and_rise, POSITIVE, "the gradient falls to the minimum and rises from it", unit="%"
            ),
        ),
        Criterion(
            fall_and_rise,
            POSITIVE,
            f"{SHORT}: sign of the fall and of the rise, their place taken from the other seeds",
            unit="%",
        ),
        unit="iterations",
    ),
    Claim(
        "S6",
        "Three sub-phases: after a violent start and a rapid gain to about 500 iterations everything slows",
        "boundaries at about 10, 500 and 2,000 (recollected)",
        ("telemetry", "evaluations"),
        Criterion(
            partial(slowing, edges=(0, 500, 2000, 4000)),
            POSITIVE,
            "each span changes more slowly than the one before",
        ),
        Criterion(
            partial(slowing, edges=None),
            POSITIVE,
            f"{SHORT}: the same in the paper's proportions of the window, an eighth and a half of it",
        ),
        unit="%",
    ),
    Claim(
        "S7",
        "The mean weight magnitude grows through the observed window",
        "growing to iteration 4,000 (recollected)",
        ("telemetry",),
        *(
            Criterion(growth_of_magnitude, POSITIVE, f"{prefix}growth from its start to its end")
            for prefix in ("", f"{SHORT}: ")
        ),
        unit="%",
    ),
    Claim(
        "S8",
        "Few signs change between iterations 500 and 2,000",
        "9 % (recollected)",
        ("pairs",),
        Criterion(
            partial(signs_between, earlier=500, later=2000),
            (5, 13),
            "equivalence (TOST): 9 ± 4 % of signs differ",
        ),
        unknown(NO_COUNTERPART),
        unit="%",
    ),
    Claim(
        "C1",
        "After a short time most of the gradient lies in the span of as many top eigenvectors as classes",
        "most of it, from about 700 iterations on (Gur-Ari et al. 2018, recollected)",
        ("curvature",),
        Criterion(
            partial(gradient_in_subspace, after=700, fraction=False),
            (50, INFINITY),
            "above 50 % of the squared length at every measured time from 700 on",
        ),
        Criterion(
            partial(gradient_in_subspace, after=0.1, fraction=True),
            (50, INFINITY),
            f"{SHORT}: above 50 % of the squared length at every time after a tenth of the measured span",
        ),
        unit="%",
        readings=STATISTICS,
    ),
)
