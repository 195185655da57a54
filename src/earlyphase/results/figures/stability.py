"""Stability to the noise of SGD: two copies that part at k, and the error on the line between them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import names_of_rounds
from earlyphase.results.stability import STABLE, stable_from
from earlyphase.results.summaries import Tables, over_seeds
from earlyphase.results.timeline import rewinding_matches

GROUP = ["round", "k"]
LIMIT = "0.45"  # grey of what is no measurement
TICKS = (0, 1, 2, 5, 10, 20, 50, 100)  # points


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

    Source: Frankle, Dziugaite, Roy & Carbin 2020, Figures 2 to 5.
    """
    pairs, lines = tables["stability"], tables["lines"]
    rises = over_seeds(pairs, GROUP, "instability", ["density"])
    lines = lines.merge(pairs[["seed", *GROUP, "density"]])
    courses = over_seeds(lines, [*GROUP, "position"], "error", ["density"])
    names = names_of_rounds(rises)
    parts = [rises.assign(quantity="instability"), courses.assign(quantity="error")]
    with style.house_style():
        drawn, axes = style.new_axes(1 + len(names), columns=1 + min(len(names), 2), height=2.9)
        draw_instability(axes[0], pairs, rises, names)
        if "imp" in tables and "dense" in tables:
            low, high = rewinding_matches(tables["imp"], tables["dense"])
            if np.isfinite(high):
                look = {"color": "0.88", "linewidth": 1, "zorder": 0.5}
                axes[0].axvspan(low, high, label="tickets begin to match", **look)
                parts.append(DataFrame([{"quantity": "rewinding_matches", "k": high}]))
        styles = style.curve_styles([f"{k:,}" for k in sorted(pairs["k"].unique())])
        for ax, (number, name) in zip(axes[1:], names.items(), strict=True):
            for k, curve in courses[courses["round"] == number].groupby("k"):
                look = styles[f"{k:,}"] | {"marker": "", "linewidth": 1.2}
                style.curve_with_band(ax, curve, 100, "position", label=f"{k:,}", **look)
            ax.set_title(name, loc="left")
            ax.set_xlabel("Position on the line")
            ax.sharey(axes[1])
        axes[1].set_ylabel("Test error (%)")
        axes[1].set_ylim(bottom=0)
        style.add_legend(drawn, axes[:1], "Instability", "above left")
        style.add_legend(drawn, axes[1:], "Lines between copies that part at k =", "above right")
        axes[0].set_title(style.network_of(pairs), loc="left")
        style.add_note(drawn, f"{style.seeds_note(rises)} (curves); dots: each seed")
        for note in notes_of(pairs, lines, names):
            style.add_note(drawn, note)
    columns = ["quantity", *GROUP, "density", "position", "mean", "std", "n", "diverged"]
    return drawn, concat(parts, ignore_index=True)[columns]


def draw_instability(ax: Axes, pairs: DataFrame, rises: DataFrame, names: dict[int, str]) -> None:
    """Draw instability against k, a curve and a dot a seed for each round, and the threshold of stability."""
    styles = style.curve_styles(list(names.values()))
    for number, name in names.items():
        curve = rises[rises["round"] == number]
        seeds = pairs[pairs["round"] == number].sort_values(["seed", "k"])
        ax.plot(curve["k"], 100 * curve["mean"], label=name, linewidth=1.1, markersize=3.5, **styles[name])
        look = {"color": styles[name]["color"], "markersize": 3, "alpha": 0.6}
        ax.plot(seeds["k"], 100 * seeds["instability"], ".", **look)
    ax.set_yscale("symlog", linthresh=1, linscale=0.6)
    ax.set_yticks(TICKS, map(str, TICKS))
    ax.set_ylim(min(0, 100 * pairs["instability"].min()) - 0.1, 150)
    style.iteration_axis(ax, rises["k"].max())
    ax.set_xlabel("k at which the copies part (iteration)")
    ax.set_ylabel("Instability: error on the line above\nthat of its ends (points)")
    ax.axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
    ax.annotate("stable below", (0.02, 100 * STABLE), (0, -2), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="top", fontsize=6.5, color=LIMIT)  # fmt: skip


def notes_of(pairs: DataFrame, lines: DataFrame, names: dict[int, str]) -> list[str]:
    """Say from which k on each network is stable, how far two copies differ, how the line is measured."""
    stable, gaps = [], []
    for number, name in names.items():
        own = pairs[pairs["round"] == number]
        k = stable_from(own)[1]
        stable.append(f"{name}: {f'from k = {k:,.0f}' if np.isfinite(k) else 'at no k that was measured'}")
        differences = 100 * (own["first_accuracy"] - own["second_accuracy"]).abs()
        means = differences.groupby(own["k"]).mean().dropna()
        ends = [f"{means[k]:.1f} at k = {k:,}" for k in dict.fromkeys([*means.index[:1], *means.index[-1:]])]
        gaps += [f"{name}: {', '.join(ends)}"] if ends else []
    count, images = lines["position"].nunique(), lines["sample"].iloc[0]
    statistics = f", batch norm's statistics estimated at each on {images:,} training images"
    return [
        f"Surely stable (95 % interval) – {'; '.join(stable)}",
        *([f"Accuracies of two copies differ, in points on average – {'; '.join(gaps)}"] if gaps else []),
        f"Errors are those of {count} points on a line{statistics if images else ''}",
    ]
