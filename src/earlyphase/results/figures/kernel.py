"""The velocity of the empirical tangent kernel along the dense run."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

PANELS = {  # column -> title, label of y
    "velocity": ("a  Velocity of the tangent kernel", "1 − cosine, per iteration"),
    "distance_final": ("b  Distance from the kernel of the end", "1 − cosine"),
}


@figure(reads=("kernel",))
def kernel(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw how fast the empirical tangent kernel changes, and how far it is from that of the end.

    The velocity is one minus the cosine of the kernels at an iteration and an interval later, divided by the
    interval, which is the same at every time.

    Args:
        tables: `kernel` of one network.

    Returns:
        The figure, and a row per curve and iteration: `curve`, `iteration`, `mean`, `std`, `n`, `diverged`.

    Source: Fort et al. 2020.
    """
    table, parts = tables["kernel"], []
    with style.house_style():
        drawn, axes = style.new_axes(len(PANELS), height=2.4)
        for ax, (column, (title, label)) in zip(axes, PANELS.items(), strict=True):
            curve = over_seeds(table, ["iteration"], column)
            style.curve_with_band(ax, curve, color=style.DARK, marker="o")
            parts.append(curve.assign(curve=column))
            style.iteration_axis(ax, table["iteration"].max())
            ax.set_title(title, loc="left")
            ax.set_ylabel(label)
        if (table["velocity"] > 0).any():
            axes[0].set_yscale("log")
        axes[1].set_ylim(bottom=0)
        points = concat(parts, ignore_index=True)
        drawn.suptitle(style.network_of(table), x=0.01, ha="left", fontsize=8)
        images, interval = table["images"].iloc[0], table["interval"].iloc[0]
        about = f"{images:,} training images and all logits; an interval of {interval:,} iterations"
        style.add_note(drawn, f"{style.seeds_note(points, marked=False)}; {about}")
    return drawn, points[["curve", "iteration", "mean", "std", "n", "diverged"]]
