"""Which layers, moved alone from one trained network to another, meet a barrier."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import rewind_label
from earlyphase.results.stability import STABLE
from earlyphase.results.summaries import Tables, over_seeds

PANELS = {
    "averaged": "a  Layer averaged",
    "barrier": "b  Highest on the way to the other's layer",
}  # column -> title
LIMIT = "0.45"  # grey of what is no measurement
NAMED = 24  # layers that have room for their names; more are numbered
COLUMNS = ["quantity", "k", "layer", "name", "mean", "std", "n", "diverged"]


@figure(reads=("layerwise",))
def layerwise(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw how far the error rises where a single layer moves from the dense network to its second child.

    The children part at iteration k. All else stays the dense network's; on the right all layers move. Shown
    is the error above the mean of the two children: with the layer averaged, and at the highest of its line.

    Args:
        tables: `layerwise` of one network.

    Returns:
        The figure, and a row per `quantity` (the column of the table), `k` and `layer`, 0 for all: its
        `name`, `mean`, `std`, as fractions, `n`, `diverged`.

    Source: Adilova et al. 2024, "Layer-wise linear mode connectivity".
    """
    table = tables["layerwise"]
    points = concat(
        [over_seeds(table, ["k", "layer", "name"], name).assign(quantity=name) for name in PANELS],
        ignore_index=True,
    )
    styles = style.curve_styles([rewind_label(k) for k in points["k"].unique()])
    with style.house_style():
        drawn, axes = style.new_axes(len(PANELS), height=3.1, sharey=True)
        for ax, (quantity, title) in zip(axes, PANELS.items(), strict=True):
            for k, own in points[points["quantity"] == quantity].groupby("k"):
                draw(ax, own, rewind_label(k), styles[rewind_label(k)])
            ax.axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
            layer_axis(ax, points)
            ax.set_title(title, loc="left")
        axes[0].set_ylabel("Error above the mean of the\ntwo networks (points)")
        style.add_legend(drawn, axes[:1], f"{style.network_of(table)}; copies that part at")
        note = style.seeds_note(points[points["quantity"] == "barrier"])
        style.add_note(drawn, f"{note}; dashed: {100 * STABLE:g} points")
    return drawn, points[COLUMNS]


def draw(ax: Axes, points: DataFrame, label: str, look: dict) -> None:
    """Draw the rise of each layer, and apart from them that of all, which is layer 0."""
    for one in (points[points["layer"] > 0], points[points["layer"] == 0]):
        places = one["layer"].where(one["layer"] > 0, points["layer"].max() + 2)
        named = {"label": label} if len(one) > 1 else {}
        ax.errorbar(places, 100 * one["mean"], 100 * one["std"], **named, **style.BARS | look)
        style.mark_lost(ax, one, places, look["color"])


def layer_axis(ax: Axes, points: DataFrame) -> None:
    """Make x the layers in the network's order, and after a gap all of them."""
    names = points.drop_duplicates("layer").set_index("layer")["name"].sort_index()
    last = names.index.max()
    shown = names[1:] if last <= NAMED else names.index[1:].to_series().where(lambda n: n % 5 == 0, "")
    ax.set_xticks([*names.index[1:], last + 2], [*shown, "all layers"], rotation=90)
    ax.axvline(last + 1, color=LIMIT, linewidth=0.6)
    ax.set_xlabel("Layer that moves, all else the first network's")
