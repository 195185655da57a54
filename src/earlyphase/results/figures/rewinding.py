"""Figure 1: how accurate tickets are that were rewound to iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import accuracy_by_density, points_by_k
from earlyphase.results.summaries import Tables


@figure(reads=("imp", "dense"))
def rewinding(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k.

    Args:
        tables: `imp` and `dense` of one network, a row per evaluation.

    Returns:
        The figure; the dense network (`k` missing, round 0), then a row per k and round: `dataset`, `model`,
        `k`, `round`, `density`, `mean`, `std`, `n`, `diverged`, `dead`; density and accuracy are fractions.

    Source: Frankle, Schwab & Morcos 2020, Figure 1 (A2 for other networks).
    """
    points, curves = points_by_k(tables)
    with style.house_style():
        drawn, (ax,) = style.new_axes(1)
        accuracy_by_density(ax, points, style.curve_styles(curves))
        ax.set_title(style.network_of(points), loc="left")
        style.add_legend(drawn, [ax], "Rewound to iteration", "right")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, points.drop(columns="curve")
