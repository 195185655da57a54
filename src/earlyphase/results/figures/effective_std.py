"""Figure 8: accuracy of a perturbed ticket against the size of the perturbation."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import ArrayLike
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import Families, Round, drawable, names_by_label
from earlyphase.results.figures.tickets import nothing_to_show, results, rewind_label
from earlyphase.results.summaries import NETWORK, Tables, fit_line, perturbation_means

MARKER = 6  # size of a point with its surroundings, in points of 1/72 inch
NEAR = 4  # distance at which a label needs no line to its point, likewise
ANGLES = np.pi * np.arange(0, 2, 1 / 8)
DIRECTIONS = np.tile(np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), (7, 1))  # of a label's places
DISTANCES = np.repeat([NEAR, 7, 11, 16, 22, 29, 37], len(ANGLES))  # of the same places
FIRM = 30  # how often the area of markers, of the corner text and beyond the panel counts in a label's place
LABEL = 5  # how often that of another label does; error bars count once


@figure(reads=("perturbed",))
def effective_std(tables: Tables, *, round: Round, families: Families) -> tuple[Figure, DataFrame]:
    """Draw mean accuracy of perturbed tickets against the size of the perturbation, a panel for each k.

    The line and Pearson's r are over the means, one for each perturbation: runs of one perturbation are
    not independent points.

    Args:
        tables: `perturbed` of one network, a row per evaluation.
        round: of pruning.
        families: label and perturbations of each colour. Others, such as rewinding, are left out.

    Returns:
        The figure, and a row per point as from `effective_std_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table at this round.

    Source: Frankle, Schwab & Morcos 2020, Figure 8 (A8 for other networks).
    """
    names = names_by_label(families)
    points = effective_std_points(tables, round, names)
    panels = [panel for _, panel in points.groupby("k")]
    with style.house_style():
        drawn, axes = style.new_axes(len(panels), height=3.6, sharex=True, sharey=True)
        styles = style.curve_styles(list(names))
        for ax, panel in zip(axes, panels, strict=True):
            weights = f"{style.plain(100 * panel['density'].mean())} % of weights"
            ax.set_title(
                f"{style.network_of(panel)}: {rewind_label(panel['k'].iloc[0])}, {weights}", loc="left"
            )
            accuracy_by_size(ax, panel, styles)
        axes[0].set_ylabel("Test accuracy (%)")
        style.add_legend(drawn, axes, "Perturbation of")
        style.add_note(drawn, style.seeds_note(points))
        drawn.draw_without_rendering()  # settles the layout, which the labels need
        for ax, panel in zip(axes, panels, strict=True):
            label_points(ax, panel[panel["n"] > 0])
    return drawn, points


def effective_std_points(tables: Tables, imp_round: Round, families: dict[str, list[str]]) -> DataFrame:
    """Return the points of `effective_std`: a row per k and perturbation, families in their order.

    Columns: `dataset`, `model`, `k`, `family`, `perturbation`, `density`, `effective_std` and
    `effective_std_spread` (its standard deviation over seeds), `mean`, `std`, `n`, `diverged`, `dead`;
    `fitted` by the line and `residual` = mean - fitted; `r` and `p`, the same for all points of a k.
    Accuracies are fractions.

    Raises:
        InvalidInput: there is no such point.
    """
    place = [*NETWORK, "k", "family", "perturbation"]
    family = {name: label for label, names in families.items() for name in names}
    runs = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    runs = runs[(runs["round"] == imp_round) & runs["perturbation"].isin(family)]
    if runs.empty:
        raise nothing_to_show("effective_std", list(family), imp_round)
    points = perturbation_means(runs.assign(family=runs["perturbation"].map(family)), place, ["density"])
    parts = []
    for _, panel in points.groupby("k"):
        drawn = panel[panel["n"] > 0]
        line = fit_line(drawn["effective_std"], drawn["mean"])
        fitted = line.intercept + line.slope * panel["effective_std"]
        parts.append(panel.assign(fitted=fitted, residual=panel["mean"] - fitted, r=line.r, p=line.p))
    order = {name: i for i, name in enumerate(family)}
    points = concat(parts).sort_values(
        ["k", "perturbation"], key=lambda at: at.map(order) if at.name == "perturbation" else at
    )
    sizes, accuracies = ["effective_std", "effective_std_spread"], ["mean", "std", "n", "diverged", "dead"]
    columns = [*place, "density", *sizes, *accuracies, "fitted", "residual", "r", "p"]
    return points[columns].reset_index(drop=True)


def accuracy_by_size(ax: Axes, points: DataFrame, styles: dict[str, dict]) -> None:
    """Draw a point with error bars for each perturbation, their line, and r with p in a corner."""
    for family, shown in points.groupby("family", sort=False):
        look = {"markersize": 4.5, "markeredgewidth": 0.8, "elinewidth": 0.6, "zorder": 3}
        x, y = shown["effective_std"], 100 * shown["mean"]
        bars = {"xerr": shown["effective_std_spread"], "yerr": 100 * shown["std"]}
        bars = {name: size for name, size in bars.items() if size.notna().any()}
        look |= styles[family] | {"linestyle": "none"}
        ax.errorbar(x, y, label=drawable(family), **bars, **look)
        style.mark_lost(ax, shown, x, look["color"])
    drawn = points[points["n"] > 0].sort_values("effective_std")
    ends = drawn.iloc[[0, -1]] if len(drawn) else drawn
    ax.plot(ends["effective_std"], 100 * ends["fitted"], color="0.5", linewidth=0.8, zorder=1.5)
    ax.margins(x=0.12, y=0.12)
    r, p = points[["r", "p"]].iloc[0]
    if np.isnan(r):
        fit = "r needs three points" if len(drawn) < 3 else "no r: sizes or accuracies are all equal"
    else:
        p_value = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
        fit = f"Pearson r = {r:.2f}, {p_value}".replace("-", "\N{MINUS SIGN}")
    x, side = (0.02, "left") if r > 0 else (0.98, "right")  # where a line of that slope leaves room
    ax.text(x, 0.98, f"{fit}\n{len(drawn)} perturbations", va="top", ha=side, transform=ax.transAxes,
            fontsize=7, gid="fit")  # fmt: skip
    ax.set_xlabel("Effective standard deviation of the perturbation")


def label_points(ax: Axes, points: DataFrame) -> None:
    """Name every point, each label where it covers least; the layout must be settled.

    Labels are placed one by one, then each again with all others in place. One that stands away from its
    point is tied to it by a thin line.

    Args:
        ax: panel with the points, and the text in the corner.
        points: those that are drawn, a row each.
    """
    pixels = ax.figure.dpi / 72  # of a point of 1/72 inch; boxes are in pixels
    at = points[["effective_std", "mean"]].to_numpy() * [1, 100]
    half = points[["effective_std_spread", "std"]].fillna(0).to_numpy() * [1, 100]
    corners = [text.get_window_extent().extents for text in ax.texts]
    panel = ax.get_window_extent().extents
    labels = [
        ax.annotate(
            readable(name), place, (0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=5.5, color="0.2", gid="label", zorder=4,
            path_effects=[withStroke(linewidth=1.2, foreground="white")],
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2.2},
        )
        for name, place in zip(points["perturbation"], at, strict=True)
    ]  # fmt: skip
    centres = ax.transData.transform(at).reshape(-1, 2)
    spread = np.abs(ax.transData.transform(at + half).reshape(-1, 2) - centres)
    bars = [boxes(centres, np.column_stack([2 * spread[:, 0], np.full(len(at), 2 * pixels)])),
            boxes(centres, np.column_stack([np.full(len(at), 2 * pixels), 2 * spread[:, 1]]))]  # fmt: skip
    covered = np.vstack([*bars, *FIRM * [boxes(centres, MARKER * pixels), *corners]])
    sizes = [Text.get_window_extent(label).size + pixels for label in labels]
    placed: dict[int, np.ndarray] = {}
    for i in [*range(len(labels))] * 3:
        shifts = DIRECTIONS * (sizes[i] / 2 + DISTANCES[:, None] * pixels)
        places = boxes(centres[i] + shifts, sizes[i])
        others = [box for j, box in placed.items() if j != i]
        cost = 4 * pixels**2 * DISTANCES + FIRM * (sizes[i].prod() - overlap(places, panel))
        cost += overlap(places, np.vstack([covered, *LABEL * others]))
        best = int(cost.argmin())
        placed[i] = places[best]
        labels[i].set_position(shifts[best] / pixels)
        labels[i].arrow_patch.set_visible(DISTANCES[best] > NEAR)


def readable(name: str) -> str:
    """Write the name of a perturbation in words, a long one on two lines of about equal length."""
    words = name.split("_")
    lines = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(len(words) - 1, 0, -1)]
    if len(name) <= 14 or not lines:
        return " ".join(words)
    return "\n".join(min(lines, key=lambda pair: max(map(len, pair))))


def boxes(centres: np.ndarray, size: ArrayLike) -> np.ndarray:
    """Return boxes (..., 4) of a size around `centres` (..., 2): left, bottom, right, top."""
    return np.concatenate([centres - np.divide(size, 2), centres + np.divide(size, 2)], axis=-1)


def overlap(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that each of `some` boxes (n, 4) shares with `others` (m, 4), summed: (n,)."""
    a, b = some[:, None], others.reshape(-1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(axis=-1).sum(axis=-1)
