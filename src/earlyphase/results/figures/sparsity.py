"""What sparsity buys: bytes and time against density."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.claims.promises import PRUNED
from earlyphase.results.figures import style
from earlyphase.results.figures.tickets import density_axis
from earlyphase.results.summaries import Tables, over_seeds

FILES = {  # column -> label
    "bytes_dense": "all weights",
    "bytes_dense_compressed": "all weights, LZMA",
    "bytes_packed": "packed",
    "bytes_packed_compressed": "packed, LZMA",
}
NARROW = "narrow"
TIMED = {  # runtime, or the network without its emptied channels -> label
    "torch": "PyTorch",
    "torch_csr": "PyTorch, sparse (CSR)",
    "scipy": "SciPy, sparse (CSR)",
    NARROW: "PyTorch, emptied channels removed",
}
COLUMNS = ["quantity", "curve", "batch", "round", "density", "mean", "std", "n"]
ROUGH = 0.02  # share of the time that the processor did other work, from which on times are called rough


@figure(reads=("inference",))
def sparsity(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw bytes of files, and time of inference for each batch size, against density.

    Whether a ticket is surely smaller or faster is a claim, which gives dense network and ticket the same
    candidates.

    Args:
        tables: `inference` of one network.

    Returns:
        The figure, and a row per point: `quantity` (bytes, seconds for an image), `curve`, `batch` (0 for
        bytes), `round`, `density`, `mean`, `std`, `n`.
    """
    table = tables["inference"]
    points = points_of(table)
    panels = list(points.groupby("batch"))
    styles = style.curve_styles([*FILES.values()]) | style.curve_styles([*TIMED.values()])
    with style.house_style():
        drawn, axes = style.new_axes(len(panels), columns=3, height=2.6)
        for ax, (batch, curves) in zip(axes, panels, strict=True):
            draw(ax, curves, styles, 1e3 if batch else 1e-3)
            ax.set_ylabel("Time for an image (ms)" if batch else "Size of the file (kB)")
            title = f"{style.counted(batch, 'image')} at a time"
            ax.set_title(title if batch else f"{style.network_of(table)}: storage", loc="left")
        style.add_legend(drawn, axes[:1], "Storage", "above left")
        style.add_legend(drawn, axes[1:], "Time, one thread of the processor", "above right")
        style.add_note(drawn, style.seeds_note(points))
        if (waited := table["waited"].max()) > ROUGH:
            note = f"Times are rough: the processor did other work for up to {waited:.0%} of them"
            style.add_note(drawn, note)
    return drawn, points


def points_of(table: DataFrame) -> DataFrame:
    """Summarise over seeds the bytes of each kind of file, and the seconds an image takes in each runtime."""
    sized = table[table["form"] == PRUNED].drop_duplicates(["seed", "k", "round"]).assign(batch=0)
    parts = [sized.assign(quantity="bytes", curve=FILES[name], value=sized[name]) for name in FILES]
    names = table["runtime"].where(table["form"] == PRUNED, NARROW).map(TIMED)
    seconds = table["seconds"] / table["batch"]
    parts.append(table.assign(quantity="seconds", curve=names, value=seconds))
    points = over_seeds(concat(parts), ["quantity", "curve", "batch", "round"], "value", ["density"])
    order = [*FILES.values(), *TIMED.values()]
    points = points.sort_values(
        ["curve", "batch", "round"], key=lambda at: at.map(order.index) if at.name == "curve" else at
    )
    return points[COLUMNS].reset_index(drop=True)


def draw(ax: Axes, points: DataFrame, styles: dict[str, dict], scale: float) -> None:
    """Draw the curves of a panel, on two logarithmic axes.

    Args:
        ax: panel to draw into.
        points: a row per point of each curve.
        styles: curve -> line style.
        scale: factor from the unit of the points to that of the axis.
    """
    for label, curve in points.groupby("curve", sort=False):
        style.curve_with_bars(ax, 100 * curve["density"], curve, scale, label=label, **styles[label])
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    density_axis(ax, points[points["round"] > 0])
