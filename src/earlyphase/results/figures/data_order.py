"""Whether a network needs the order of the data that found it: accuracy under another one."""

from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import names_of_rounds
from earlyphase.results.summaries import Tables, over_seeds


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
    """
    pairs = tables["stability"]
    gaps = (pairs["second_accuracy"] - pairs["first_accuracy"]).where(pairs["instability"].notna())
    points = over_seeds(pairs.assign(gap=gaps), ["round", "k"], "gap", ["density"])
    with style.house_style():
        drawn, (ax,) = style.new_axes(1)
        names = names_of_rounds(points)
        styles = style.curve_styles(list(names.values()))
        ax.axhline(0, color="0.45", linewidth=0.8)
        for number, name in names.items():
            own = points[points["round"] == number]
            style.curve_with_bars(ax, own["k"], own, 100, label=name, **styles[name])
        style.iteration_axis(ax, points["k"].max())
        ax.set_xlabel("k from which the order differs (iteration)")
        ax.set_ylabel("Test accuracy under another order\nminus that under its own (points)")
        ax.set_title(style.network_of(pairs), loc="left")
        style.add_legend(drawn, [ax], "", "above")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, points.drop(columns="dead")
