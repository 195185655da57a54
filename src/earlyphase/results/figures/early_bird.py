"""Early-bird tickets: how early the mask that pruning would find is there."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

PANELS = {  # column -> title
    "distance_final": "a  From the mask of the end",
    "distance_before": "b  From the mask of the kept state before",
}
FOUND = 0.1  # distance below which You et al. take a mask for found


@figure(reads=("early_bird",))
def early_bird(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw how far the mask that would be pruned at each kept state is from those of the end and before.

    Weights are pruned at once, by magnitude over all layers. A dotted line is the distance of 0.1 below which
    an early-bird ticket is drawn; beside each share stands the distance of two independent masks.

    Args:
        tables: `early_bird` of one network.

    Returns:
        The figure, and a row per curve and iteration: `curve` (the distance), `pruned`, `iteration`, `mean`,
        `std`, `n`, `diverged`.

    Source: You et al. 2020.
    """
    table = tables["early_bird"]
    shares = {pruned: f"{pruned:.0%}  (chance: {2 * pruned * (1 - pruned):.2f})"
              for pruned in sorted(table["pruned"].unique())}  # fmt: skip
    styles = style.curve_styles(list(shares.values()))
    parts = []
    with style.house_style():
        drawn, axes = style.new_axes(len(PANELS), height=2.4, sharey=True)
        for ax, (column, title) in zip(axes, PANELS.items(), strict=True):
            known = table.dropna(subset="before") if column == "distance_before" else table
            for pruned, label in shares.items():
                curve = over_seeds(known[known["pruned"] == pruned], ["iteration"], column)
                style.curve_with_band(ax, curve, label=label, **styles[label])
                parts.append(curve.assign(curve=column, pruned=pruned))
            ax.axhline(FOUND, color="black", linestyle=(0, (1.2, 1.2)), linewidth=0.9)
            style.iteration_axis(ax, table["iteration"].max())
            ax.set_title(title, loc="left")
        axes[0].set_ylim(bottom=0)
        axes[0].set_ylabel("Share of weights in which masks differ")
        points = concat(parts, ignore_index=True)
        style.add_legend(drawn, axes[:1], f"{style.network_of(table)}; share of the weights pruned")
        note = style.seeds_note(points, marked=False)
        style.add_note(drawn, f"{note}. Kept states are not evenly spaced in time")
    return drawn, points[["curve", "pruned", "iteration", "mean", "std", "n", "diverged"]]
