"""Sparse double descent: test error against density where some labels of the training images are wrong."""

from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import accuracy_by_density, points_by_k
from earlyphase.results.summaries import Tables


@figure(reads=("imp", "dense"), task="noisy_labels")
def double_descent(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the test error of tickets against density, a curve for each rewind iteration k.

    Labels of test images are true, so that a network which has learned all wrong labels by heart errs on
    them. Where that is so, the error first rises as weights are pruned, falls where too few are left to know
    the wrong labels, and rises at last.

    Args:
        tables: `imp` and `dense` of one network, a row per evaluation.

    Returns:
        The figure; the dense network (`k` missing, round 0), then a row per k and round, with the columns of
        `ticket_points`, of which `mean` and `std` are those of the error, a fraction.

    Source: He, Xie, Zhu & Qin 2022.
    """
    points, curves = points_by_k(tables)
    points = points.assign(mean=1 - points["mean"])
    with style.house_style():
        drawn, (ax,) = style.new_axes(1)
        accuracy_by_density(ax, points, style.curve_styles(curves))
        ax.set_ylabel("Test error (%)")
        ax.set_title(f"{style.network_of(points)}, {tables['imp']['task'].iloc[0]}", loc="left")
        style.add_legend(drawn, [ax], "Rewound to iteration", "right")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, points
