"""The Hessian's top subspace: how much of the gradient lies in it, and how long it lasts."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables, over_seeds

GRADIENT, RANDOM = "gradient_share", "random_share"
SHARES = {  # column -> label; what is not drawn, as it would lie on the axis, is said below the figure
    GRADIENT: "gradient, sample",
    "minibatch_share": "gradient, mini-batch of SGD",
    "displacement_share": "displacement from start",
}
COLUMNS = ["panel", "statistics", "curve", "iteration", "mean", "std", "n", "diverged"]


@figure(reads=("curvature", "pairs"))
def subspace(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw shares of squared length in the top subspace, its eigenvalues, and overlaps between times.

    The kind of batch norm's statistics that stands first in `curvature`, so first in the configuration, is
    shown in all panels; of each other kind the share of the sample's gradient is a further curve in a.

    Args:
        tables: `curvature` and `pairs` of one network.

    Returns:
        The figure, and a row per curve and iteration: `panel`, `statistics`, `curve`, `iteration`, `mean`,
        `std`, `n`, `diverged`. In the panel `overlap` the curve is the earlier time, the iteration the later
        one.

    Source: Gur-Ari, Roberts & Dyer 2018.
    """
    kind, *others = dict.fromkeys(tables["curvature"]["statistics"])
    lost = sorted(tables["curvature"].query("diverged == 1")["seed"].unique())
    curvature, pairs = (tables[name][~tables[name]["seed"].isin(lost)] for name in ("curvature", "pairs"))
    own, pairs = (table[table["statistics"] == kind] for table in (curvature, pairs))
    random = over_seeds(own, ["iteration"], RANDOM)
    last = curvature["iteration"].max()
    with style.house_style():
        drawn, axes = style.new_axes(4, height=2.6)
        parts = [draw_shares(axes[0], curvature, [kind, *others]), random.assign(panel="share", curve=RANDOM)]
        parts += [draw_eigenvalues(axes[1], own), draw_matrix(axes[2], pairs), draw_ends(axes[3], pairs)]
        for ax in (axes[0], axes[1], axes[3]):
            style.iteration_axis(ax, last)
        by = "no batch norm" if kind == "none" else f"batch norm by {kind} statistics"
        style.add_legend(drawn, axes[:1], f"{style.network_of(tables['curvature'])}; {by}. Panel a:")
        points = concat(parts, ignore_index=True).assign(diverged=len(lost))
        points["statistics"] = points["statistics"].fillna(kind)
        note = style.seeds_note(points[["n"]])
        style.add_note(drawn, f"{note}; dots in b: the largest eigenvalue of each seed")
        sample, chance = tables["curvature"]["sample"].iloc[0], own["chance"].mean()
        style.add_note(
            drawn,
            f"{sample:,} training images; relative residuals of eigenvectors are at most "
            f"{curvature['residual'].max():.1g}. A random subspace of as many dimensions holds "
            f"{random['mean'].mean():.2g} of the gradient, and overlaps by {pairs['chance'].mean():.2g}; "
            f"by chance it would hold {chance:.2g}.",
        )
        if lost:
            style.add_note(drawn, f"Left out, diverged: seeds {', '.join(map(str, lost))}")
    return drawn, points[COLUMNS]


def draw_shares(ax: Axes, curvature: DataFrame, kinds: list[str]) -> DataFrame:
    """Draw each share against the iteration; return the points.

    Args:
        ax: panel to draw into.
        curvature: rows of all kinds of statistics.
        kinds: of statistics; all shares under the first are drawn, and of each other that of the gradient.
    """
    ax.set_title("a  Share of squared length in the top subspace", loc="left")
    curves = [(kinds[0], column, label) for column, label in SHARES.items()]
    if len(kinds) > 1:
        curves[:1] = [(kind, GRADIENT, f"gradient, {kind} statistics") for kind in kinds]
    styles = style.curve_styles([label for *_, label in curves])
    parts = []
    for kind, column, label in curves:
        curve = over_seeds(curvature[curvature["statistics"] == kind], ["iteration"], column)
        curve = curve.dropna(subset="mean")
        style.curve_with_band(ax, curve, label=label, **styles[label])
        parts.append(curve.assign(panel="share", curve=column, statistics=kind))
    ax.set_ylim(0, 1)
    ax.set_ylabel("Share, in [0, 1]")
    return concat(parts)


def draw_eigenvalues(ax: Axes, curvature: DataFrame) -> DataFrame:
    """Draw the mean of each eigenvalue over seeds, and the largest of each seed; return the points."""
    names = [name for name in curvature if name.startswith("eigenvalue_")]
    shades = colormaps["viridis"](np.linspace(0, 0.8, len(names)))
    ax.set_title(f"b  The {len(names)} largest eigenvalues of the Hessian", loc="left")
    parts = []
    for name, shade in zip(names, shades, strict=True):
        curve = over_seeds(curvature, ["iteration"], name)
        ax.plot(curve["iteration"], curve["mean"], color=shade, linewidth=0.7)
        parts.append(curve.assign(panel="eigenvalue", curve=name))
    largest = curvature.sort_values(["seed", "iteration"])
    ax.plot(largest["iteration"], largest[names[0]], ".", color=style.DARK, markersize=3, alpha=0.5)
    ax.set_yscale("log")  # which has no place for what is zero or less
    ax.set_ylabel("Eigenvalue (nats)")
    return concat(parts)


def draw_matrix(ax: Axes, pairs: DataFrame) -> DataFrame:
    """Draw the mean overlap between every two times, with its number; return the points."""
    ax.set_title("c  Overlap of the subspaces of two times", loc="left")
    points = over_seeds(pairs, ["earlier", "later"], "overlap")
    times = sorted({*points["earlier"], *points["later"]})
    matrix = points.pivot(index="earlier", columns="later", values="mean").reindex(
        times[:-1], columns=times[1:]
    )
    ax.imshow(matrix, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for _, point in points.iterrows():
        text = "?" if np.isnan(point["mean"]) else f"{point['mean']:.2f}".removeprefix("0")
        place = times.index(point["later"]) - 1, times.index(point["earlier"])
        ax.text(*place, text, ha="center", va="center", fontsize=6.5,
                color="black" if point["mean"] > 0.6 else "white")  # fmt: skip
    ax.set_xticks(range(len(times) - 1), [f"{time:,}" for time in times[1:]])
    ax.set_yticks(range(len(times) - 1), [f"{time:,}" for time in times[:-1]])
    ax.set_xlabel("Later iteration")
    ax.set_ylabel("Earlier iteration")
    ax.grid(visible=False)
    curves = points["earlier"].map("from {}".format)
    return points.rename(columns={"later": "iteration"}).assign(panel="overlap", curve=curves)


def draw_ends(ax: Axes, pairs: DataFrame) -> DataFrame:
    """Draw the overlap of each time with the first, the last and the next one; return the points."""
    ax.set_title("d  Overlap with the subspace of another time", loc="left")
    first, last = pairs["earlier"].min(), pairs["later"].max()
    following = pairs["later"] == pairs.groupby(["seed", "earlier"])["later"].transform("min")
    curves = {
        f"with iteration {first:,}": (pairs["earlier"] == first, "later"),
        f"with iteration {last:,}": (pairs["later"] == last, "earlier"),
        "with the next": (following, "earlier"),
    }
    styles = style.curve_styles(curves)
    parts = []
    for label, (chosen, time) in curves.items():
        curve = over_seeds(pairs[chosen], [time], "overlap").rename(columns={time: "iteration"})
        style.curve_with_band(ax, curve, label=label, **styles[label])
        parts.append(curve.assign(panel="overlap", curve=label))
    ax.set_ylim(0, 1)
    ax.set_ylabel("Overlap, in [0, 1]")
    ax.legend(loc="best", handlelength=3)
    return concat(parts)
