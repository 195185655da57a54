"""Figure 1: how accurate tickets are that were rewound to iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    curve_styles,
    house_style,
    new_axes,
    seeds_note,
)
from earlyphase.results.figures.tickets import accuracy_by_density, dense_line, rewind_label
from earlyphase.results.summaries import NETWORK, last_evaluations, over_seeds


@figure(reads=("imp", "dense"))
def rewinding(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k.

    Args:
        tables: `imp` and `dense`, a row per evaluation. Each network gets a panel.

    Raises:
        InvalidInput: no IMP run is in the table.

    Source: Frankle, Schwab & Morcos 2020, Figure 1 (A2 for other networks).
    """
    points = rewinding_points(tables)
    ks = sorted(points["k"].dropna().unique())
    if not ks:
        raise InvalidInput("figure rewinding: the table imp holds no run")
    networks = points[points["k"].notna()].groupby(NETWORK).size().index
    with house_style():
        figure, axes = new_axes(len(networks))
        styles = curve_styles([rewind_label(k) for k in ks])
        for ax, (dataset, model) in zip(axes, networks, strict=True):
            shown = points[(points["dataset"] == dataset) & (points["model"] == model)]
            curves = {rewind_label(k): curve for k, curve in shown.groupby("k")}
            accuracy_by_density(ax, curves, styles)
            if shown["k"].isna().any():
                dense_line(ax, shown[shown["k"].isna()])
            ax.set_title(f"{model}, {dataset}", loc="left")
        add_legend(figure, axes, "Rewound to iteration")
        figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def rewinding_points(tables: Tables) -> DataFrame:
    """Return the points of `rewinding`: the dense network (`k` missing, round 0), then every k.

    Columns: `dataset`, `model`, `k`, `round`, `density`, `mean`, `std`, `n`, `diverged`; density and
    accuracy are fractions.
    """
    place = [*NETWORK, "k", "round"]
    tickets = last_evaluations(tables["imp"], [*place, "seed"])
    density = tickets.groupby(place)["density"].mean().reset_index()
    tickets = over_seeds(tickets, place).merge(density, on=place)
    whole = over_seeds(last_evaluations(tables["dense"], [*NETWORK, "seed"]), NETWORK).assign(
        round=0, density=1.0
    )
    points = concat([whole, tickets.astype({"k": "Int64"})]).sort_values(place, na_position="first")
    return points[[*place, "density", "mean", "std", "n", "diverged"]].reset_index(drop=True)
