"""Figures of one round: an accuracy for each perturbation, side by side."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import Labels, Round, drawable
from earlyphase.results.figures.perturbed import labels_of_curves, perturbed_points
from earlyphase.results.figures.tickets import BASELINES, TO_K, nothing_to_show, rewind_label
from earlyphase.results.summaries import Tables

INCHES = 0.24  # height of a row


@figure(reads=("perturbed",), uses=("imp",))
def one_round(tables: Tables, *, round: Round, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets of one round, a row for each, a panel for each k.

    Vertical lines are the unperturbed ticket of k, with a band of one standard deviation, and both
    readings of "rewind to 0", as in Figures 4 to 7. A k with a single row has no panel beside one with more.

    Args:
        tables: of one network: `perturbed`; `imp`, where there is one: a row per evaluation.
        round: of pruning.
        show: perturbation and label of each row, from the top.

    Returns:
        The figure, and its points as from `perturbed_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table at this round, or a label cannot be used.
    """
    labels = labels_of_curves("one_round", show)
    points = perturbed_points(tables, labels)
    points = points[points["round"] == round].reset_index(drop=True)
    rows = [label for label in labels.values() if label in set(points["curve"])]
    if not rows:
        raise nothing_to_show("one_round", list(labels), round)
    counts = points[points["curve"].isin(rows)].groupby("k").size()
    panels = counts.index[(counts > 1) | (counts.max() == 1)]
    row_height = max(INCHES, style.LINE_INCHES * max(drawable(label).count("\n") + 1 for label in rows))
    with style.house_style():
        drawn, axes = style.new_axes(
            len(panels), height=0.5 + row_height * max(len(rows), 3), sharex=True, sharey=True
        )
        for ax, k in zip(axes, panels, strict=True):
            panel = points[points["k"] == k]
            accuracy_by_row(ax, panel.set_index("curve"), rows)
            ax.set_title(f"{style.network_of(panel)}: {rewind_label(k)}", loc="left")
            ax.set_xlabel(f"Test accuracy (%) at {style.plain(100 * panel['density'].mean())} % of weights")
        style.add_legend(drawn, axes, "Unperturbed", "right" if len(axes) == 1 else "above")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, points


def accuracy_by_row(
    ax: Axes, points: DataFrame, rows: list[str], lines: dict[str, dict] = BASELINES, band: str = TO_K
) -> None:
    """Draw a point with an error bar in each row, and a line for each baseline.

    Args:
        ax: panel to draw into.
        points: indexed by label or name of the baseline: `mean` and `std` as fractions, `diverged`, `dead`.
        rows: labels from the top; one without a point says so.
        lines: baseline -> style of its line.
        band: the baseline that has a band of one standard deviation.
    """
    for name, line in lines.items():
        if name in points.index:
            look = {"color": line["color"], "linestyle": line["linestyle"]}
            ax.axvline(100 * points.at[name, "mean"], label=name, linewidth=1.1, zorder=1.5, **look)
    if band in points.index:
        mean, std = 100 * points.loc[band, ["mean", "std"]].astype(float)
        ax.axvspan(mean - std, mean + std, color="0.5", alpha=0.2, linewidth=0, zorder=0.5)
    places = {label: -i for i, label in enumerate(rows)}
    shown = points[points.index.isin(rows)]
    y = shown.index.to_series().map(places)
    ax.errorbar(
        100 * shown["mean"], y, xerr=100 * shown["std"].fillna(0), linestyle="none", marker="o", markersize=4,
        color="#31688e", elinewidth=0.9, capsize=2, zorder=3,
    )  # fmt: skip
    style.mark_lost(ax, shown, y, "black", along="y")
    for label in (label for label in rows if label not in shown.index):
        ax.text(0.03, places[label], "not run", color="0.4", fontsize=6.5, va="center",
                transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set_yticks(list(places.values()), [drawable(label) for label in rows])
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
