"""Claims on the state of the network, the paper's Figures 2 and 3, and on the Hessian's subspace.

The paper's numbers are of ResNet-20 in its first 4,000 iterations: they are asked of a training that is the
same up to the iteration that a number is of, however it goes on. What has no number is asked of any network.
"""

from itertools import pairwise

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import NOT_AT_SCALE, Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.network import Network, Share, at_scale
from earlyphase.results.timeline import (
    before_decay,
    boundaries,
    of_best_statistics,
    plateau_level,
    smoothed,
    window_means,
)

NEAR = 0.01  # how far from an iteration its measurement may lie, as a share of the iteration


def telemetry_of(network: Network) -> DataFrame:
    """Telemetry of all layers together, until the learning rate first falls."""
    return before_decay(network.table("telemetry", "there is no telemetry"))


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


def evaluations_of(network: Network, column: str) -> DataFrame:
    """A column of the evaluations along the dense run, (iterations, seeds)."""
    return by_seed(network.table("evaluations", "the dense run was not evaluated along its course"), column)


def accuracy_at(network: Network, iteration: float) -> Series:
    """Accuracy in percent at an iteration, by seed."""
    return POINTS * at_iteration(evaluations_of(network, "accuracy"), iteration)


def about(name: str, values: Series, middle: float, within: float) -> Contrast:
    """Values that are to lie within some distance of a number of the paper, in %."""
    return Contrast(name, values, "within", span=(middle - within, middle + within), unit="%")


@claim(
    statement="The dense network reaches the usual accuracy",
    paper="ResNet-20: 91.5 % (from the paper)",
    criterion="accuracy at the end lies within {percent} ± {within} %",
    source="Table A1",
    reads=("dense",),
    unit="%",
)
def S1(network: Network, *, percent: float = 91.5, within: float = 0.4, iteration: int = 62560) -> Measured:
    """Accuracy at the end of the paper's training."""
    at_scale(network, iteration, "this accuracy")
    return Measured([about("accuracy of the dense network", network.dense(), percent, within)])


@claim(
    statement="Accuracy climbs fast: it is over half way to its final value after one epoch, at iteration "
    "{iteration:,}",
    paper="55 % at about iteration 400 (from the paper)",
    criterion="in the paper's network accuracy at iteration {iteration:,} lies within {percent} ± {within} "
    "%; in another one, of which an epoch is less than {epoch:.0%} of training, it is above half of the "
    "final one",
    source="Figure 3",
    reads=("evaluations", "dense"),
)
def S2(
    network: Network, *, iteration: int = 400, percent: float = 55.0, within: float = 7.0, epoch: Share = 0.05
) -> Measured:
    """Accuracy after an epoch, beside the paper's number or half of its own last."""
    if network.paper_until(iteration):
        return Measured(
            [about(f"accuracy at iteration {iteration:,}", accuracy_at(network, iteration), percent, within)]
        )
    epochs = evaluations_of(network, "epochs").mean(axis=1)
    if epochs.max() < 1:
        raise NotRun("there is no evaluation after a whole epoch")
    after, end = float(np.interp(1, epochs, epochs.index)), network.table("dense")["iteration"].max()
    if after >= epoch * end:
        raise NotRun(
            f"an epoch is {after / end:.0%} of this training, so that half way after it is no fast climb",
            NOT_AT_SCALE,
        )
    accuracy = accuracy_at(network, after)
    label = f"accuracy at iteration {accuracy.name:,} minus half of the final"
    return Measured([Contrast(label, accuracy - network.dense() / 2)], iteration=round(after))


@claim(
    statement="Accuracy approaches 80 % by iteration {iteration:,}",
    paper="just under 80 % (from the paper)",
    criterion="it lies within {percent} ± {within} %",
    source="Figure 3",
    reads=("evaluations",),
    unit="%",
)
def S3(network: Network, *, iteration: int = 2000, percent: float = 80.0, within: float = 5.0) -> Measured:
    """Accuracy at that iteration."""
    at_scale(network, iteration, "this accuracy")
    return Measured(
        [about(f"accuracy at iteration {iteration:,}", accuracy_at(network, iteration), percent, within)]
    )


def rate(values: DataFrame, start: float, stop: float) -> Series:
    """Change per iteration between two sampled iterations, by seed."""
    first, last = (at_iteration(values, time) for time in (start, stop))
    if last.name <= first.name:
        raise NotRun("the window has too few samples")
    return (last - first) / (last.name - first.name)


def motions(table: DataFrame) -> dict[str, DataFrame]:
    """What tells how weights move, (iterations, seeds); `S4` and `S6` ask how fast both grow.

    Both slow down for any path that wanders: the distance of a random walk grows as the root of time. So the
    claims say that they grow, and not that weights move, fastest at first.
    """
    columns = {"distance from the start": "distance_initial", "share of signs changed": "sign_changes"}
    return {name: by_seed(table, column) for name, column in columns.items()}


def means_in_time(values: DataFrame) -> Series:
    """Mean over time of unevenly sampled values (iterations, seeds), by seed."""
    if len(values) < 2:
        raise NotRun("the window has too few samples")
    times = values.index.to_numpy(float)
    return values.apply(lambda curve: window_means(times, curve.to_numpy(), times[:1], times[-1:])[0])


@claim(
    statement="In the first {first} iterations gradients are largest, and the distance from the start and "
    "the share of signs changed grow fastest",
    paper="about 3 % of signs changed by iteration 10 (recollected)",
    criterion="the first {first} iterations have larger gradients than the rest of the window, and both "
    "grow faster in them, as they do for any path that wanders; in the paper's network {least} to {most} % "
    "of signs have changed by then",
    source="Figures 2 and 3",
    reads=("telemetry",),
    unit="%",
)
def S4(network: Network, *, first: int = 10, least: float = 1.0, most: float = 6.0) -> Measured:
    """The first iterations over the rest, less 1, in %."""
    table = telemetry_of(network)
    gradient = by_seed(table, "gradient_norm")
    early, later = gradient[gradient.index < first], gradient[gradient.index >= first]
    ratios = {"gradient norm": means_in_time(early) / means_in_time(later)}
    for name, values in motions(table).items():
        ratios[f"growth of the {name}"] = rate(values, 0, first) / rate(values, first, values.index.max())
    contrasts: list[Contrast] = [
        Contrast(f"{name}, first {first} iterations over the rest, less 1", POINTS * (ratio - 1))
        for name, ratio in ratios.items()
    ]
    if network.paper_until(first):
        changed = POINTS * at_iteration(by_seed(table, "sign_changes"), first)
        contrasts.append(
            Contrast(f"signs changed by iteration {first}", changed, "within", span=(least, most))
        )
    return Measured(contrasts)


@claim(
    statement="The gradient falls to a minimum, then rises to a plateau",
    paper="minimum near iteration 200; plateau by about 500, about 10 % above it (recollected)",
    criterion="the smoothed gradient falls to its minimum and rises from it, whose place is taken from the "
    "other seeds; in the paper's network it lies between iterations {least} and {most}",
    source="Figure 3",
    reads=("telemetry",),
    unit="%",
)
def S5(network: Network, *, least: int = 100, most: int = 350, plateau: int = 500) -> Measured:
    """Start and plateau over the minimum, less 1; and where it is.

    A seed's own minimum lies below its plateau in any noise, so the mean curve of the others says where to
    look.
    """
    table = telemetry_of(network)
    gradient = by_seed(table, "gradient_norm").dropna(axis="columns")
    if gradient.shape[1] < 2:
        raise NotRun("the minimum is taken from the other seeds: it needs two")
    times = gradient.index.to_numpy()
    fall, rise = Series(dtype=float), Series(dtype=float)
    for seed in gradient:
        own = smoothed(times, gradient[seed].to_numpy())
        others = smoothed(times, gradient.drop(columns=seed).mean(axis=1).to_numpy())
        lowest = own[int(others.argmin())]
        fall[seed] = POINTS * (own[0] / lowest - 1)
        rise[seed] = POINTS * (plateau_level(times, gradient[seed].to_numpy()) / lowest - 1)
    contrasts: list[Contrast] = [
        Contrast("start over the minimum, less 1", fall),
        Contrast("plateau over the minimum, less 1", rise),
    ]
    if network.paper_until(plateau):
        place = boundaries(table).set_index("seed")["gradient_minimum"]
        contrasts.append(
            Contrast(
                "place of the minimum", place, "within", span=(float(least), float(most)), unit="iterations"
            )
        )
    return Measured(contrasts)


@claim(
    statement="After a violent start and a rapid gain, to iteration {rapid:,}, everything slows down",
    paper="boundaries at about 10, 500 and 2,000 (recollected)",
    criterion="the distance from the start, the share of signs changed and accuracy grow more slowly in "
    "each span than in the one before; spans as in the paper's 4,000 iterations, or in its proportions of "
    "the window",
    source="Figure 2",
    reads=("telemetry", "evaluations"),
    unit="% of its mean speed",
    places={"rapid": 500},
)
def S6(
    network: Network,
    *,
    edges: tuple[int, ...] = (0, 500, 2000, 4000),
    shares: tuple[float, ...] = (0, 0.125, 0.5, 1),
) -> Measured:
    """How much slower each curve grows in one span than in the one before."""
    table = telemetry_of(network)
    curves = motions(table) | {"accuracy": evaluations_of(network, "accuracy")}
    chosen = (
        list(edges) if network.paper_until(edges[-1]) else proportional_edges(list(curves.values()), shares)
    )
    contrasts: list[Contrast] = []
    for name, values in curves.items():
        nearest = [at_iteration(values, edge).name for edge in chosen]
        speeds = [rate(values, start, stop) for start, stop in pairwise(nearest)]
        overall = rate(values, nearest[0], nearest[-1])
        for number, (before, after) in enumerate(pairwise(speeds), start=1):
            span = f"iterations {nearest[number]:,} to {nearest[number + 1]:,}"
            contrasts.append(
                Contrast(f"{name}: loss of speed in {span}", POINTS * (before - after) / overall)
            )
    return Measured(contrasts, rapid=int(chosen[1]))


def proportional_edges(curves: list[DataFrame], shares: tuple[float, ...]) -> list[float]:
    """Iterations in given proportions of the window.

    They are iterations at which every curve was measured, the nearest to each proportion.
    """
    shared = np.array(sorted(set.intersection(*(set(curve.index) for curve in curves))), dtype=float)
    if not len(shared):
        raise NotRun("no iteration has both telemetry and an evaluation")
    edges = [float(shared[np.abs(shared - share * shared[-1]).argmin()]) for share in shares]
    if len(set(edges)) < len(edges) or edges[0] > 0:
        raise NotRun(f"too few iterations have both telemetry and an evaluation: {len(shared)}")
    return edges


@claim(
    statement="The mean weight magnitude grows through the observed window, to iteration {until:,}",
    paper="growing to iteration 4,000 (recollected)",
    criterion="it is larger at the end of the window than at its start",
    source="Figure 3",
    reads=("telemetry",),
    unit="%",
    places={"until": 4000},
)
def S7(network: Network) -> Measured:
    """Growth over the window, in % of the start."""
    values = by_seed(telemetry_of(network), "mean_magnitude")
    first, last = values.iloc[0], values.iloc[-1]
    label = f"growth from iteration {first.name:,} to {last.name:,}"
    return Measured([Contrast(label, POINTS * (last / first - 1))], until=int(last.name))


@claim(
    statement="Few signs change between iterations {earlier:,} and {later:,}",
    paper="9 % (recollected)",
    criterion="{percent} ± {within} % of signs differ",
    source="Section 4.1",
    reads=("pairs",),
    unit="%",
)
def S8(
    network: Network, *, earlier: int = 500, later: int = 2000, percent: float = 9.0, within: float = 4.0
) -> Measured:
    """Signs at both iterations."""
    at_scale(network, later, "this share")
    rows = network.table("pairs", "no two states were compared")
    rows = rows[(rows["earlier"] == earlier) & (rows["later"] == later)]
    if rows.empty:
        raise NotRun(f"the states of iterations {earlier:,} and {later:,} were not compared")
    once = rows.drop_duplicates("seed")  # kinds of batch statistics have a row each, with the same signs
    changed = POINTS * once.set_index("seed")["sign_changes"]
    return Measured([about(f"signs that differ between {earlier:,} and {later:,}", changed, percent, within)])


OTHER_IMAGES = "gradient of other mini-batches"


@claim(
    statement="After a short time, from iteration {after:,} on, the gradient has moved into the span of as "
    "many top eigenvectors of the Hessian as there are classes: most of it lies there",
    paper="most of it, from about 700 iterations on (Gur-Ari et al. 2018, recollected)",
    criterion="more than {percent} % of its squared length at every measured time from then on, and more, "
    "on average over these, than at iteration 0",
    source="Gur-Ari et al. 2018",
    reads=("curvature",),
    unit="%",
    readings=("gradient of the Hessian's images", "gradient of other mini-batches"),
)
def C1(
    network: Network, reading: str, *, percent: float = 50.0, after: int = 700, after_share: Share = 0.1
) -> Measured:
    """Share of the squared gradient in the top subspace.

    Under the sample's statistics of batch norm, where there are several: running ones belong to no network
    that trains. The gradient of the images that made the Hessian shares their noise with it; that of a
    mini-batch does not.
    """
    measured = of_best_statistics(network.table("curvature", "the Hessian's top subspace was not computed"))
    column = "minibatch_share" if reading == OTHER_IMAGES else "gradient_share"
    shares = POINTS * by_seed(measured, column).dropna(how="all")
    least = after if network.paper_until(after) else after_share * shares.index.max()
    later = shares[shares.index >= least]
    if later.empty or 0 not in shares.index:
        raise NotRun(f"the subspace was not computed at iteration 0 and from {least:,.0f} on")
    contrasts: list[Contrast] = [
        Contrast(f"share at iteration {time:,}", later.loc[time], edge=percent) for time in later.index
    ]
    moved = later.mean(axis=0, skipna=False) - shares.loc[0]
    contrasts.append(Contrast("mean share from then on minus share at iteration 0", moved))
    return Measured(contrasts, after=int(later.index[0]))
