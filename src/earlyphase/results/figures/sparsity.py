"""What sparsity buys: bytes and time against density."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    add_note,
    curve_styles,
    house_style,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.figures.tickets import density_axis
from earlyphase.results.sparsity import PRUNED, breaks_even, relative_to_dense

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
    "onnxruntime_sparse": "ONNX Runtime,\nsparse initialisers",
}
NARROW = "emptied\nchannels removed"
MARK = {"marker": "*", "markersize": 9, "markeredgecolor": "black", "markeredgewidth": 0.5, "zorder": 5}


@figure(reads=("inference",))
def sparsity(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw bytes of files, and time of inference for each batch size, against density.

    A star marks the largest density measured from which on a curve is surely below the dense network's best.

    Args:
        tables: `inference` of one network.

    Returns:
        The figure, and a row per point: `quantity` (bytes, seconds for an image), `curve`, `batch` (0 for
        bytes), `round`, `density`, `mean`, `std`, `n`, and `breaks_even` of its curve, a density or nothing.

    Raises:
        InvalidInput: the table is empty.
    """
    table = tables["inference"]
    if table.empty:
        raise InvalidInput("figure sparsity: the table inference holds no run")
    batches = sorted(table["batch"].unique())
    sizes = concat(size_curves(table), ignore_index=True)
    times = concat(time_curves(table), ignore_index=True)
    with house_style():
        figure, axes = new_axes(1 + len(batches), columns=min(1 + len(batches), 3), height=2.6)
        draw(axes[0], sizes, curve_styles(list(FILES.values())), 1e-3)
        axes[0].set_ylabel("Size of the file (kB)")
        axes[0].set_ylim(bottom=axes[0].get_ylim()[0] / 4)  # room for the legend
        axes[0].legend(loc="lower left", fontsize=6, handlelength=2.6)
        styles = curve_styles(list(times["curve"].unique()))
        for ax, batch in zip(axes[1:], batches, strict=True):
            draw(ax, times[times["batch"] == batch], styles, 1e3)
            ax.set_ylabel("Time for an image (ms)")
            ax.set_title(f"{batch} image{'s' if batch > 1 else ''} at a time", loc="left")
        axes[0].set_title("Storage", loc="left")
        add_legend(figure, axes[1:], "One thread of the processor")
        figure.supxlabel(seeds_note(times.assign(diverged=0)), x=0.01, ha="left", **SMALL_PRINT)
        for note in notes_of(table, times):
            add_note(figure, note)
    return figure, concat([sizes, times], ignore_index=True)


def size_curves(table: DataFrame) -> Iterator[DataFrame]:
    """Bytes of each kind of file, of the networks as they were pruned; a table of points for each."""
    networks = table[table["form"] == PRUNED].drop_duplicates(["seed", "k", "round"])
    dense = networks[networks["round"] == 0].set_index(["seed", "k"])["bytes_dense"]
    for column, label in FILES.items():
        ratio = (
            networks[column].to_numpy() / dense.loc[list(zip(networks["seed"], networks["k"], strict=True))]
        )
        yield points_of(networks.assign(ratio=ratio.to_numpy()), column, "bytes", label, 0)


def time_curves(table: DataFrame) -> Iterator[DataFrame]:
    """Seconds for an image, a table of points for each runtime, form and batch size that was measured."""
    timed = relative_to_dense(table, "seconds").dropna(subset="seconds")
    timed = timed.assign(an_image=timed["seconds"] / timed["batch"])
    for (form, runtime), rows in timed.groupby(["form", "runtime"], sort=False):
        label = RUNTIMES[runtime] if form == PRUNED else f"{RUNTIMES[runtime]}, {NARROW}"
        for batch, own in rows.groupby("batch"):
            yield points_of(own, "an_image", "seconds", label, batch)


def points_of(rows: DataFrame, value: str, quantity: str, label: str, batch: int) -> DataFrame:
    """Mean and standard deviation over seeds for each round of one curve, and where it breaks even."""
    found = rows.groupby("round").agg(
        density=("density", "mean"), mean=(value, "mean"), std=(value, "std"), n=(value, "count")
    )
    named = {"quantity": quantity, "curve": label.replace("\n", " "), "batch": batch}
    points = found.reset_index().assign(**named, breaks_even=breaks_even(rows))
    return points[[*named, "round", "density", "mean", "std", "n", "breaks_even"]]


def draw(ax: Axes, points: DataFrame, styles: dict[str, dict], scale: float) -> None:
    """Draw the curves of a panel, on two logarithmic axes, and mark where they break even.

    Args:
        ax: panel to draw into.
        points: a row per point of each curve.
        styles: label -> line style.
        scale: factor from the unit of the points to that of the axis.
    """
    for label, curve in points.groupby("curve", sort=False):
        bars = scale * curve["std"] if curve["std"].notna().any() else None
        look = {"linewidth": 1.0, "markersize": 3.2, "elinewidth": 0.7, "capsize": 1.3} | styles[label]
        ax.errorbar(100 * curve["density"], scale * curve["mean"], bars, label=label, **look)
        at = curve[curve["density"].round(9) == curve["breaks_even"].round(9)]
        ax.plot(100 * at["density"], scale * at["mean"], **MARK, color=styles[label]["color"], linestyle="")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    density_axis(ax, points[points["round"] > 0])


def notes_of(table: DataFrame, times: DataFrame) -> Iterator[str]:
    """Say where time breaks even, what was not measured, and how quiet the machine was."""
    found = times.dropna(subset="breaks_even").drop_duplicates(["curve", "batch"])
    least = f"{plain(100 * table['density'].min())} %"
    where = "; ".join(
        f"{one.curve}, batch {one.batch}, from {plain(100 * one.breaks_even)} %" for one in found.itertuples()
    )
    none = f"no runtime is surely faster on a ticket of down to {least} than the fastest on the dense network"
    yield f"★: surely below the dense network's best from there on. Time: {where or none}"
    if missing := sorted(table.loc[table["note"].notna(), "note"].unique()):
        yield "; ".join(missing)
    busy = table["others_busy"].max()
    yield f"At most {busy:.1f} processors did other work meanwhile{': times are rough' if busy > 0.2 else ''}"
