"""The barrier between the tickets of consecutive rounds of pruning."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import density_axis, rewind_label
from earlyphase.results.stability import STABLE
from earlyphase.results.summaries import Tables, last_evaluations, over_seeds

LIMIT = "0.45"  # grey of what is no measurement
COLUMNS = ["quantity", "k", "round", "density", "mean", "std", "n", "diverged"]


@figure(reads=("consecutive", "imp", "dense"))
def consecutive(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the barrier of the error between the tickets of a round and of the one before, against density.

    Below it stands what the same rounds lose against the dense network of their seed: where a round matches,
    its barrier should vanish.

    Args:
        tables: of one network: `consecutive`; `imp` and `dense`, a row per evaluation.

    Returns:
        The figure, and a row per `quantity` ("barrier", or "loss" of accuracy), `k` and `round`, the later of
        the two: `density`, `mean`, `std`, as fractions, `n`, `diverged`.

    Source: Paul et al. 2023, "Unmasking the lottery ticket hypothesis".
    """
    runs = last_evaluations(tables["imp"], ["seed", "k", "round"])
    whole = last_evaluations(tables["dense"], ["seed"]).set_index("seed")["accuracy"]
    runs = runs.assign(loss=runs["seed"].map(whole) - runs["accuracy"])
    columns = ["seed", "k", "round", "density", "loss"]
    pairs = tables["consecutive"].merge(runs[columns], on=columns[:3])
    parts = [
        over_seeds(pairs, ["k", "round"], quantity, ["density"]).assign(quantity=quantity)
        for quantity in ("barrier", "loss")
    ]
    with style.house_style():
        drawn, axes = style.new_axes(2, height=2.7)
        for ax, points in zip(axes, parts, strict=True):
            draw(ax, points)
        axes[0].axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
        axes[1].axhline(0, color=LIMIT, linewidth=0.8)
        axes[0].set_ylabel("Error on the line to the round before,\nabove that of its ends (points)")
        axes[1].set_ylabel("Test accuracy below that of\nthe dense network (points)")
        axes[0].set_title(style.network_of(pairs), loc="left")
        style.add_legend(drawn, axes[:1], "Rewound to iteration", "above")
        style.add_note(drawn, f"{style.seeds_note(parts[0])}; dashed: {100 * STABLE:g} points")
    return drawn, concat(parts, ignore_index=True)[COLUMNS]


def draw(ax: Axes, points: DataFrame) -> None:
    """Draw a quantity in points against density, a curve with error bars for each k."""
    styles = style.curve_styles([rewind_label(k) for k in points["k"].unique()])
    for k, own in points.groupby("k"):
        label = rewind_label(k)
        style.curve_with_bars(ax, 100 * own["density"], own, 100, label=label, **styles[label])
    density_axis(ax, points)
