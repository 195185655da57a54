"""Stability to the noise of SGD: two copies that part at k, and the error on the line between them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    add_note,
    curve_styles,
    house_style,
    iteration_axis,
    line_with_band,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.stability import STABLE, stable_from
from earlyphase.results.timeline import rewinding_matches

GROUP = ["round", "k"]
LIMIT = "0.45"  # grey of what is no measurement
POINTS = (0, 1, 2, 5, 10, 20, 50, 100)  # ticks


@figure(reads=("stability", "lines"), uses=("imp", "dense"))
def stability(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the instability of the dense network and of tickets against k, and the error on the line.

    Args:
        tables: of one network: `stability` and `lines`; `imp` with `dense`, where there are both, for the k
            from which rewinding matches.

    Returns:
        The figure, and a row per point: `round` (0 is the dense network), `density`, `k`, `quantity`
        ("instability", or "error" at a `position` on the line), `mean`, `std`, `n` and `diverged`; and
        `rewinding_matches`, a k alone, where there is one.

    Raises:
        InvalidInput: the table holds no pair.

    Source: Frankle, Dziugaite, Roy & Carbin 2020, Figures 2 to 5.
    """
    pairs, lines = tables["stability"], tables["lines"]
    if pairs.empty:
        raise InvalidInput("figure stability: the table stability holds no pair")
    rises = summary(pairs, "instability", GROUP)
    courses = summary(lines.merge(pairs[["seed", *GROUP, "density"]]), "error", [*GROUP, "position"])
    match = match_of(tables)
    parts = [rises.assign(quantity="instability"), courses.assign(quantity="error"), match]
    points = concat([part for part in parts if len(part)], ignore_index=True)
    rounds = sorted(pairs["round"].unique())
    names = {number: name_of(number, rises) for number in rounds}
    with house_style():
        figure, axes = new_axes(1 + len(rounds), columns=1 + min(len(rounds), 2), height=3.2)
        draw_rises(axes[0], rises, names)
        for k in match["k"] if len(match) else ():
            axes[0].axvline(k, color=LIMIT, linewidth=1, linestyle=":", label="tickets match dense from here")
        axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
        styles = curve_styles([f"{k:,}" for k in sorted(pairs["k"].unique())])
        for ax, number in zip(axes[1:], rounds, strict=True):
            draw_lines(ax, courses[courses["round"] == number], styles)
            ax.set_title(names[number], loc="left")
            ax.sharey(axes[1])
        axes[1].set_ylabel("Test error (%)")
        axes[1].set_ylim(bottom=0)
        add_legend(figure, axes[1:], "Lines from k =")
        first = pairs.iloc[0]
        figure.suptitle(f"{first['model']}, {first['dataset']}", x=0.01, ha="left", fontsize=8)
        figure.supxlabel(seeds_note(rises), x=0.01, ha="left", **SMALL_PRINT)
        for note in notes_of(pairs, lines, names):
            add_note(figure, note)
    return figure, points[["quantity", *GROUP, "density", "position", "mean", "std", "n", "diverged"]]


def summary(table: DataFrame, value: str, by: list[str]) -> DataFrame:
    """Summarise a column over seeds: the columns of `by`, `density`, `mean`, `std`, `n`, `diverged`."""
    groups = table.sort_values("seed").groupby(by)  # sums in another order end in other digits
    found = groups.agg(
        density=("density", "mean"), mean=(value, "mean"), std=(value, "std"), n=(value, "count")
    )
    return found.assign(diverged=groups.size() - found["n"]).reset_index()


def name_of(number: int, rises: DataFrame) -> str:
    """What the network of a round is called: by the density of its weights."""
    density = rises.loc[rises["round"] == number, "density"].mean()
    return f"Tickets, {plain(100 * density)} % of weights" if number else "Dense network"


def draw_rises(ax: Axes, rises: DataFrame, names: dict[int, str]) -> None:
    """Draw instability against k, a curve for each round, and the threshold below which it counts as none."""
    styles = curve_styles(list(names.values()))
    for number, curve in rises.groupby("round"):
        look = {"linewidth": 1.1, "markersize": 3.5, "elinewidth": 0.8, "capsize": 1.5} | styles[
            names[number]
        ]
        bars = 100 * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(curve["k"], 100 * curve["mean"], bars, label=names[number], **look)
    ax.set_yscale("symlog", linthresh=1, linscale=0.6)
    ax.set_yticks(POINTS, map(str, POINTS))
    ax.set_ylim(0, 100)
    iteration_axis(ax, rises["k"].max())
    ax.set_xlabel("k at which the copies part (iteration)")
    ax.set_ylabel("Instability: error on the line above\nthat of its ends (points)")
    ax.axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.annotate("stable below", (0, 100 * STABLE), (3, -2), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="top", fontsize=6.5, color=LIMIT)  # fmt: skip


def match_of(tables: Tables) -> DataFrame:
    """The k from which on rewinding matches the dense network, as a point; none where that is not known."""
    if "imp" not in tables or "dense" not in tables:
        return DataFrame()
    k = rewinding_matches(tables["imp"], tables["dense"])
    return DataFrame([{"quantity": "rewinding_matches", "k": k}]).dropna()


def draw_lines(ax: Axes, courses: DataFrame, styles: dict[str, dict]) -> None:
    """Draw the error along the line from one copy to the other, a curve with its band for each k."""
    for k, curve in courses.groupby("k"):
        look = {key: value for key, value in styles[f"{k:,}"].items() if key != "marker"}
        look |= {"linewidth": 1.2, "label": f"{k:,}"}
        spread = curve["std"].fillna(0)
        band = 100 * (curve["mean"] - spread), 100 * (curve["mean"] + spread)
        line_with_band(ax, curve["position"], 100 * curve["mean"], band, alpha=0.15, **look)
    ax.set_xlabel("Position on the line")


def notes_of(pairs: DataFrame, lines: DataFrame, names: dict[int, str]) -> list[str]:
    """Say from which k on each network is stable, how far two copies differ, how the line is measured."""
    found = {names[number]: stable_from(own) for number, own in pairs.groupby("round")}
    said = "; ".join(
        f"{name}: {f'from k = {k:,.0f}' if k == k else 'at no k measured'}" for name, k in found.items()
    )
    count, images = lines["position"].nunique(), lines["sample"].iloc[0]
    how = f"{count} points on a line"
    if images:  # none where there is no batch norm
        how += f", batch norm's statistics estimated at each on {images:,} training images"
    return [f"Surely stable (95 % interval) – {said}", *difference_of_copies(pairs, names), how]


def difference_of_copies(pairs: DataFrame, names: dict[int, str]) -> list[str]:
    """Say how far the accuracies of two copies differ that part at the smallest k, and at the largest."""
    gaps = pairs.assign(gap=100 * (pairs["first_accuracy"] - pairs["second_accuracy"]).abs())
    means = gaps.groupby(GROUP)["gap"].mean().dropna()
    said = []
    for number, own in means.groupby("round"):
        ends = dict.fromkeys((own.index[0], own.index[-1]))
        listed = ", ".join(f"{means[place]:.1f} at k = {place[1]:,}" for place in ends)
        said.append(f"{names[number]}: {listed}")
    return [f"Accuracies of two copies differ, in points on average – {'; '.join(said)}"] if said else []
