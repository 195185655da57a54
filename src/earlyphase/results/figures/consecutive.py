"""The barrier between the tickets of consecutive rounds of pruning."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    BARS,
    Tables,
    add_legend,
    add_note,
    curve_styles,
    house_style,
    mark_lost,
    network_of,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import density_axis, rewind_label
from earlyphase.results.stability import STABLE
from earlyphase.results.summaries import last_evaluations, over_seeds

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

    Raises:
        InvalidInput: the table holds no pair of rounds.

    Source: Paul et al. 2023, "Unmasking the lottery ticket hypothesis".
    """
    if tables["consecutive"].empty:
        raise InvalidInput("figure consecutive: the table consecutive holds no pair of rounds")
    tickets = last_evaluations(tables["imp"], ["seed", "k", "round"])
    whole = last_evaluations(tables["dense"], ["seed"]).set_index("seed")["accuracy"]
    tickets = tickets.assign(loss=tickets["seed"].map(whole) - tickets["accuracy"])
    columns = ["seed", "k", "round", "density", "loss"]
    pairs = tables["consecutive"].merge(tickets[columns], on=columns[:3])
    points = {
        quantity: over_seeds(pairs, ["k", "round"], quantity, ["density"]).assign(quantity=quantity)
        for quantity in ("barrier", "loss")
    }
    with house_style():
        drawn, axes = new_axes(2, height=2.7)
        for ax, of_quantity in zip(axes, points.values(), strict=True):
            draw(ax, of_quantity)
        axes[0].axhline(100 * STABLE, color=LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
        axes[1].axhline(0, color=LIMIT, linewidth=0.8)
        axes[0].set_ylabel("Error on the line to the round before,\nabove that of its ends (points)")
        axes[1].set_ylabel("Test accuracy below that of\nthe dense network (points)")
        axes[0].set_title(network_of(pairs), loc="left")
        add_legend(drawn, axes[:1], "Rewound to iteration", "above")
        add_note(drawn, f"{seeds_note(points['barrier'])}; dashed: {100 * STABLE:g} points")
    return drawn, DataFrame([row for part in points.values() for row in part.to_dict("records")])[COLUMNS]


def draw(ax: Axes, points: DataFrame) -> None:
    """Draw a quantity in points against density, a curve with error bars for each k."""
    styles = curve_styles([rewind_label(k) for k in points["k"].unique()])
    for k, own in points.groupby("k"):
        look = BARS | styles[rewind_label(k)]
        ax.errorbar(100 * own["density"], 100 * own["mean"], 100 * own["std"], label=rewind_label(k), **look)
        mark_lost(ax, own, 100 * own["density"], look["color"])
    density_axis(ax, points)
