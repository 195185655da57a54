"""Figures of one round: an accuracy for each perturbation, side by side."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures.labels import Labels, Round, drawable
from earlyphase.results.figures.perturbed import BASELINES, TO_K, labels_of_curves, ticket_points
from earlyphase.results.figures.style import (
    LINE_INCHES,
    SMALL_PRINT,
    Tables,
    add_legend,
    house_style,
    lines_of,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.figures.tickets import nothing_to_show, rewind_label
from earlyphase.results.summaries import NETWORK

INCHES = 0.24  # height of a row


@figure(reads=("perturbed",), uses=("imp",))
def one_round(tables: Tables, *, round: Round, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets of one round, a row for each, a panel for each k.

    Vertical lines are the unperturbed ticket of k, with a band of one standard deviation, and both
    readings of "rewind to 0", as in Figures 4 to 7. A k with a single row has no panel beside one with more.

    Args:
        tables: `perturbed`; `imp`, where there is one: a row per evaluation.
        round: of pruning.
        show: perturbation and label of each row, from the top.

    Returns:
        The figure, and its points as from `ticket_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table at this round, or a label cannot be used.
    """
    labels = labels_of_curves("one_round", show)
    points = ticket_points(tables, labels)
    points = points[points["round"] == round].reset_index(drop=True)
    rows = [label for label in labels.values() if label in set(points["curve"])]
    if not rows:
        raise nothing_to_show("one_round", labels, round)
    shown = points[points["curve"].isin(rows)].groupby([*NETWORK, "k"]).size()
    panels = list(shown[(shown > 1) | (shown.max() == 1)].index)
    row_height = max(INCHES, LINE_INCHES * max(lines_of(drawable(label)) for label in rows))
    with house_style():
        figure, axes = new_axes(len(panels), height=0.5 + row_height * max(len(rows), 3))
        for place, (ax, (dataset, model, k)) in enumerate(zip(axes, panels, strict=True)):
            shown = points[(points[[*NETWORK, "k"]] == [dataset, model, k]).all(axis=1)]
            accuracy_by_row(ax, shown.set_index("curve"), rows)
            if place % 2:  # right of a panel with the same rows
                ax.tick_params(labelleft=False)
            ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")
            ax.set_xlabel(f"Test accuracy (%) at {plain(100 * shown['density'].mean())} % of weights")
        add_legend(figure, axes, "Unperturbed")
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def accuracy_by_row(
    ax: Axes, points: DataFrame, rows: list[str], lines: dict[str, dict] = BASELINES, band: str = TO_K
) -> None:
    """Draw a point with an error bar in each row, and a line for each baseline.

    Args:
        points: indexed by label or name of the baseline: `mean` and `std` as fractions, `diverged`.
        rows: labels from the top.
        lines: baseline -> style of its line.
        band: the baseline that has a band of one standard deviation.
    """
    for name, style in lines.items():
        if name in points.index:
            ax.axvline(
                100 * points.at[name, "mean"], label=name, linewidth=1.1, zorder=1.5,
                color=style["color"], linestyle=style["linestyle"],
            )  # fmt: skip
    if band in points.index:
        mean, std = 100 * points.loc[band, ["mean", "std"]].astype(float)
        ax.axvspan(mean - std, mean + std, color="0.5", alpha=0.2, linewidth=0, zorder=0.5)
    place = {label: -i for i, label in enumerate(rows)}
    drawn = points[points.index.isin(rows)]
    ax.errorbar(
        100 * drawn["mean"], drawn.index.map(place), xerr=100 * drawn["std"].fillna(0), linestyle="none",
        marker="o", markersize=4, color="#31688e", elinewidth=0.9, capsize=2, zorder=3,
    )  # fmt: skip
    lost = [place[label] for label in drawn.index[drawn["diverged"] > 0]]
    ax.plot([0.02] * len(lost), lost, "x", color="black", markersize=4, transform=ax.get_yaxis_transform())
    ax.set_yticks(list(place.values()), [drawable(label) for label in rows])
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
