"""What sparsity buys: bytes and time against density."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    BARS,
    Tables,
    add_legend,
    add_note,
    counted,
    curve_styles,
    house_style,
    network_of,
    new_axes,
    spread_note,
)
from earlyphase.results.figures.tickets import density_axis
from earlyphase.results.sparsity import PRUNED

FILES = {  # column -> label
    "bytes_dense": "all weights",
    "bytes_dense_compressed": "all weights, LZMA",
    "bytes_packed": "packed",
    "bytes_packed_compressed": "packed, LZMA",
}
RUNTIMES = {
    "torch": "PyTorch",
    "torch_csr": "PyTorch, sparse (CSR)",
    "scipy": "SciPy, sparse (CSR)",
    "onnxruntime": "ONNX Runtime",
}
NARROW = "emptied channels removed"
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

    Raises:
        InvalidInput: the table is empty.
    """
    table = tables["inference"]
    if table.empty:
        raise InvalidInput("figure sparsity: the table inference holds no run")
    points = points_of(table)
    panels = list(points.groupby("batch"))
    styles = {}
    for _, curves in points.groupby("quantity"):
        styles |= curve_styles(curves["curve"].unique())
    with house_style():
        drawn, axes = new_axes(len(panels), columns=3, height=2.6)
        for ax, (batch, curves) in zip(axes, panels, strict=True):
            draw(ax, curves, styles, 1e3 if batch else 1e-3)
            ax.set_ylabel("Time for an image (ms)" if batch else "Size of the file (kB)")
            title = f"{counted(batch, 'image')} at a time" if batch else f"{network_of(table)}: storage"
            ax.set_title(title, loc="left")
        add_legend(drawn, axes[:1], "Storage", "above left")
        add_legend(drawn, axes[1:], "Time, one thread of the processor", "above right")
        add_note(drawn, spread_note(points["n"]))
        if missing := sorted(table["note"].dropna().unique()):
            add_note(drawn, "; ".join(missing))
        if (waited := table["waited"].max()) > ROUGH:
            add_note(drawn, f"Times are rough: the processor did other work for up to {waited:.0%} of them")
    return drawn, points


def points_of(table: DataFrame) -> DataFrame:
    """Summarise over seeds the bytes of each kind of file, and the seconds an image takes in each runtime."""
    sized = table[table["form"] == PRUNED].drop_duplicates(["seed", "k", "round"])
    timed = table.dropna(subset="seconds")
    narrow = (timed["form"] != PRUNED).map({True: f", {NARROW}", False: ""})
    curves = [
        sized.assign(quantity="bytes", curve=label, batch=0, value=sized[column])
        for column, label in FILES.items()
    ]
    names, seconds = timed["runtime"].map(RUNTIMES) + narrow, timed["seconds"] / timed["batch"]
    curves.append(timed.assign(quantity="seconds", curve=names, value=seconds))
    groups = concat(curves).groupby(["quantity", "curve", "batch", "round"], sort=False)
    return groups.agg(
        density=("density", "mean"), mean=("value", "mean"), std=("value", "std"), n=("value", "count")
    ).reset_index()


def draw(ax: Axes, points: DataFrame, styles: dict[str, dict], scale: float) -> None:
    """Draw the curves of a panel, on two logarithmic axes.

    Args:
        ax: panel to draw into.
        points: a row per point of each curve.
        styles: curve -> line style.
        scale: factor from the unit of the points to that of the axis.
    """
    for label, curve in points.groupby("curve", sort=False):
        bars = scale * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(100 * curve["density"], scale * curve["mean"], bars, label=label, **BARS | styles[label])
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    density_axis(ax, points[points["round"] > 0])
