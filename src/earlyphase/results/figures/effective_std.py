"""Figure 8: accuracy of a perturbed ticket against the size of the perturbation."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from numpy.typing import ArrayLike
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures.labels import Families, Round, drawable, names_by_label
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    curve_styles,
    house_style,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.figures.tickets import nothing_to_show, results, rewind_label
from earlyphase.results.summaries import NETWORK, fit_line, perturbation_means

MARKER = 6  # size of a point with its surroundings, in points of 1/72 inch
LABEL = 5  # how often the area of another label counts; of thin things it counts once to six times
FIRM = 30  # and that of markers, of the corner text, of lines to points and beyond the panel
NEAR = 4  # distance of a label that needs no line to its point, likewise
ANGLES = np.pi * np.arange(0, 2, 1 / 8)
DIRECTIONS = np.tile(np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), (7, 1))  # of a label's places
DISTANCES = np.repeat([NEAR, 7, 11, 16, 22, 29, 37], len(ANGLES))  # of the same places
ALONG = np.linspace(0.3, 1, 12)[:, None, None]  # places along a line


@figure(reads=("perturbed",))
def effective_std(tables: Tables, *, round: Round, families: Families) -> tuple[Figure, DataFrame]:
    """Draw mean accuracy of perturbed tickets against the size of the perturbation, a panel for each k.

    The line and Pearson's r are over the means, one for each perturbation: runs of one perturbation are
    not independent points.

    Args:
        tables: `perturbed`, a row per evaluation.
        round: of pruning.
        families: label and perturbations of each colour. Others, such as rewinding, are left out.

    Returns:
        The figure, and a row per point as from `effective_std_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table at this round, or a label is too long.

    Source: Frankle, Schwab & Morcos 2020, Figure 8 (A8 for other networks).
    """
    names = names_by_label("effective_std", families)
    points = effective_std_points(tables, round, names)
    panels = [panel for _, panel in points.groupby([*NETWORK, "k"])]
    with house_style():
        figure, axes = new_axes(len(panels), height=3.6)
        styles = curve_styles(list(names))
        for ax, panel in zip(axes, panels, strict=True):
            draw_panel(ax, panel, styles)
        add_legend(figure, axes, "Perturbation of")
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
        figure.draw_without_rendering()  # settles the layout, which the labels need
        for ax, panel in zip(axes, panels, strict=True):
            label_points(ax, panel[panel["n"] > 0])
    return figure, points


def draw_panel(ax: Axes, points: DataFrame, styles: dict[str, dict]) -> None:
    """Draw the points of one network and k, under their title."""
    dataset, model, k = points[[*NETWORK, "k"]].iloc[0]
    weights = f"{plain(100 * points['density'].mean())} % of weights"
    ax.set_title(f"{model}, {dataset}: {rewind_label(k)}, {weights}", loc="left")
    accuracy_by_size(ax, points, styles)
    ax.set_xlabel("Effective standard deviation of the perturbation")
    ax.set_ylabel("Test accuracy (%)")


def effective_std_points(tables: Tables, imp_round: Round, families: dict[str, list[str]]) -> DataFrame:
    """Return the points of `effective_std`: a row per k and perturbation, families in their order.

    Columns: `dataset`, `model`, `k`, `family`, `perturbation`, `density`, `effective_std` and
    `effective_std_spread` (its standard deviation over seeds), `mean`, `std`, `n`, `diverged`; `fitted`
    by the line and `residual` = mean - fitted; `r` and `p`, the same for all points of a k. Accuracies
    are fractions.

    Raises:
        InvalidInput: there is no such point.
    """
    place = [*NETWORK, "k", "family", "perturbation"]
    family = {name: label for label, names in families.items() for name in names}
    runs = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    runs = runs[(runs["round"] == imp_round) & runs["perturbation"].isin(family)]
    columns = [*place, "density", "effective_std", "effective_std_spread", "mean", "std", "n", "diverged"]
    if runs.empty:
        raise nothing_to_show("effective_std", family, imp_round)
    runs = runs.assign(family=runs["perturbation"].map(family))
    density = runs.groupby(place)["density"].mean().reset_index()
    points = perturbation_means(runs, place).merge(density, on=place)[columns]
    parts = []
    for _, panel in points.groupby([*NETWORK, "k"]):
        drawn = panel[panel["n"] > 0]
        line = fit_line(drawn["effective_std"], drawn["mean"])
        on_line = line.intercept + line.slope * panel["effective_std"]
        parts += [panel.assign(fitted=on_line, residual=panel["mean"] - on_line, r=line.r, p=line.p)]
    order = {name: i for i, name in enumerate(family)}
    return (
        concat(parts)
        .sort_values(
            [*NETWORK, "k", "perturbation"], key=lambda at: at.map(order) if at.name == "perturbation" else at
        )
        .reset_index(drop=True)
    )


def accuracy_by_size(ax: Axes, points: DataFrame, styles: dict[str, dict]) -> None:
    """Draw a point with error bars for each perturbation, their line, and r with p in a corner."""
    for family, shown in points.groupby("family", sort=False):
        style_of = {key: value for key, value in styles[family].items() if key != "linestyle"}
        ax.errorbar(
            shown["effective_std"],
            100 * shown["mean"],
            100 * shown["std"] if shown["std"].notna().any() else None,
            shown["effective_std_spread"] if shown["effective_std_spread"].notna().any() else None,
            label=drawable(family),
            linestyle="none",
            markersize=4.5,
            markeredgewidth=0.8,
            elinewidth=0.6,
            capsize=0,
            zorder=3,
            **style_of,
        )
    drawn = points[points["n"] > 0]
    ends = (
        drawn.loc[[drawn["effective_std"].idxmin(), drawn["effective_std"].idxmax()]] if len(drawn) else drawn
    )
    ax.plot(ends["effective_std"], 100 * ends["fitted"], color="0.5", linewidth=0.8, zorder=1.5)
    ax.margins(x=0.12, y=0.12)
    r, p = points[["r", "p"]].iloc[0]
    if np.isnan(r):
        fit = "r needs three points" if len(drawn) < 3 else "no r: sizes or accuracies are all equal"
    else:
        fit = f"Pearson r = {r:.2f}, {p_value(p)}".replace("-", "\N{MINUS SIGN}")
    side = "left" if r > 0 else "right"  # where a line of that slope leaves room
    ax.text(
        0.02 if side == "left" else 0.98, 0.98, f"{fit}\n{len(drawn)} perturbations", va="top", ha=side,
        transform=ax.transAxes, fontsize=7, gid="fit",
    )  # fmt: skip


def p_value(p: float) -> str:
    """Write a p-value as it is reported: p = 0.0085, p < 0.0001."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def label_points(ax: Axes, points: DataFrame) -> None:
    """Name every point, each label where it covers least; the layout must be settled.

    Labels are placed one by one, then each again, twice, with all others in place. One that stands away
    from its point is tied to it by a thin line.

    Args:
        ax: panel with the points, their line and the text in the corner.
        points: those that are drawn, a row each.
    """
    if points.empty:
        return
    point = ax.figure.dpi / 72  # in pixels, as all that follows
    centres = ax.transData.transform(points[["effective_std", "mean"]] * [1, 100])
    covered = obstacles(ax, points, point)
    panel = ax.get_window_extent().extents
    labels = write_labels(ax, points)
    sizes = np.array([Text.get_window_extent(label).size for label in labels]) + point
    places: dict[int, Place] = {}
    for i in [*range(len(labels))] * 3:
        others = [place for j, place in places.items() if j != i]
        markers = boxes(np.delete(centres, i, 0), MARKER * point)
        places[i] = best_place(centres[i], sizes[i], point, panel, covered, markers, others)
        labels[i].set_position(places[i].shift / point)
        labels[i].arrow_patch.set_visible(len(places[i].tie) > 0)


def write_labels(ax: Axes, points: DataFrame) -> list[Annotation]:
    """Write the name of each point onto it, with a line to the point for when it is moved away."""
    places = points[["effective_std", "mean"]].to_numpy() * [1, 100]
    return [
        ax.annotate(
            drawable(readable(name)), place, (0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=5.5, color="0.2", gid="label", zorder=4,
            path_effects=[withStroke(linewidth=1.2, foreground="white")],
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2.2},
        )
        for name, place in zip(points["perturbation"], places, strict=True)
    ]  # fmt: skip


def obstacles(ax: Axes, points: DataFrame, point: float) -> np.ndarray:
    """Boxes (n, 4) that no label should cover, in pixels: corner text, markers, error bars, fitted line.

    What must stay readable or is thin is there several times, so that its area counts as often.
    """
    x, y, fitted = (points[name] for name in ("effective_std", "mean", "fitted"))
    wide, high = points["effective_std_spread"].fillna(0), points["std"].fillna(0)
    centres, left, right, low, top, line = (
        ax.transData.transform(np.column_stack([at, 100 * by]))
        for at, by in ((x, y), (x - wide, y), (x + wide, y), (x, y - high), (x, y + high), (x, fitted))
    )
    corner = [text.get_window_extent().extents for text in ax.texts]
    upright, level = np.array([point, 0]), np.array([0, point])
    bars = np.vstack([np.hstack([low - upright, top + upright]), np.hstack([left - level, right + level])])
    ends = line[[line[:, 0].argmin(), line[:, 0].argmax()]]
    line = boxes(np.linspace(*ends, 100 if np.isfinite(ends).all() else 0), 2 * point)
    markers = boxes(centres, MARKER * point)
    return np.vstack([*FIRM * corner, *FIRM * [markers], *6 * [bars], line])


class Place(NamedTuple):
    """Where a label stands; in pixels."""

    shift: np.ndarray  # (2,), from its point to its middle
    box: np.ndarray  # (1, 4)
    tie: np.ndarray  # (n, 4), boxes along the line to its point, if it has one


def best_place(
    centre: np.ndarray,
    size: np.ndarray,
    point: float,
    panel: np.ndarray,
    covered: np.ndarray,
    markers: np.ndarray,
    others: list[Place],
) -> Place:
    """Find the place around `centre` where a label covers least: near, in the panel, its line crossing none.

    Args:
        centre: of the marker, (2,), in pixels as all others.
        size: of the label, (2,).
        point: 1/72 inch.
        panel: box (4,) to stay in.
        covered: boxes (n, 4) not to cover, from `obstacles`.
        markers: boxes (n, 4) of the other points.
        others: labels in place.
    """
    shifts = DIRECTIONS * (size / 2 + DISTANCES[:, None] * point)
    candidates = boxes(centre + shifts, size)
    labels, ties = ([place[part] for place in others] for part in (1, 2))
    cost = 2 * point**2 * DISTANCES + FIRM * (size.prod() - overlap(candidates, panel))
    cost += overlap(candidates, np.vstack([covered, *LABEL * labels, *FIRM * ties]))
    along = boxes(centre + ALONG * DIRECTIONS * DISTANCES[:, None] * point, point)
    for dots in along:
        crossed = 20 * overlap(dots, np.vstack([markers, *labels]))
        cost += np.where(DISTANCES > NEAR, crossed, 0)
    best = int(cost.argmin())
    tie = along[:, best] if DISTANCES[best] > NEAR else np.empty((0, 4))
    return Place(shifts[best], candidates[best : best + 1], tie)


def readable(name: str) -> str:
    """Write the name of a perturbation in words, a long one on two lines of about equal length."""
    words = name.split("_")
    lines = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(len(words) - 1, 0, -1)]
    if len(name) <= 14 or not lines:
        return " ".join(words)
    return "\n".join(min(lines, key=lambda pair: max(map(len, pair))))


def boxes(centres: np.ndarray, size: ArrayLike) -> np.ndarray:
    """Boxes (..., 4) of one size around `centres` (..., 2): left, bottom, right, top."""
    half = np.broadcast_to(size, 2) / 2
    return np.concatenate([centres - half, centres + half], axis=-1)


def overlap(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each of `some` boxes (n, 4) shares with `others` (m, 4), summed over these: (n,)."""
    a, b = some[:, None], others.reshape(-1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(axis=-1).sum(axis=-1)
