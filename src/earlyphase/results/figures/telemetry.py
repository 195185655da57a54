"""Figure 3: the state of the dense network along its first iterations."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

COLUMNS = ["panel", "curve", "iteration", "mean", "std", "n", "diverged"]
PANELS = (  # title, label of y, factor to its unit, table, column -> label of its curve
    ("a  Test accuracy", "Accuracy (%)", 100, "evaluations", {"accuracy": None}),
    ("b  Test loss", "Loss (nats per example)", 1, "evaluations", {"loss": None}),
    ("c  Weight magnitude", "Mean of |w|", 1, "telemetry", {"mean_magnitude": None}),
    ("d  Sign changes", "Signs changed (%)", 100, "telemetry", {"sign_changes": None}),
    ("e  Ten weights", "Weight", 1, "traces", {}),
    ("f  Gradient", "L2 norm, mini-batch", 1, "telemetry", {"gradient_norm": None}),
    (
        "g  L2 distance", "Distance of weights", 1, "telemetry",
        {"distance_initial": "from initial", "distance_final": "from final"},
    ),
    (
        "h  Cosine similarity", "Cosine of weights", 1, "telemetry",
        {"cosine_initial": "with initial", "cosine_final": "with final"},
    ),
)  # fmt: skip


@figure(reads=("telemetry", "evaluations", "traces"))
def telemetry(tables: Tables, *, layer: str = "all") -> tuple[Figure, DataFrame]:
    """Draw eight panels over iterations: what the weights, the gradients and the accuracy do.

    A seed that diverged is in no mean; it is drawn by itself, up to a cross where it ends.

    Args:
        tables: `telemetry`, `evaluations` and `traces` of one network.
        layer: "all", or the name of one layer's weights, such as "conv.weight".

    Returns:
        The figure, and a row per curve and iteration: `panel`, `curve`, `iteration`, `mean`, `std`, `n`,
        `diverged`.

    Raises:
        InvalidInput: there is no such layer.

    Source: Frankle, Schwab & Morcos 2020, Figure 3 (A3 for other networks).
    """
    state = tables["telemetry"]
    if layer not in set(state["layer"]):
        known = ", ".join(state["layer"].unique())
        raise InvalidInput(f"figure telemetry: layer is {layer!r}, which is not one of {known}")
    lost = diverged_seeds(state, tables["evaluations"])
    chosen = {"telemetry": state[state["layer"] == layer]}
    chosen |= {name: tables[name] for name in ("evaluations", "traces")}
    with style.house_style():
        drawn, axes = style.new_axes(len(PANELS), columns=4, height=1.75)
        points = draw_panels(axes, chosen, lost)
        for ax in axes:
            style.iteration_axis(ax, state["iteration"].max())
        what = "all layers" if layer == "all" else layer
        drawn.suptitle(f"{style.network_of(state)}: {what}", x=0.01, ha="left", fontsize=8)
        style.add_note(drawn, style.seeds_note(points.loc[points["panel"] != "traces", ["n"]]))
        if lost:
            style.add_note(
                drawn, f"Dotted, ending in ×: diverged, in no mean (seeds {', '.join(map(str, lost))})"
            )
    return drawn, points


def draw_panels(axes: list[Axes], tables: Tables, lost: list[int]) -> DataFrame:
    """Draw each of `PANELS`, the seeds in `lost` apart; return the points of all."""
    parts = []
    for ax, (title, label, scale, source, curves) in zip(axes, PANELS, strict=True):
        ax.set_title(title, loc="left")
        ax.set_ylabel(label)
        if source == "traces":
            parts.append(draw_traces(ax, tables[source], lost))
        for column, name in curves.items():
            look = (
                {"color": style.LIGHT, "linestyle": style.DASHES[1]}
                if "final" in column
                else {"color": style.DARK}
            )
            parts.append(draw_measure(ax, tables[source], column, lost, scale, label=name, **look))
        if curves and parts[-1]["mean"].min() >= 0:
            ax.set_ylim(bottom=max(ax.get_ylim()[0], 0))  # though a band may go on below
        if len(curves) > 1:
            ax.legend(loc="best", handlelength=2)
    return concat(parts, ignore_index=True)


def diverged_seeds(state: DataFrame, evaluations: DataFrame) -> list[int]:
    """Return seeds whose weights, or whose loss on the test set, are not finite at some time."""
    bad = state[~np.isfinite(state[["mean_magnitude", "distance_final"]]).all(axis=1)]
    lost = evaluations[~np.isfinite(evaluations["loss"])]
    return sorted({*bad["seed"], *lost["seed"]})


def draw_measure(ax: Axes, table: DataFrame, column: str, lost: list[int], scale: float, **look) -> DataFrame:
    """Draw the mean of a column with its band, and each diverged seed alone; return the points."""
    curve = over_seeds(table[~table["seed"].isin(lost)], ["iteration"], column)
    style.curve_with_band(ax, curve, scale, **look)
    for seed in lost:
        alone = table[(table["seed"] == seed) & np.isfinite(table[column])].sort_values("iteration")
        ax.plot(alone["iteration"], scale * alone[column], color="0.4", linestyle=":", linewidth=0.8)
        ax.plot(alone["iteration"][-1:], scale * alone[column][-1:], "x", color="0.2", markersize=4)
    return curve.assign(panel=column, curve=column, diverged=len(lost))[COLUMNS]


def draw_traces(ax: Axes, table: DataFrame, lost: list[int]) -> DataFrame:
    """Draw single weights of the first seed that did not diverge; return the points."""
    usable = [seed for seed in sorted(table["seed"].unique()) if seed not in lost] or [table["seed"].min()]
    chosen = table[table["seed"] == usable[0]]
    ax.set_title(f"e  Ten weights (seed {usable[0]})", loc="left")
    parts = []
    for number, ((layer, position), trace) in enumerate(chosen.groupby(["layer", "position"], sort=False)):
        look = {
            "color": str(0.65 * (number % 5) / 4),
            "linestyle": style.DASHES[number // 5],
            "linewidth": 0.7,
        }
        ax.plot(trace["iteration"], trace["weight"], **look)
        points = trace[["iteration", "weight"]].rename(columns={"weight": "mean"})
        parts.append(points.assign(panel="traces", curve=f"{layer}[{position}]", std=np.nan, n=1, diverged=0))
    return concat(parts)[COLUMNS]
