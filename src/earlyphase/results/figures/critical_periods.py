"""Critical periods: what a deficit costs, by when it ended or began; regularisation by time."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.deficits import BASE, NEGLIGIBLE, clean_runs, losses, period_end, shifts
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import drawable
from earlyphase.results.summaries import NETWORK, Tables, over_seeds

PLACE = ["regime", "deficit", "first", "end", "stop"]
SUMMARY = ["mean", "std", "n", "diverged", "dead"]
COLUMNS = [*NETWORK, "measure", *PLACE, *SUMMARY]
CONTROL = "none, trained as long"


@figure(reads=("deficits",), protocol="removed_at", across_models=True)
def removal(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy by the iteration at which a deficit ended, and how factors shift what it costs.

    A panel for each network and regime, in which the deficit began at iteration 0 and training of the usual
    length followed; the run's own task as a deficit is a control, none but as long. The last panel is how
    much more each factor, a regime or another network, loses than the first network under `base`.

    Args:
        tables: `deficits`, a row per evaluation: the network in question first, then others of its data set.

    Returns:
        The figure, and a row per point: network, `measure` ("accuracy" or "shift", fractions), regime,
        deficit, its window, `stop` (iterations in all), `mean`, `std`, `n`, `diverged`, `dead`.

    Source: Achille, Rovere & Soatto 2019, Figures 1 and 4.
    """
    table = tables["deficits"]
    accuracies, moves = accuracy_points(table), shift_points(table)
    panels = list(accuracies.groupby(["model", "regime"], sort=False))
    own = accuracies.loc[accuracies["end"] == 0, "deficit"].iloc[0]  # as a deficit, the control
    styles = style.curve_styles(accuracies.loc[accuracies["end"] > 0, "deficit"].unique())
    with style.house_style():
        drawn, axes = style.new_axes(len(panels) + bool(len(moves)), columns=3, height=2.1, sharex=True)
        for ax, ((model, regime), points) in zip(axes, panels, strict=False):
            if ax is not axes[0]:
                ax.sharey(axes[0])
            clean = points[points["end"] == 0]
            aside = apart(styles, points)
            for deficit, curve in points[points["end"] > 0].groupby("deficit", sort=False):
                label = CONTROL if deficit == own else drawable(words(deficit))
                bars(ax, concat([clean, curve]), "end", aside[deficit], label=label, **styles[deficit])
            ax.axhline(100 * clean["mean"].iloc[0], color="0.5", linewidth=0.8, linestyle=":", zorder=1)
            ax.set_title(f"{model}: {words(regime)}", loc="left")
        axes[0].set_ylabel("Test accuracy (%)")
        if len(moves):
            draw_shifts(axes[-1], moves, table["model"].iloc[0], own)
            style.add_legend(drawn, axes[-1:], "The last panel", "above right")
        for ax in axes[-3:]:
            ax.set_xlabel("Deficit removed at iteration")
        style.add_legend(drawn, axes[: len(panels)], "Deficit", "above left" if len(moves) else "above")
        points = concat([accuracies, moves], ignore_index=True)[COLUMNS]
        length = accuracies.loc[accuracies["end"] == 0, "stop"].iloc[0]
        style.add_note(drawn, style.seeds_note(points))
        style.add_note(
            drawn, f"Training goes on for {length:,} iterations after the removal; at 0 there was no deficit"
        )
    return drawn, points


def words(name: str) -> str:
    """Name a regime or deficit as people read it."""
    return "training as it is" if name == BASE else name.replace("_", " ")


def accuracy_points(table: DataFrame) -> DataFrame:
    """Summarise accuracy after each removal, and without a deficit, of each regime with a removal."""
    parts = []
    for _, rows in table.groupby(NETWORK, sort=False):
        removals, clean = losses(rows), clean_runs(rows)
        removals = removals[removals["protocol"] == "removal"]
        for regime in sorted(removals["regime"].unique(), key=lambda name: (name != BASE, name)):
            own = regime if regime in set(clean["regime"]) else BASE
            both = [
                clean[clean["regime"] == own].assign(regime=regime),
                removals[removals["regime"] == regime],
            ]
            parts.append(over_seeds(concat(both), [*NETWORK, *PLACE]))
    if not parts:
        raise InvalidInput("figure removal: the table deficits holds no deficit that was removed")
    return concat(parts, ignore_index=True).assign(measure="accuracy")


def shift_points(table: DataFrame) -> DataFrame:
    """Summarise how much more is lost after each removal than by the first network under `base`."""
    parts, first = [], None
    for _, rows in table.groupby(NETWORK, sort=False):
        parts.append(shifts(rows))
        base = losses(rows)
        base = base[(base["regime"] == BASE) & (base["protocol"] == "removal")]
        if first is None:
            first = base[["deficit", "end", "seed", "lost"]].rename(columns={"lost": "first_lost"})
            continue
        across = base.merge(first, on=["deficit", "end", "seed"])
        parts.append(across.assign(shift=across["lost"] - across["first_lost"]))
    moves = concat(parts, ignore_index=True)
    moves = moves[moves["protocol"] == "removal"]
    if moves.empty:
        return DataFrame(columns=COLUMNS)
    networks = moves["model"].map(list(table["model"].unique()).index)  # in their order, each regime in its
    summary = over_seeds(moves.assign(place=networks), ["place", *NETWORK, *PLACE], "shift")
    return summary.assign(measure="shift")


def draw_shifts(ax: Axes, points: DataFrame, model: str, own: str) -> None:
    """Draw a curve for each factor and deficit; above 0 the factor loses more.

    Args:
        ax: panel to draw into.
        points: of the measure "shift".
        model: the first network.
        own: the run's own task, which as a deficit is the control.
    """
    several = points["deficit"].nunique() > 1
    factors = {}
    for (other, regime, deficit), curve in points.groupby(["model", "regime", "deficit"], sort=False):
        parts = [other] * (other != model) + [words(regime)] * (regime != BASE)
        parts += ["no deficit" if deficit == own else words(deficit)] * several
        factors[drawable(", ".join(parts))] = curve
    aside, styles = apart(factors, points), style.curve_styles(factors)
    for label, curve in factors.items():
        bars(ax, curve, "end", aside[label], label=label, **styles[label])
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=1)
    ax.set_title("shift against the first panel", loc="left")
    ax.set_ylabel("Lost in addition (points)")


def apart(curves: Iterable[str], points: DataFrame) -> dict[str, float]:
    """Return how far to draw each curve beside its place, so that no error bar hides another."""
    names = list(curves)
    return {name: 0.007 * points["end"].max() * (i - (len(names) - 1) / 2) for i, name in enumerate(names)}


def bars(ax: Axes, points: DataFrame, x: str, shift: float = 0, **look) -> None:
    """Draw means with error bars in percent, at `x` + `shift`, and mark diverged and dead runs."""
    points = points.sort_values(x)
    style.curve_with_bars(ax, points[x] + shift, points, 100, **look)


@figure(reads=("deficits",), uses=("fisher",), protocol="onsets")
def windows(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw what a deficit of fixed length costs, by its onset, and the trace of the Fisher information below.

    The critical period ends, by the rule of the timeline, in the shaded span between two onsets.

    Args:
        tables: `deficits` of one network; `fisher`, where there is one, whose diverged seeds are in no mean.

    Returns:
        The figure, and a row per point: network, `measure` ("lost", a fraction, or "fisher_trace", at
        iteration `first`), regime, deficit, its window, `stop`, `mean`, `std`, `n`, `diverged`, `dead`.

    Raises:
        InvalidInput: there is no training with a deficit in a window.

    Source: Achille, Rovere & Soatto 2019, Figures 3 and 5.
    """
    table = tables["deficits"]
    costs = losses(table)
    costs = costs[costs["protocol"] == "window"]
    if costs.empty:
        raise InvalidInput("figure windows: the table deficits holds no deficit in a window")
    points = over_seeds(costs, [*NETWORK, *PLACE], "lost").assign(measure="lost")
    traces = tables.get("fisher", DataFrame({"iteration": [], "seed": [], "fisher_trace": []}))
    lost = traces.loc[~np.isfinite(traces["fisher_trace"]), "seed"]
    fisher = over_seeds(traces[~traces["seed"].isin(lost)], ["iteration"], "fisher_trace")
    with style.house_style():
        drawn, axes = style.new_axes(1 + bool(len(fisher)), columns=1, height=2.1, sharex=True)
        drawn.set_figwidth(7.0)
        draw_windows(axes[0], points, period_end(table), table["task"].iloc[0])
        axes[0].set_title(style.network_of(table), loc="left")
        axes[0].set_xlabel("Iteration at which the deficit begins")
        if len(fisher):
            style.curve_with_band(axes[1], fisher, color=style.DARK, marker="o")
            axes[1].set_ylabel("Trace of the Fisher\ninformation")
            axes[1].set_xlabel("Iteration")
        style.add_legend(drawn, axes[:1], "Deficit", "right")
        style.add_note(drawn, f"{style.seeds_note(points)}; horizontal bars: until the deficit ends")
    fisher = fisher.rename(columns={"iteration": "first"}).assign(measure="fisher_trace")
    named = concat([points, fisher], ignore_index=True) if len(fisher) else points
    named = named.assign(**dict(table[NETWORK].iloc[0]))
    return drawn, named.astype({"first": "Int64", "end": "Int64", "stop": "Int64"})[COLUMNS]


def draw_windows(ax: Axes, points: DataFrame, over: dict[str, float], own: str) -> None:
    """Draw a curve for each deficit, regime and length, in points lost against no deficit.

    Args:
        ax: panel to draw into.
        points: of the measure "lost".
        over: between which onsets the critical period ends, as from `period_end`.
        own: the run's own task, which as a deficit is the control.
    """
    points = points.assign(length=points["end"] - points["first"])
    several = points["length"].nunique() > 1
    curves = {}
    for (regime, deficit, length), curve in points.groupby(["regime", "deficit", "length"]):
        parts = [CONTROL if deficit == own else words(deficit)] + [words(regime)] * (regime != BASE)
        parts += [f"{length:,} iterations"] * several
        curves[drawable(", ".join(parts))] = curve
    aside, styles = apart(curves, points), style.curve_styles(curves)
    for label, curve in curves.items():
        bars(ax, curve, "first", aside[label], label=label, **styles[label])
        ends = 100 * curve["mean"], curve["first"] + aside[label], curve["end"]
        ax.hlines(*ends, color=styles[label]["color"], linewidth=0.7, alpha=0.6)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=1)
    if np.isfinite(over["high"]):
        look = {"color": "0.9", "linewidth": 1, "zorder": 0.5}
        ax.axvspan(over["low"], over["high"], label=f"falls below {100 * NEGLIGIBLE:g} points", **look)
    ax.set_xlim(-0.02 * points["end"].max(), points["end"].max())
    ax.set_ylabel("Accuracy lost to the\ndeficit (points)")


@figure(reads=("deficits",), protocol="held")
def regularisation(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy where a regime holds only until an iteration, or only from it on: a panel a regime.

    Both curves end at training as it is and at training under the regime throughout. Windows that touch
    neither end of training are not drawn.

    Args:
        tables: `deficits` of one network.

    Returns:
        The figure, and a row per point as from `removal`; `first` and `end` are the window in which the
        regime holds.

    Raises:
        InvalidInput: no regime holds for a time.

    Source: Golatkar, Achille & Soatto 2019.
    """
    table = tables["deficits"]
    points = held_points(clean_runs(table))
    names = sorted(points.loc[points["curve"].isin(SWITCHED), "regime"].unique())
    points = points[points["regime"].isin([*names, BASE])]
    if not names:
        raise InvalidInput("figure regularisation: the table deficits holds no regime that holds for a time")
    with style.house_style():
        drawn, axes = style.new_axes(len(names), height=2.4, sharey=True)
        for ax, name in zip(axes, names, strict=True):
            draw_held(ax, points[points["regime"].isin([name, BASE])])
            ax.set_title(f"{style.network_of(table)}: {words(name)}", loc="left")
        axes[0].set_ylabel("Test accuracy (%)")
        style.add_legend(drawn, axes, "The change")
        style.add_note(drawn, f"{style.seeds_note(points)}; at the ends it holds never, or throughout")
    columns = [*NETWORK, "measure", "regime", "curve", "first", "end", "stop", *SUMMARY]
    return drawn, points.assign(measure="accuracy")[columns]


SWITCHED = {"holds until then": "end", "holds from then on": "first"}  # curve -> where it switches
NEVER, ALWAYS = "holds never", "holds always"


def held_points(clean: DataFrame) -> DataFrame:
    """Summarise trainings without a deficit by regime and the window in which it holds."""
    parts = clean["regime"].str.split("-", expand=True).reindex(columns=range(3))
    whole = parts[1].isna()
    first = parts[1].where(~whole, "0").astype(int)
    end = parts[2].where(~whole, clean["stop"].astype(str)).astype(int)
    runs = clean.assign(regime=parts[0], first=first, end=end)
    early, late = first == 0, end == clean["stop"]
    kinds = [runs["regime"] == BASE, early & late, early, late]
    runs["curve"] = np.select(kinds, [NEVER, ALWAYS, *SWITCHED], default="between")
    return over_seeds(runs, [*NETWORK, "regime", "curve", "first", "end", "stop"])


def draw_held(ax: Axes, points: DataFrame) -> None:
    """Draw the two curves of one regime, from never to always and the other way round."""
    styles, stop = style.curve_styles(SWITCHED), points["stop"].max()
    for (name, at), shift in zip(SWITCHED.items(), (-0.006 * stop, 0.006 * stop), strict=True):
        ends = {NEVER: 0, ALWAYS: stop} if at == "end" else {NEVER: stop, ALWAYS: 0}
        curve = points[points["curve"].isin([name, *ends])]
        curve = curve.assign(switch=curve[at].where(curve["curve"] == name, curve["curve"].map(ends)))
        bars(ax, curve, "switch", shift, label=name, **styles[name])
    ax.set_xlabel("Iteration of the change")
