"""Lottery tickets and their controls: iterative pruning against one-shot, other criteria, random masks."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import Labels, labels_by_name
from earlyphase.results.figures.tickets import (
    BASELINE,
    DENSE,
    PLACE,
    SUMMARY,
    accuracy_by_density,
    nothing_to_show,
    results,
    rewind_label,
)
from earlyphase.results.summaries import NETWORK, Tables, early_stopping, over_seeds

ITERATIVE = "iterative"  # the curve of the chain that all else is compared with
STOPPING = ["stopping", "stopping_std"]


@figure(reads=("imp",), uses=("perturbed", "criteria", "dense"))
def controls_of_pruning(tables: Tables, *, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets and of their controls against density, a panel for each k with any.

    Chains that prune by another criterion are drawn where there are any, under its name. With a validation
    set each panel has another beside it: the iteration at which its loss was lowest.

    Args:
        tables: of one network: `imp`; `perturbed`, `criteria` and `dense`, where there are any: a row per
            evaluation.
        show: perturbation and label of each control, in the order of the legend.

    Returns:
        The figure; the dense network (`k` missing), then a row per k, curve and round: `density`, `mean`,
        `std`, `n`, `diverged`, `dead`, and with a validation set `stopping` and `stopping_std` in iterations.

    Raises:
        InvalidInput: there is none of these controls, or a label cannot be used.

    Source: Frankle & Carbin 2019, sections 2 to 4.
    """
    labels = labels_by_name("controls_of_pruning", show, [ITERATIVE, DENSE])
    points = control_points(tables, labels)
    controls = points[~points["curve"].isin([ITERATIVE, DENSE])]
    if controls.empty:
        raise nothing_to_show("controls_of_pruning", list(labels))
    validated = points["stopping"].notna().any()
    styles = {ITERATIVE: BASELINE | {"color": "black", "linestyle": "-", "marker": "P"}}
    styles |= style.curve_styles(
        [curve for curve in points["curve"].unique() if curve not in (ITERATIVE, DENSE)]
    )
    panels = sorted(controls["k"].unique())
    with style.house_style():
        drawn, axes = style.new_axes(
            len(panels) * (2 if validated else 1), sharey="col" if validated else True
        )
        for ax, k in zip(axes[:: 2 if validated else 1], panels, strict=True):
            accuracy_by_density(ax, points[points["k"].isna() | (points["k"] == k)], styles)
            ax.set_title(f"{style.network_of(points)}: {rewind_label(k)}", loc="left")
        for ax, k in zip(axes[1::2] if validated else [], panels, strict=validated):
            stopped = points[points["k"].isna() | (points["k"] == k)].drop(columns=["mean", "std"])
            stopped = stopped.rename(columns={"stopping": "mean", "stopping_std": "std"})
            accuracy_by_density(ax, stopped, styles, scale=1)
            ax.set_ylabel("Iteration of lowest validation loss")
            ax.set_title(f"{style.network_of(points)}: {rewind_label(k)}", loc="left")
        style.add_legend(drawn, axes, "Pruned", "right" if len(axes) == 1 else "above")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, points if validated else points.drop(columns=STOPPING)


def control_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise the dense network, iterative chains and controls over seeds, in the order of the legend.

    Args:
        tables: as of the figure.
        labels: perturbation -> label.

    Returns:
        Columns: `dataset`, `model`, `k` (missing of the dense network), `curve`, `round`, `density`, `mean`,
        `std`, `n`, `diverged`, `dead`, `stopping`, `stopping_std`; density and accuracy are fractions, times
        iterations.
    """
    whole = runs_of(tables, "dense").assign(k=-1, curve=DENSE, round=0, density=1.0)
    chains = runs_of(tables, "imp", "k", "round").assign(curve=ITERATIVE)
    branches = runs_of(tables, "perturbed", "perturbation", "k", "round")
    branches = branches.assign(curve=branches["perturbation"].map(labels)).dropna(subset="curve")
    others = runs_of(tables, "criteria", "criterion", "k", "round")
    others = others.assign(curve="iterative, by " + others["criterion"].str.replace("_", " "))
    runs = concat([part for part in (whole, chains, branches, others) if len(part)], ignore_index=True)
    runs = runs.astype({"k": "Int64", "stopping": float})
    order = [DENSE, ITERATIVE, *labels.values(), *sorted(set(others["curve"]))]
    points = over_seeds(runs, PLACE, means=["density"])
    stopping = over_seeds(runs, PLACE, "stopping")
    points = points.assign(stopping=stopping["mean"], stopping_std=stopping["std"])
    points = points.sort_values(PLACE, key=lambda at: at.map(order.index) if at.name == "curve" else at)
    points["k"] = points["k"].where(points["k"] >= 0)
    return points[[*PLACE, *SUMMARY, *STOPPING]].reset_index(drop=True)


def runs_of(tables: Tables, name: str, *run: str) -> DataFrame:
    """Return the results of the runs in a table, with the early-stopping iteration; none without it."""
    columns = [*NETWORK, *run, "seed"]
    runs = results(tables, name, *run, "seed")
    if runs.empty:
        return runs.assign(stopping=0.0)
    return runs.merge(early_stopping(tables[name], columns), on=columns)
