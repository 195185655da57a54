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
from earlyphase.results.sparsity import PRUNED, breaks_even
from earlyphase.results.summaries import over_seeds

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
    "onnxruntime_sparse": "ONNX Runtime, sparse initialisers",
}
NARROW = "emptied channels removed"
BUSY = 0.2  # processors that others use, from which times are rough
MARK = {"marker": "*", "markersize": 9, "markeredgecolor": "black", "markeredgewidth": 0.5, "zorder": 5}


@figure(reads=("inference",))
def sparsity(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw bytes of files, and time of inference for each batch size, against density.

    A star marks the largest density measured from which on a file is surely smaller than the dense network's.
    Whether times are shorter is a claim, which gives dense network and ticket the same candidates.

    Args:
        tables: `inference` of one network.

    Returns:
        The figure, and a row per point: `quantity` (bytes, seconds for an image), `curve`, `batch` (0 for
        bytes), `round`, `density`, `mean`, `std`, `n`, and of bytes `breaks_even`, a density or nothing.

    Raises:
        InvalidInput: the table is empty.
    """
    table = tables["inference"]
    if table.empty:
        raise InvalidInput("figure sparsity: the table inference holds no run")
    batches = sorted(table["batch"].unique())
    sizes, times = size_points(table), time_points(table)
    with house_style():
        drawn, axes = new_axes(1 + len(batches), columns=3, height=2.6)
        draw(axes[0], sizes, curve_styles(list(FILES.values())), 1e-3)
        axes[0].set_ylabel("Size of the file (kB)")
        axes[0].set_title(f"{network_of(table)}: storage", loc="left")
        add_legend(drawn, axes[:1], "Storage", "above left")
        styles = curve_styles(times["curve"].unique())
        for ax, batch in zip(axes[1:], batches, strict=True):
            draw(ax, times[times["batch"] == batch], styles, 1e3)
            ax.set_ylabel("Time for an image (ms)")
            ax.set_title(f"{counted(batch, 'image')} at a time", loc="left")
        add_legend(drawn, axes[1:], "Time, one thread of the processor", "above right")
        star = "★: surely smaller than the dense network's file from there on"
        add_note(drawn, f"{spread_note(times['n'])}. {star}")
        if missing := sorted(table["note"].dropna().unique()):
            add_note(drawn, "; ".join(missing))
        if (busy := table["others_busy"].max()) > BUSY:
            add_note(drawn, f"Times are rough: up to {busy:.1f} processors did other work meanwhile")
    columns = ["quantity", "curve", "batch", "round", "density", "mean", "std", "n", "breaks_even"]
    return drawn, concat([sizes, times], ignore_index=True)[columns]


def size_points(table: DataFrame) -> DataFrame:
    """Summarise the bytes of each kind of file, of the networks as they were pruned, and where it pays."""
    networks = table[table["form"] == PRUNED].drop_duplicates(["seed", "k", "round"])
    dense = networks.loc[networks["round"] == 0, ["seed", "k", "bytes_dense"]]
    networks = networks.merge(dense.rename(columns={"bytes_dense": "reference"}), on=["seed", "k"])
    parts = []
    for column, label in FILES.items():
        pays = breaks_even(networks.assign(ratio=networks[column] / networks["reference"]))
        points = over_seeds(networks, ["round"], column, ["density"])
        parts.append(points.assign(quantity="bytes", curve=label, batch=0, breaks_even=pays))
    return concat(parts, ignore_index=True)


def time_points(table: DataFrame) -> DataFrame:
    """Summarise seconds for an image of each runtime, form and batch size that was measured."""
    timed = table.dropna(subset="seconds")
    narrow = (timed["form"] != PRUNED).map({True: f", {NARROW}", False: ""})
    timed = timed.assign(
        image=timed["seconds"] / timed["batch"], curve=timed["runtime"].map(RUNTIMES) + narrow
    )
    points = over_seeds(timed, ["curve", "batch", "round"], "image", ["density"])
    order = list(timed["curve"].unique())
    points = points.sort_values("curve", key=lambda curves: curves.map(order.index), kind="stable")
    return points.assign(quantity="seconds", breaks_even=float("nan"))


def draw(ax: Axes, points: DataFrame, styles: dict[str, dict], scale: float) -> None:
    """Draw the curves of a panel, on two logarithmic axes, and mark where they break even.

    Args:
        ax: panel to draw into.
        points: a row per point of each curve.
        styles: curve -> line style.
        scale: factor from the unit of the points to that of the axis.
    """
    for label, curve in points.groupby("curve", sort=False):
        bars = scale * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(100 * curve["density"], scale * curve["mean"], bars, label=label, **BARS | styles[label])
        at = curve[curve["density"].round(9) == curve["breaks_even"].round(9)]
        ax.plot(100 * at["density"], scale * at["mean"], **MARK, color=styles[label]["color"], linestyle="")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    density_axis(ax, points[points["round"] > 0])
