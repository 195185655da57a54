"""Figures 4 to 7: how accurate tickets are whose weights were changed at iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, Series, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    curve_styles,
    house_style,
    in_order,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import accuracy_by_density, dense_line, results, rewind_label
from earlyphase.results.summaries import NETWORK, over_seeds

BASELINE = {"linewidth": 1.5, "markersize": 4.4, "markerfacecolor": "white"}
BASELINES = {  # heavier than any perturbation, and without colour
    "rewind to k": BASELINE | {"color": "black", "linestyle": "-", "marker": "P"},
    "rewind to 0 (own masks)": BASELINE | {"color": "0.4", "linestyle": (0, (4, 1.2)), "marker": "X"},
    "rewind to 0 (masks of k)": BASELINE | {"color": "0.6", "linestyle": (0, (1, 0.8)), "marker": "p"},
}
TO_K, OWN_MASKS, MASKS_OF_K = BASELINES
REWIND_TO_0 = "rewind_to_0"  # the perturbation that `MASKS_OF_K` shows


@figure
def perturbed(tables: Tables, *, show: list[dict[str, str]]) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets against density, a panel for each k.

    Every panel also has the ticket of k unperturbed and both readings of "rewind to 0", where they were
    run: tickets of k = 0 with their own masks, and the state of 0 under the masks of k. Without perturbed
    runs the panels are the smallest and the largest k of the unperturbed tickets.

    Args:
        tables: `perturbed`, `imp` and `dense`, a row per evaluation. What is missing is not drawn.
        show: perturbation and label of each curve, in the order of the legend.

    Raises:
        InvalidInput: there is neither a perturbed nor an IMP run.

    Source: Frankle, Schwab & Morcos 2020, Figures 4 to 7 (A4 to A7 for other networks).
    """
    labelled = in_order(show)
    points = perturbed_points(tables, labelled)
    panels = list(points[points["k"].notna()].groupby([*NETWORK, "k"]).size().index)
    if not panels:
        raise InvalidInput("figure perturbed: neither the table perturbed nor imp holds a supervised run")
    drawn = set(points["curve"])
    labels = [label for label in labelled.values() if label in drawn and label not in BASELINES]
    with house_style():
        figure, axes = new_axes(len(panels))
        styles = {**BASELINES, **curve_styles(labels)}
        first = {}
        for ax, (dataset, model, k) in zip(axes, panels, strict=True):
            network = points[(points["dataset"] == dataset) & (points["model"] == model)]
            shown = network[network["k"] == k]
            curves = {label: shown[shown["curve"] == label] for label in [*BASELINES, *labels]}
            accuracy_by_density(ax, {label: curve for label, curve in curves.items() if len(curve)}, styles)
            if network["k"].isna().any():
                dense_line(ax, network[network["k"].isna()])
            ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")
            if (dataset, model) in first:
                ax.sharey(first[dataset, model])
            first.setdefault((dataset, model), ax)
        add_legend(figure, axes, "Start of training")
        note = seeds_note(points) + ("" if labels else "; no perturbed run of this figure")
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def perturbed_points(tables: Tables, show: dict[str, str]) -> DataFrame:
    """Return the points of `perturbed`: the dense network (`k` missing), then each k, curve and round.

    Columns: `dataset`, `model`, `k` of the panel, `curve` as in the legend, `round`, `density`, `mean`,
    `std`, `n`, `diverged`; density and accuracy are fractions.
    """
    place = [*NETWORK, "k", "curve", "round"]
    names = {REWIND_TO_0: MASKS_OF_K} | show
    branches = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    chains = results(tables, "imp", "k", "round", "seed")
    whole = results(tables, "dense", "seed")
    source = chains[chains["k"] > 0] if branches.empty else branches
    curves = [branches.assign(curve=branches["perturbation"].map(names)).dropna(subset="curve")]
    for network, runs in source.groupby(NETWORK):
        own = chains[(chains[NETWORK] == list(network)).all(axis=1)]
        ks = sorted(runs["k"].unique())
        for k in sorted({ks[0], ks[-1]}) if branches.empty else ks:
            curves += [own[own["k"] == k].assign(curve=TO_K)] if k else []
            curves += [own[own["k"] == 0].assign(curve=OWN_MASKS, k=k)]
    curves = [part for part in curves if len(part)]
    parts = [DataFrame(columns=[*place, "density", "mean", "std", "n", "diverged"])]
    if len(whole):
        summary = over_seeds(whole, NETWORK).assign(curve="dense", round=0, density=1.0)
        parts += [summary.assign(k=Series([None] * len(summary), dtype="Int64"))]
    if curves:
        runs = concat(curves).astype({"k": "Int64"})
        density = runs.groupby(place)["density"].mean().reset_index()
        order = {label: i for i, label in enumerate([*BASELINES, *names.values()])}
        summary = over_seeds(runs, place).merge(density, on=place)
        parts += [summary.sort_values([*place], key=lambda at: at.map(order) if at.name == "curve" else at)]
    columns, parts = parts[0].columns, parts[1:] or parts
    return concat(parts)[columns].reset_index(drop=True)
