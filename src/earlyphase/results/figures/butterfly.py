"""What a small change of the weights at iteration k leads to."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.stability import STABLE
from earlyphase.results.summaries import Tables, over_seeds

QUANTITIES = {  # column -> label of the axis, and factor from the table's unit
    "barrier": ("Barrier to the unchanged\nrun (points of error)", 100),
    "aligned_barrier": ("Barrier with channels\nrenamed (points of error)", 100),
    "distance": ("Distance from the\nunchanged run (L2)", 1),
}
NOISE = "other order of the data"  # in the table `stability`, of the dense network
LIMIT = "0.45"  # grey of what is no measurement
COLUMNS = ["quantity", "perturbation", "k", "change", "mean", "std", "n", "diverged"]


@figure(reads=("butterfly",), uses=("stability",))
def butterfly(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw what a small change of the dense network's weights at iteration k leads to, under the same noise.

    Panels: the barrier of the error between the changed run and the unchanged one; the same after channels
    were renamed, where these are known, which leaves a network's function as it is; the distance between the
    two at the end.

    Args:
        tables: of one network: `butterfly`; `stability`, where there is one, for two children that see the
            data in different orders.

    Returns:
        The figure, and a row per `quantity`, `perturbation` and `k`: `change`, the mean length of the change
        (L2); `mean`, `std`, barriers as fractions; `n`, `diverged`.

    Source: Kwok, Altıntaş, Raffel & Rolnick 2025; channels: Ainsworth, Hayase & Srinivasa 2022.
    """
    runs = tables["butterfly"]
    pairs = tables.get("stability", DataFrame(columns=["round"]))
    if len(dense := pairs[pairs["round"] == 0]):
        dense = dense.rename(columns={"instability": "barrier"}).assign(perturbation=NOISE)
        dense = dense.assign(distance=dense["distance_all"])
        runs = concat([runs, dense[["seed", "k", "perturbation", "barrier", "distance"]]], ignore_index=True)
    shown = [quantity for quantity in QUANTITIES if runs[quantity].notna().any()]
    points = concat([points_of(runs, quantity) for quantity in shown], ignore_index=True)
    names = runs.groupby("perturbation")["change"].mean().sort_values().index  # the unchanged last
    styles = style.curve_styles([name for name in names if name != NOISE])
    styles |= {NOISE: {"color": LIMIT, "linestyle": ":", "marker": "x"}}
    with style.house_style():
        drawn, axes = style.new_axes(len(shown), columns=len(shown), height=2.5)
        for ax, quantity in zip(axes, shown, strict=True):
            label, scale = QUANTITIES[quantity]
            for name in names:
                own = points[(points["quantity"] == quantity) & (points["perturbation"] == name)]
                style.curve_with_bars(ax, own["k"], own, scale, label=name, **styles[name])
            style.iteration_axis(ax, points["k"].max())
            ax.set_xlabel("k of the change (iteration)")
            ax.set_ylabel(label)
            ax.set_ylim(bottom=0)
        for ax in axes[:-1]:
            ax.axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
            ax.sharey(axes[0])
        axes[0].set_title(style.network_of(runs), loc="left")
        style.add_legend(drawn, axes[:1], "Change of the weights", "above")
        note = style.seeds_note(points[points["quantity"] == "barrier"])
        style.add_note(drawn, f"{note}; dashed: {100 * STABLE:g} points")
    return drawn, points[COLUMNS]


def points_of(runs: DataFrame, quantity: str) -> DataFrame:
    """Summarise a quantity over seeds; of two orders of the data only what was measured."""
    measured = runs[runs[quantity].notna() | (runs["perturbation"] != NOISE)]
    return over_seeds(measured, ["perturbation", "k"], quantity, ["change"]).assign(quantity=quantity)
