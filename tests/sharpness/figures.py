"""Sharpness along the dense run."""

from matplotlib.figure import Figure
from pandas import DataFrame

from earlyphase.registry import figure
from earlyphase.results.figures.style import curve_with_band, house_style, iteration_axis, new_axes
from earlyphase.results.summaries import Tables, over_seeds


@figure(reads=("sharpness",))
def sharpness(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw the largest rise of the loss within a ball around the weights against the iteration."""
    points = over_seeds(tables["sharpness"], ["iteration"], "sharpness")
    with house_style():
        drawn, (ax,) = new_axes(1)
        curve_with_band(ax, points)
        iteration_axis(ax, points["iteration"].max())
        ax.set_ylabel("Largest rise of the loss (nats)")
    return drawn, points
