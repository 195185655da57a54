"""Figures 4 to 7: how accurate tickets are whose weights were changed at iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, Series, concat

from earlyphase.registry import figure
from earlyphase.results.figures.labels import Labels, in_order, labels_by_name
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    curve_styles,
    house_style,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import (
    accuracy_by_density,
    dense_line,
    nothing_to_show,
    results,
    rewind_label,
)
from earlyphase.results.summaries import NETWORK, over_seeds

BASELINE = {"linewidth": 1.5, "markersize": 4.4, "markerfacecolor": "white"}
BASELINES = {  # heavier than any perturbation, and without colour
    "rewind to k": BASELINE | {"color": "black", "linestyle": "-", "marker": "P"},
    "rewind to 0 (own masks)": BASELINE | {"color": "0.4", "linestyle": (0, (4, 1.2)), "marker": "X"},
    "rewind to 0 (masks of k)": BASELINE | {"color": "0.6", "linestyle": (0, (1, 0.8)), "marker": "p"},
}
TO_K, OWN_MASKS, MASKS_OF_K = BASELINES
DENSE = "dense"  # the curve of the network before pruning
COLUMNS = [*NETWORK, "k", "curve", "round", "density", "mean", "std", "n", "diverged"]
REWIND_TO_0 = "rewind_to_0"  # the perturbation that `MASKS_OF_K` shows


@figure(reads=("perturbed",), uses=("imp", "dense"))
def perturbed(tables: Tables, *, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets against density, a panel for each k.

    Every panel also has the ticket of k unperturbed and both readings of "rewind to 0", where they were
    run: tickets of k = 0 with their own masks, and the state of 0 under the masks of k.

    Args:
        tables: `perturbed`; `imp` and `dense`, where there are any: a row per evaluation.
        show: perturbation and label of each curve, in the order of the legend.

    Returns:
        The figure; the dense network (`k` missing), then a row per k, curve and round, with the columns
        of `ticket_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figures 4 to 7 (A4 to A7 for other networks).
    """
    labels = labels_of_curves("perturbed", show)
    tickets = ticket_points(tables, labels)
    if not set(labels.values()) & set(tickets["curve"]):
        raise nothing_to_show("perturbed", labels)
    points = concat([*dense_points(tables), tickets])[COLUMNS].reset_index(drop=True)
    drawn = [label for label in labels.values() if label in set(points["curve"]) and label not in BASELINES]
    with house_style():
        figure = draw_panels(points, {**BASELINES, **curve_styles(drawn)})
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def labels_of_curves(figure: str, show: list[dict[str, str]]) -> dict[str, str]:
    """Return the label of each perturbation: as `labels_by_name`, and none that a baseline has.

    "Rewind to 0 under the masks of k" is a perturbation itself, and may keep its name.
    """
    named_itself = {REWIND_TO_0: MASKS_OF_K} if in_order(show).get(REWIND_TO_0) == MASKS_OF_K else {}
    return labels_by_name(figure, show, [*BASELINES, DENSE]) | named_itself


def draw_panels(points: DataFrame, styles: dict[str, dict]) -> Figure:
    """Draw a panel for each network and k, its curves in the order of `styles`."""
    panels = list(points[points["k"].notna()].groupby([*NETWORK, "k"]).size().index)
    figure, axes = new_axes(len(panels))
    first = {}
    for ax, (dataset, model, k) in zip(axes, panels, strict=True):
        network = points[(points["dataset"] == dataset) & (points["model"] == model)]
        shown = network[network["k"] == k]
        curves = {label: shown[shown["curve"] == label] for label in styles}
        accuracy_by_density(ax, {label: curve for label, curve in curves.items() if len(curve)}, styles)
        if network["k"].isna().any():
            dense_line(ax, network[network["k"].isna()])
        ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")
        if (dataset, model) in first:
            ax.sharey(first[dataset, model])
        first.setdefault((dataset, model), ax)
    add_legend(figure, axes, "Start of training")
    return figure


def ticket_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise perturbed tickets and their baselines: a row for each k of the perturbed, curve and round.

    Args:
        tables: `perturbed`, and `imp` where there is one.
        labels: perturbation -> label.

    Returns:
        Columns: `dataset`, `model`, `k` of the panel, `curve` as in the legend, `round`, `density`,
        `mean`, `std`, `n`, `diverged`; density and accuracy are fractions.
    """
    place = [*NETWORK, "k", "curve", "round"]
    names = {REWIND_TO_0: MASKS_OF_K} | labels
    branches = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    chains = results(tables, "imp", "k", "round", "seed")
    curves = [branches.assign(curve=branches["perturbation"].map(names)).dropna(subset="curve")]
    for network, runs in branches[branches["perturbation"].isin(labels)].groupby(NETWORK):
        own = chains[(chains[NETWORK] == list(network)).all(axis=1)]
        for k in sorted(runs["k"].unique()):
            curves += [own[own["k"] == k].assign(curve=TO_K)] if k else []
            curves += [own[own["k"] == 0].assign(curve=OWN_MASKS, k=k)]
    curves = [part for part in curves if len(part)]
    if not curves:
        return DataFrame(columns=COLUMNS)
    runs = concat(curves).astype({"k": "Int64"})
    density = runs.groupby(place)["density"].mean().reset_index()
    order = {label: i for i, label in enumerate([*BASELINES, *names.values()])}
    summary = over_seeds(runs, place).merge(density, on=place)
    summary = summary.sort_values(place, key=lambda at: at.map(order) if at.name == "curve" else at)
    return summary[COLUMNS].reset_index(drop=True)


def dense_points(tables: Tables) -> list[DataFrame]:
    """Summarise the dense network of each data set and model in the same columns; none without its table."""
    whole = results(tables, "dense", "seed")
    if whole.empty:
        return []
    summary = over_seeds(whole, NETWORK).assign(curve=DENSE, round=0, density=1.0)
    return [summary.assign(k=Series([None] * len(summary), dtype="Int64"))]
