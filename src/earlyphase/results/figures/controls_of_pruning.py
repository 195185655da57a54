"""Lottery tickets and their controls: iterative pruning against one-shot, other criteria, random masks."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures.labels import Labels, labels_by_name
from earlyphase.results.figures.perturbed import BASELINE, DENSE
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
    rewind_label,
)
from earlyphase.results.summaries import NETWORK, early_stopping, last_evaluations, over_seeds

ITERATIVE = "iterative"  # the curve of the chain that all else is compared with
PLACE = [*NETWORK, "k", "curve", "round"]
STOPPING = ["stopping", "stopping_std"]


@figure(reads=("imp",), uses=("perturbed", "criteria", "dense"))
def controls_of_pruning(tables: Tables, *, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets and of their controls against density, a panel for each k with any.

    Chains that prune by another criterion are drawn where there are any, under its name. With a validation
    set each panel has another beside it: the iteration at which its loss was lowest.

    Args:
        tables: `imp`; `perturbed`, `criteria` and `dense`, where there are any: a row per evaluation.
        show: perturbation and label of each control, in the order of the legend.

    Returns:
        The figure; the dense network (`k` missing), then a row per k, curve and round: `density`, `mean`,
        `std`, `n`, `diverged`, and with a validation set `stopping` and `stopping_std` in iterations.

    Raises:
        InvalidInput: there is none of these controls, or a label cannot be used.

    Source: Frankle & Carbin 2019, sections 2 to 4.
    """
    labels = labels_by_name("controls_of_pruning", show, [ITERATIVE, DENSE])
    points = control_points(tables, labels)
    curves = list(dict.fromkeys(points["curve"]))
    controls = points[~points["curve"].isin([ITERATIVE, DENSE])]
    if controls.empty:
        raise nothing_to_show("controls_of_pruning", labels)
    panels = list(controls.groupby([*NETWORK, "k"]).size().index)
    validated = points["stopping"].notna().any()
    styles = {ITERATIVE: BASELINE | {"color": "black", "linestyle": "-", "marker": "P"}}
    styles |= curve_styles([curve for curve in curves if curve not in (ITERATIVE, DENSE)])
    with house_style():
        drawn, axes = new_axes(len(panels) * (2 if validated else 1))
        for ax, panel in zip(axes[:: 2 if validated else 1], panels, strict=True):
            draw_accuracy(ax, points, panel, styles)
        for ax, panel in zip(axes[1::2] if validated else [], panels, strict=validated):
            draw_stopping(ax, points, panel, styles)
        add_legend(drawn, axes, "Pruned")
        drawn.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    return drawn, points if validated else points.drop(columns=STOPPING)


def draw_accuracy(ax, points: DataFrame, panel: tuple, styles: dict[str, dict]) -> None:
    """Draw the accuracy of one network and k, and the dense network as a line.

    Args:
        ax: panel to draw into.
        points: as from `control_points`.
        panel: data set, model, k.
        styles: curve -> line style, in the order of the legend.
    """
    dataset, model, k = panel
    network = points[(points["dataset"] == dataset) & (points["model"] == model)]
    accuracy_by_density(ax, curves_of(network, k, styles), styles)
    if (network["curve"] == DENSE).any():
        dense_line(ax, network[network["curve"] == DENSE])
    ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")


def draw_stopping(ax, points: DataFrame, panel: tuple, styles: dict[str, dict]) -> None:
    """Draw the early-stopping iteration of one network and k; arguments as of `draw_accuracy`."""
    dataset, model, k = panel
    network = points[(points["dataset"] == dataset) & (points["model"] == model)]
    in_percent = {"mean": network["stopping"] / 100, "std": network["stopping_std"] / 100}  # drawn 100-fold
    stopped = network.assign(**in_percent)
    accuracy_by_density(ax, curves_of(stopped, k, styles), styles)
    if stopped.loc[stopped["curve"] == DENSE, "mean"].notna().any():
        dense_line(ax, stopped[stopped["curve"] == DENSE])
    ax.set_ylabel("Iteration of lowest validation loss")
    ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")


def curves_of(network: DataFrame, k: int, styles: dict[str, dict]) -> dict[str, DataFrame]:
    """The curves of one panel, in the order of `styles`."""
    shown = network[network["k"] == k]
    found = {label: shown[shown["curve"] == label] for label in styles}
    return {label: curve for label, curve in found.items() if len(curve)}


def control_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise the dense network, iterative chains and controls over seeds, in the order of the legend.

    Args:
        tables: as of the figure.
        labels: perturbation -> label.

    Returns:
        Columns: `dataset`, `model`, `k`, `curve`, `round`, `density`, `mean`, `std`, `n`, `diverged`,
        `stopping`, `stopping_std`; density and accuracy are fractions, times iterations.
    """
    whole = runs_of(tables, "dense").assign(k=None, curve=DENSE, round=0, density=1.0)
    chains = runs_of(tables, "imp", "k", "round").assign(curve=ITERATIVE)
    branches = runs_of(tables, "perturbed", "perturbation", "k", "round")
    branches = branches.assign(curve=branches["perturbation"].map(labels)).dropna(subset="curve")
    others = runs_of(tables, "criteria", "criterion", "k", "round")
    others = others.assign(curve="iterative, by " + others["criterion"].str.replace("_", " "))
    runs = concat([part for part in (whole, chains, branches, others) if len(part)], ignore_index=True)
    runs = runs.astype({"k": "Int64", "stopping": float})
    by = {
        "density": ("density", "mean"),
        "stopping": ("stopping", "mean"),
        "stopping_std": ("stopping", "std"),
    }
    means = runs.groupby(PLACE, dropna=False).agg(**by).reset_index()
    points = over_seeds(runs.fillna({"k": -1}), PLACE).merge(means.fillna({"k": -1}), on=PLACE)
    points["k"] = points["k"].where(points["k"] >= 0)  # groups lose what is missing
    named = sorted(set(others["curve"]))
    order = {curve: i for i, curve in enumerate([DENSE, ITERATIVE, *labels.values(), *named])}
    points = points.sort_values(
        PLACE, key=lambda at: at.map(order) if at.name == "curve" else at, na_position="first"
    )
    return points[[*PLACE, "density", "mean", "std", "n", "diverged", *STOPPING]].reset_index(drop=True)


def runs_of(tables: Tables, name: str, *run: str) -> DataFrame:
    """Results of the runs in a table, a row per run, with the early-stopping iteration; none without it."""
    columns = [*NETWORK, *run, "seed"]
    table = tables.get(name, DataFrame())
    if table.empty:
        return DataFrame(columns=[*columns, "accuracy", "density", "stopping"])
    return last_evaluations(table, columns).merge(early_stopping(table, columns), on=columns)
