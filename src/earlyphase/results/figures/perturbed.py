"""Figures 4 to 7: how accurate tickets are whose weights were changed at iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures.labels import Labels, in_order, labels_by_name
from earlyphase.results.figures.style import (
    Tables,
    add_legend,
    add_note,
    curve_styles,
    house_style,
    network_of,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import (
    BASELINES,
    DENSE,
    MASKS_OF_K,
    OWN_MASKS,
    REWIND_TO_0,
    TO_K,
    accuracy_by_density,
    dense_points,
    nothing_to_show,
    results,
    rewind_label,
    ticket_points,
)


@figure(reads=("perturbed",), uses=("imp", "dense"))
def perturbed(tables: Tables, *, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets against density, a panel for each k.

    Every panel also has the ticket of k unperturbed and both readings of "rewind to 0", where they were
    run: tickets of k = 0 with their own masks, and the state of 0 under the masks of k.

    Args:
        tables: of one network: `perturbed`; `imp` and `dense`, where there are any: a row per evaluation.
        show: perturbation and label of each curve, in the order of the legend.

    Returns:
        The figure; the dense network (`k` missing), then a row per k, curve and round, with the columns
        of `ticket_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figures 4 to 7 (A4 to A7 for other networks).
    """
    labels = labels_of_curves("perturbed", show)
    tickets = perturbed_points(tables, labels)
    shown = [label for label in labels.values() if label in set(tickets["curve"])]
    if not shown:
        raise nothing_to_show("perturbed", list(labels))
    dense = dense_points(tables)
    styles = BASELINES | curve_styles([label for label in shown if label not in BASELINES])
    with house_style():
        panels = tickets["k"].unique()
        drawn, axes = new_axes(len(panels), sharey=True)
        for ax, k in zip(axes, panels, strict=True):
            accuracy_by_density(ax, concat([dense, tickets[tickets["k"] == k]]), styles)
            ax.set_title(f"{network_of(tickets)}: {rewind_label(k)}", loc="left")
        add_legend(drawn, axes, "Start of training")
        points = concat([dense, tickets], ignore_index=True)
        add_note(drawn, seeds_note(points))
    return drawn, points


def labels_of_curves(figure: str, show: list[dict[str, str]]) -> dict[str, str]:
    """Return the label of each perturbation: as `labels_by_name`, and none that a baseline has.

    "Rewind to 0 under the masks of k" is a perturbation itself, and may keep its name.
    """
    own_name = {REWIND_TO_0: MASKS_OF_K} if in_order(show).get(REWIND_TO_0) == MASKS_OF_K else {}
    return labels_by_name(figure, show, [*BASELINES, DENSE]) | own_name


def perturbed_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise perturbed tickets and their baselines: a row for each k of the perturbed, curve and round.

    Args:
        tables: `perturbed`, and `imp` where there is one.
        labels: perturbation -> label.

    Returns:
        The columns of `ticket_points`: `k` is that of the panel, `curve` as in the legend.
    """
    names = {REWIND_TO_0: MASKS_OF_K} | labels
    branches = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    chains = results(tables, "imp", "k", "round", "seed")
    runs = [branches.assign(curve=branches["perturbation"].map(names)).dropna(subset="curve")]
    for k in branches.loc[branches["perturbation"].isin(labels), "k"].unique():
        runs += [chains[chains["k"] == k].assign(curve=TO_K)] if k else []
        runs += [chains[chains["k"] == 0].assign(curve=OWN_MASKS, k=k)]
    runs = [part for part in runs if len(part)] or runs
    return ticket_points(concat(runs), [*BASELINES, *names.values()])
