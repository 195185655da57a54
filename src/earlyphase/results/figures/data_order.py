"""Whether a network needs the order of the data that found it: accuracy under another one."""

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
    iteration_axis,
    mark_lost,
    network_of,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.summaries import over_seeds


@figure(reads=("stability",))
def data_order(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw how much less accurate a network is under another order of the data after k than under its own.

    A ticket's own order is the one under which its mask was found. The dense network, whose weights no order
    has chosen, is the control: neither of its two children can be the better one on average.

    Args:
        tables: `stability` of one network, a row per pair.

    Returns:
        The figure, and a row per round and k: `round` (0 is the dense network), `k`, `density`, `mean`, `std`
        of second minus first accuracy, as fractions, `n`, `diverged`.

    Raises:
        InvalidInput: the table holds no pair.
    """
    pairs = tables["stability"]
    if pairs.empty:
        raise InvalidInput("figure data_order: the table stability holds no pair")
    gaps = (pairs["second_accuracy"] - pairs["first_accuracy"]).where(pairs["instability"].notna())
    points = over_seeds(pairs.assign(gap=gaps), ["round", "k"], "gap", ["density"])
    with house_style():
        drawn, (ax,) = new_axes(1)
        names = {
            number: f"Tickets, {plain(100 * own['density'].mean())} % of weights"
            if number
            else "Dense network"
            for number, own in points.groupby("round")
        }
        styles = curve_styles(list(names.values()))
        ax.axhline(0, color="0.45", linewidth=0.8)
        for number, name in names.items():
            own = points[points["round"] == number]
            ax.errorbar(own["k"], 100 * own["mean"], 100 * own["std"], label=name, **BARS | styles[name])
            mark_lost(ax, own, own["k"], styles[name]["color"])
        iteration_axis(ax, points["k"].max())
        ax.set_xlabel("k from which the order differs (iteration)")
        ax.set_ylabel("Test accuracy under another order\nminus that under its own (points)")
        ax.set_title(network_of(pairs), loc="left")
        add_legend(drawn, [ax], "", "above")
        add_note(drawn, seeds_note(points))
    return drawn, points.drop(columns="dead")
