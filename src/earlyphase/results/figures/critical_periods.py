"""Critical periods: what a deficit costs, by when it ended or began; regularisation by time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.deficits import BASE, NEGLIGIBLE, clean_runs, losses, period_end, shifts
from earlyphase.results.figures.labels import drawable
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    add_legend_below,
    curve_styles,
    curve_with_band,
    house_style,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.telemetry import DARK
from earlyphase.results.summaries import NETWORK, curve_over_seeds, over_seeds

BARS = {"linewidth": 1.0, "markersize": 3.4, "elinewidth": 0.8, "capsize": 1.5, "capthick": 0.6}
BROAD = {"elinewidth": 2.4, "capsize": 3.0, "markersize": 5.5}  # still seen where another curve lies on it
PLACE = ["regime", "deficit", "first", "end", "stop"]
COLUMNS = [*NETWORK, "measure", *PLACE, "mean", "std", "n", "diverged"]
TITLES = {BASE: "training as it is"}
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
        deficit, its window, `stop` (iterations in all), `mean`, `std`, `n`, `diverged`.

    Source: Achille, Rovere & Soatto 2019, Figures 1 and 4.
    """
    table = tables["deficits"]
    points = concat([accuracy_points(table), *shift_points(table)], ignore_index=True)[COLUMNS]
    of_accuracy, of_shift = (points[points["measure"] == name] for name in ("accuracy", "shift"))
    panels = list(dict.fromkeys(zip(of_accuracy["model"], of_accuracy["regime"], strict=True)))
    styles = curve_styles(list(dict.fromkeys(of_accuracy.loc[of_accuracy["end"] > 0, "deficit"])))
    with house_style():
        figure, axes = new_axes(len(panels) + bool(len(of_shift)), columns=3, height=2.3)
        for ax, (model, regime) in zip(axes, panels, strict=False):
            shown = of_accuracy[(of_accuracy["model"] == model) & (of_accuracy["regime"] == regime)]
            if ax is not axes[0]:
                ax.sharey(axes[0])
            draw_removals(ax, shown, styles)
            ax.set_title(f"{model}: {words(regime)}", loc="left")
        axes[0].set_ylabel("Test accuracy (%)")
        if len(of_shift):
            own = of_accuracy.loc[of_accuracy["end"] == 0, "deficit"].iloc[0]
            draw_shifts(axes[-1], of_shift, table["model"].iloc[0], own)
        add_legend(figure, axes[: len(panels)], "Deficit")
        length = of_accuracy.loc[of_accuracy["end"] == 0, "stop"]
        note = (
            f"{seeds_note(points)}. x + {length.iloc[0]:,} iterations of training in all; x = 0: no deficit"
        )
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def words(name: str) -> str:
    """Name a regime or deficit as people read it."""
    return TITLES.get(name, name.replace("_", " "))


def summarised(runs: DataFrame, value: str, by: list[str]) -> DataFrame:
    """Mean and spread of a column over seeds, in the columns of `over_seeds`."""
    return over_seeds(runs.assign(accuracy=runs[value]), by)


def accuracy_points(table: DataFrame) -> DataFrame:
    """Final accuracy after each removal, and without a deficit, of every regime in which one was removed."""
    parts = []
    for (dataset, model), rows in table.groupby(NETWORK, sort=False):
        found = losses(rows)
        found = found[found["protocol"] == "removal"]
        for regime in sorted(found["regime"].unique(), key=lambda name: (name != BASE, name)):
            harmed, clean = found[found["regime"] == regime], clean_runs(rows)
            clean = clean[clean["regime"] == (regime if regime in set(clean["regime"]) else BASE)]
            both = concat([clean.assign(regime=regime), harmed])
            parts.append(summarised(both, "accuracy", PLACE).assign(dataset=dataset, model=model))
    if not parts:
        raise InvalidInput("figure removal: the table deficits holds no deficit that was removed")
    return concat(parts, ignore_index=True).assign(measure="accuracy")


def shift_points(table: DataFrame) -> list[DataFrame]:
    """How much more is lost after each removal than by the first network under `base`: a part a factor."""
    parts, first = [], None
    for (dataset, model), rows in table.groupby(NETWORK, sort=False):
        named = {"dataset": dataset, "model": model, "measure": "shift"}
        within = shifts(rows)
        within = within[within["protocol"] == "removal"]
        parts.append(summarised(within, "shift", PLACE).assign(**named))
        own = losses(rows)
        own = own[(own["regime"] == BASE) & (own["protocol"] == "removal")]
        if first is None:
            first = own[["deficit", "end", "seed", "lost"]].rename(columns={"lost": "first_lost"})
            continue
        across = own.merge(first, on=["deficit", "end", "seed"])
        across["shift"] = across["lost"] - across["first_lost"]
        parts.append(summarised(across, "shift", PLACE).assign(**named))
    return [part for part in parts if len(part)]


def draw_removals(ax: Axes, points: DataFrame, styles: dict[str, dict]) -> None:
    """Draw a curve for each deficit, from the training without one at x = 0."""
    clean = points[points["end"] == 0]
    aside = apart(len(styles), points["end"].max())
    for (deficit, style), shift in zip(styles.items(), aside, strict=True):
        curve = points[points["deficit"] == deficit]
        if len(curve):
            label = words(deficit) if deficit != clean["deficit"].iloc[0] else CONTROL
            bars(ax, concat([clean, curve]), "end", shift, label=drawable(label), **style)
    ax.axhline(100 * clean["mean"].iloc[0], color="0.5", linewidth=0.8, linestyle=":", zorder=1)
    ax.set_xlabel("Deficit removed at iteration")
    ax.set_xlim(left=-0.03 * points["end"].max())


def draw_shifts(ax: Axes, points: DataFrame, model: str, own: str) -> None:
    """Draw a curve for each factor and deficit; above 0 the factor loses more.

    Args:
        model: the first network.
        own: the run's own task, which as a deficit is the control.
    """
    several = points["deficit"].nunique() > 1
    factors = {}
    for (other, regime, deficit), curve in points.groupby(["model", "regime", "deficit"], sort=False):
        parts = [other] if other != model else []
        parts += [words(regime)] if regime != BASE else []
        named = "no deficit" if deficit == own else words(deficit)
        factors[", ".join([*parts, *([named] if several else [])])] = curve
    styles, aside = curve_styles(list(factors)).values(), apart(len(factors), points["end"].max())
    for (label, curve), style, shift in zip(factors.items(), styles, aside, strict=True):
        bars(ax, curve, "end", shift, label=drawable(label), **style)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=1)
    ax.set_title("shift against the first panel", loc="left")
    ax.set_xlabel("Deficit removed at iteration")
    ax.set_ylabel("Lost in addition (points)")
    ax.set_xlim(left=0)
    add_legend_below(ax)


def apart(curves: int, width: float) -> np.ndarray:
    """How far to draw the points of each curve beside their place, so that no error bar hides another."""
    return 0.007 * width * (np.arange(curves) - (curves - 1) / 2)


def bars(ax: Axes, points: DataFrame, x: str, shift: float = 0, **look) -> None:
    """Draw means with error bars in percent, at `x` + `shift`; a cross marks what lacks a diverged run."""
    points = points.sort_values(x)
    ax.errorbar(points[x] + shift, 100 * points["mean"], 100 * points["std"].fillna(0), **BARS | look)
    lost = points.loc[points["diverged"] > 0, x] + shift
    foot = ax.get_xaxis_transform()
    ax.plot(lost, [0.025] * len(lost), "x", color=look.get("color"), markersize=4, transform=foot)


@figure(reads=("deficits",), uses=("fisher",), protocol="onsets")
def windows(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw what a deficit of fixed length costs, by its onset, and the trace of the Fisher information below.

    A dotted line is the end of the critical period by the rule of the timeline.

    Args:
        tables: `deficits` of one network; `fisher`, where there is one, whose diverged seeds are in no mean.

    Returns:
        The figure, and a row per point: network, `measure` ("lost", a fraction, or "fisher_trace", at
        iteration `first`), regime, deficit, its window, `stop`, `mean`, `std`, `n`, `diverged`.

    Raises:
        InvalidInput: there is no training with a deficit in a window.

    Source: Achille, Rovere & Soatto 2019, Figures 3 and 5.
    """
    table = tables["deficits"]
    found = losses(table)
    points = summarised(found[found["protocol"] == "window"], "lost", PLACE)
    if points.empty:
        raise InvalidInput("figure windows: the table deficits holds no deficit in a window")
    last, network = points["stop"].max(), table.iloc[0]
    fisher = fisher_curve(tables)
    with house_style():
        figure, axes = stacked(1 + bool(len(fisher)))
        draw_windows(axes[0], points, period_end(table)["high"])
        axes[0].set_title(f"{network['model']}, {network['dataset']}", loc="left")
        if len(fisher):
            curve_with_band(axes[1], fisher, color=DARK)
            axes[1].set_ylabel("Trace of the Fisher\ninformation")
        axes[0].set_xlim(-0.02 * last, last)
        axes[-1].set_xlabel("Iteration, of a deficit its onset")
        note = f"{seeds_note(points)}; horizontal bars: until the deficit ends"
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    traces = [fisher.rename(columns={"iteration": "first"}).assign(measure="fisher_trace", diverged=0)]
    points = concat([points.assign(measure="lost"), *(traces if len(fisher) else [])], ignore_index=True)
    named = points.assign(dataset=network["dataset"], model=network["model"])
    return figure, named.astype({"end": "Int64", "stop": "Int64"})[COLUMNS]


def fisher_curve(tables: Tables) -> DataFrame:
    """Trace of the Fisher information: `iteration`, `mean`, `std`, `n`; empty without its table."""
    if "fisher" not in tables:
        return DataFrame(columns=["iteration", "mean", "std", "n"])
    table = tables["fisher"]
    lost = table.loc[~np.isfinite(table["fisher_trace"]), "seed"]
    return curve_over_seeds(table[~table["seed"].isin(lost)], "fisher_trace")


def stacked(panels: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels above one another on one axis of iterations."""
    figure = Figure(figsize=(5.5, 1.1 + 1.9 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=[1.4, 1][:panels])
    return figure, list(axes.flat)


def draw_windows(ax: Axes, points: DataFrame, over: float) -> None:
    """Draw a curve for each deficit, regime and length, in points lost against no deficit."""
    curves = {}
    lengths, regimes = (points["end"] - points["first"]).nunique(), points["regime"].nunique()
    groups = points.assign(length=points["end"] - points["first"]).groupby(["regime", "deficit", "length"])
    for (regime, deficit, length), curve in groups:
        parts = [words(deficit), *([words(regime)] if regimes > 1 else [])]
        curves[", ".join([*parts, *([f"{length:,} iterations"] if lengths > 1 else [])])] = curve
    aside = apart(len(curves), points["stop"].max())
    styles = curve_styles(list(curves)).values()
    for (label, curve), style, shift in zip(curves.items(), styles, aside, strict=True):
        bars(ax, curve, "first", shift, label=drawable(label), **style)
        ends = 100 * curve["mean"], curve["first"] + shift, curve["end"]
        ax.hlines(*ends, color=style["color"], linewidth=0.7, alpha=0.6)
    ax.axhline(0, color="0.5", linewidth=0.8, linestyle=":", zorder=1)
    if np.isfinite(over):
        ax.axvline(over, color="0.3", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1.2)
        ax.annotate(
            f"from here on below {100 * NEGLIGIBLE:g} points", (over, 1), (3, -2), va="top", fontsize=6.5,
            xycoords=ax.get_xaxis_transform(), textcoords="offset points",
        )  # fmt: skip
    ax.set_ylabel("Accuracy lost to the\ndeficit (points)")
    add_legend_below(ax)


@figure(reads=("deficits",), protocol="held")
def regularisation(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy where a regime holds only until an iteration, or only from it on: a panel a regime.

    Lines are training as it is and training under the regime throughout, with bands of one standard
    deviation. Windows that touch neither end of training are not drawn.

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
    network = table.iloc[0]
    with house_style():
        figure, axes = new_axes(len(names), height=2.4)
        for ax, name in zip(axes, names, strict=True):
            if ax is not axes[0]:
                ax.sharey(axes[0])
            draw_held(ax, points[points["regime"].isin([name, BASE])])
            ax.set_title(f"{network['model']}, {network['dataset']}: {words(name)}", loc="left")
        axes[0].set_ylabel("Test accuracy (%)")
        add_legend(figure, axes, "The change")
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    named = points.assign(dataset=network["dataset"], model=network["model"], measure="accuracy")
    return figure, named[
        [*NETWORK, "measure", "regime", "curve", "first", "end", "stop", "mean", "std", "n", "diverged"]
    ]


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
    return over_seeds(runs, ["regime", "curve", "first", "end", "stop"])


def draw_held(ax: Axes, points: DataFrame) -> None:
    """Draw the two curves of one regime, and a line for each of never and always."""
    looks = dict(
        zip([*SWITCHED, NEVER, ALWAYS], curve_styles([*SWITCHED, NEVER, ALWAYS]).values(), strict=True)
    )
    for name, color in ((NEVER, "0.55"), (ALWAYS, "black")):
        for _, row in points[points["curve"] == name].iterrows():
            mean, std = 100 * row["mean"], 100 * np.nan_to_num(row["std"])
            ax.axhline(mean, color=color, linewidth=1.1, label=name, linestyle=looks[name]["linestyle"])
            ax.axhspan(mean - std, mean + std, color=color, alpha=0.15, linewidth=0)
    for (name, at), shape in zip(SWITCHED.items(), (BROAD, {}), strict=True):  # both switch at the same times
        curve = points[points["curve"] == name]
        if len(curve):
            bars(ax, curve, at, label=name, **looks[name] | shape)
    ax.set_xlim(0, points["stop"].max())
    ax.set_xlabel("Iteration of the change")
