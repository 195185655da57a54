"""The edge of stability: the learning rate times the Hessian's largest eigenvalue along training."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

DENSE = 50  # first iterations, of which a panel shows every seed
BATCH = "by the sample's own statistics, as in training"
FIXED = "with {} statistics held fixed"  # of batch norm
EDGE = "edge, 2 (1 + momentum)"


@figure(reads=("edge_of_stability",), uses=("curvature",))
def edge_of_stability(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the learning rate times the Hessian's largest eigenvalue, and the edge at 2 (1 + momentum).

    Beside the loss that SGD descends, in which batch norm normalises by the statistics of the images at hand,
    panel a shows the eigenvalues of the stage `curvature`, in which these are held fixed: another function,
    with other derivatives. Panel b shows each seed in the first fifty iterations.

    Args:
        tables: `edge_of_stability` of one network, and `curvature`, where there is one.

    Returns:
        The figure, and a row per curve and iteration: `curve`, `iteration`, `mean` and `std` of the product,
        `n`, `diverged`, `edge`, NaN where the optimiser has none.

    Source: Cohen, Kaur, Li, Kolter & Talwalkar 2021.
    """
    table = tables["edge_of_stability"]
    table = table.assign(product=table["learning_rate"] * table["eigenvalue"])
    points = concat([product_points(table, BATCH), *fixed_points(tables, table)], ignore_index=True)
    points["edge"] = points["iteration"].map(table.groupby("iteration")["edge"].mean())
    styles = style.curve_styles(points["curve"].unique())
    with style.house_style():
        drawn, (whole, early) = style.new_axes(2, height=2.6)
        for label, curve in points.groupby("curve", sort=False):
            style.curve_with_band(whole, curve, label=label, **styles[label] | {"markersize": 2})
        style.iteration_axis(whole, table["iteration"].max())
        whole.set_title("a  Along training", loc="left")
        first = table[table["iteration"] <= DENSE].sort_values("iteration")
        for _, run in first.groupby("seed"):
            early.plot(run["iteration"], run["product"], color="0.6", linewidth=0.6)
        curve = points[(points["curve"] == BATCH) & (points["iteration"] <= DENSE)]
        style.curve_with_band(early, curve, **styles[BATCH] | {"markersize": 2})
        early.set_title(f"b  The first {first['iteration'].max()} iterations, every seed", loc="left")
        early.set_xlabel("Iteration")
        for ax in (whole, early):
            if table["edge"].notna().any():  # the optimiser has one
                look = {"color": "black", "linestyle": (0, (1.2, 1.2)), "linewidth": 1}
                ax.axhline(table["edge"].max(), label=EDGE, **look)
            ax.set_yscale("log")
            ax.set_ylabel("Learning rate × largest eigenvalue")
        style.add_legend(drawn, [whole], f"{style.network_of(table)}; batch norm normalises")
        style.add_note(drawn, f"{style.seeds_note(points, marked=False)}; grey: single seeds")
        products, residual = table["products"].mean(), table["residual"].max()
        style.add_note(
            drawn,
            f"Each solve starts where the one before it ended: {products:.0f} products with the Hessian on "
            f"average; relative residuals are at most {residual:.1g}",
        )
    return drawn, points[["curve", "iteration", "mean", "std", "n", "diverged", "edge"]]


def product_points(table: DataFrame, label: str) -> DataFrame:
    """Summarise `product` over seeds: a row per iteration."""
    return over_seeds(table, ["iteration"], "product").assign(curve=label)


def fixed_points(tables: Tables, table: DataFrame) -> list[DataFrame]:
    """The product by each kind of statistics that `curvature` holds fixed, at its iterations."""
    if "curvature" not in tables:
        return []
    measured = tables["curvature"].merge(table.groupby("iteration")["learning_rate"].mean().reset_index())
    measured["product"] = measured["learning_rate"] * measured["eigenvalue_1"]
    kinds = [kind for kind in dict.fromkeys(measured["statistics"]) if kind in ("sample", "running")]
    return [product_points(measured[measured["statistics"] == kind], FIXED.format(kind)) for kind in kinds]
