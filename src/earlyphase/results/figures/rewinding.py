"""Figure 1: how accurate tickets are that were rewound to iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    Tables,
    add_legend,
    add_note,
    curve_styles,
    house_style,
    network_of,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import (
    accuracy_by_density,
    dense_points,
    results,
    rewind_label,
    ticket_points,
)


@figure(reads=("imp", "dense"))
def rewinding(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k.

    Args:
        tables: `imp` and `dense` of one network, a row per evaluation.

    Returns:
        The figure; the dense network (`k` missing, round 0), then a row per k and round: `dataset`, `model`,
        `k`, `round`, `density`, `mean`, `std`, `n`, `diverged`, `dead`; density and accuracy are fractions.

    Raises:
        InvalidInput: no IMP run is in the table.

    Source: Frankle, Schwab & Morcos 2020, Figure 1 (A2 for other networks).
    """
    if tables["imp"].empty:
        raise InvalidInput("figure rewinding: the table imp holds no run")
    runs = results(tables, "imp", "k", "round", "seed")
    curves = [rewind_label(k) for k in sorted(runs["k"].unique())]
    tickets = ticket_points(runs.assign(curve=runs["k"].map(rewind_label)), curves)
    points = concat([dense_points({"dense": tables["dense"]}), tickets], ignore_index=True)
    with house_style():
        drawn, (ax,) = new_axes(1)
        accuracy_by_density(ax, points, curve_styles(curves))
        ax.set_title(network_of(points), loc="left")
        add_legend(drawn, [ax], "Rewound to iteration", "right")
        add_note(drawn, seeds_note(points))
    return drawn, points.drop(columns="curve")
