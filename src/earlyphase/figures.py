"""Tables to figures; the look they share.

A figure is a registered function: tables by name -> (figure, the points it shows). It draws on the
object interface of matplotlib, since pyplot costs start-up and holds global state.
"""

from contextlib import AbstractContextManager
from io import BytesIO

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike
from pandas import DataFrame, Series, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import Registry
from earlyphase.summaries import (
    NETWORK,
    fit_line,
    last_evaluations,
    over_seeds,
    perturbation_means,
)

FIGURES = Registry("figure")
Tables = dict[str, DataFrame]

STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.title_fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 3.2,  # long enough to show a dash pattern
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "savefig.dpi": 300,
    "svg.fonttype": "path",  # the same picture on a machine without our font
    "svg.hashsalt": "earlyphase",  # element names that do not change between runs
}
MARKERS = "osD^v"  # filled, then open
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
SMALL_PRINT = {"fontsize": 6.5, "color": "0.3"}


# Shared by every figure


def house_style() -> AbstractContextManager:
    """Draw inside this: matplotlib's defaults and ours, whatever the user's own settings are."""
    return style.context(["default", STYLE])


def new_axes(panels: int, columns: int = 2, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    """Return a figure with its panels in reading order: 5.5 inches wide for one panel, else 7."""
    columns = min(panels, columns)
    rows = -(-panels // columns)
    figure = Figure(figsize=(5.5 if columns == 1 else 7.0, 0.5 + height * rows), layout="constrained")
    figure.get_layout_engine().set(wspace=0.05, hspace=0.04)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def render(figure: Figure, file_format: str) -> bytes:
    """Return `figure` as a file of "svg", "png" or "pdf": the same bytes for the same figure."""
    unstamped = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    unstamped["pdf"] = {"CreationDate": None, "Creator": None, "Producer": None}
    content = BytesIO()
    with house_style():
        figure.savefig(content, format=file_format, metadata=unstamped[file_format])
    return content.getvalue()


def curve_styles(labels: list[str]) -> dict[str, dict]:
    """Line style of each label, for up to ten curves in a meaningful order.

    Colour runs from dark to light, so that grey print keeps the order; markers and dashes tell
    neighbours apart without colour.
    """
    shades = colormaps["viridis"](np.linspace(0.0, 0.78, max(len(labels), 2)))
    return {
        label: {
            "color": shades[i],
            "linestyle": DASHES[i % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)],
            "markerfacecolor": shades[i] if i < len(MARKERS) else "white",
        }
        for i, label in enumerate(labels)
    }


def add_legend(figure: Figure, axes: list[Axes], title: str) -> None:
    """Put one legend for all panels outside the data.

    It stands right of a single panel, the last curve on top as it mostly is in the data; else above.
    """
    entries = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if len(axes) == 1:
        entries, place = dict(reversed(entries.items())), {"loc": "outside right upper"}
    else:
        longest = 0.7 + 0.048 * max(map(len, entries))  # inches
        rows = -(-len(entries) // min(int(6.8 / longest), 5))
        place = {"loc": "outside upper center", "ncols": -(-len(entries) // rows)}
    figure.legend(entries.values(), entries.keys(), title=title, alignment="left", **place)


def seeds_note(points: DataFrame) -> str:
    """Say what the bars are, over how many seeds, and how many diverged runs they leave out.

    Args:
        points: a row per point, with `n` and `diverged`.
    """
    drawn = points.loc[points["n"] > 0, "n"]
    fewest, most, diverged = drawn.min(), drawn.max(), points["diverged"].sum()
    if drawn.empty:
        note = "Every run diverged"
    elif most == 1:
        note = "One seed: no error bars"
    else:
        n = f"n = {most}" if fewest == most else f"n = {fewest} to {most}"
        note = f"Mean ± sample standard deviation, {n} seeds"
    if diverged:
        note += f"; ×: left out, {diverged} diverged run{'s' if diverged > 1 else ''}"
    return note


# Accuracy against density


def accuracy_by_density(ax: Axes, curves: dict[str, DataFrame], styles: dict[str, dict]) -> None:
    """Draw accuracy against weights remaining, a curve with error bars for each label.

    The points of one round stand side by side, at most 0.3 of a round away from their density.

    Args:
        ax: panel to draw into.
        curves: label -> a row per round: `round`, `density`, `mean` and `std` as fractions, `n`,
            `diverged`. A cross at the foot of the panel marks a point that lacks a diverged run.
        styles: label -> line style, as from `curve_styles`; it may change the widths and sizes too.
    """
    shifts = np.linspace(-1, 1, len(curves)) * min(0.3, 0.05 * (len(curves) - 1))
    for (label, curve), shift in zip(curves.items(), shifts, strict=True):
        density = 100 * curve["density"] * 0.8**shift
        bars = 100 * curve["std"] if curve["std"].notna().any() else None
        ax.errorbar(
            density,
            100 * curve["mean"],
            bars,
            label=label,
            **{
                "linewidth": 1.0,
                "markersize": 3.2,
                "markeredgewidth": 0.8,
                "elinewidth": 0.7,
                "capsize": 1.3,
                "capthick": 0.6,
                **styles[label],
            },
        )
        lost = density[curve["diverged"] > 0]
        foot = ax.get_xaxis_transform()  # x in data, y as a fraction of the panel
        ax.plot(lost, [0.025] * len(lost), "x", color=styles[label]["color"], markersize=4, transform=foot)
    density_axis(ax, concat(curves.values()))
    ax.set_ylabel("Test accuracy (%)")


def density_axis(ax: Axes, points: DataFrame) -> None:
    """Make x the weights remaining in %: logarithmic, 100 on the left, a tick for every round.

    As many rounds are labelled as there is room for, evenly and from 100 on.
    """
    densities = [100.0, *(100 * points.groupby("round")["density"].mean().sort_values(ascending=False))]
    every = -(-len(densities) // 6)
    ax.set_xscale("log")
    ax.set_xlim(densities[0] * 1.12, densities[-1] / 1.12)
    ax.set_xticks(densities[::every], [plain(density) for density in densities[::every]])
    ax.set_xticks(densities, minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("Weights remaining (%)")


def plain(percent: float) -> str:
    """Write a percentage as briefly as it can be read: 100, 51.2, 6.9, 0.35."""
    return (f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}").removesuffix(".0")


def dense_line(ax: Axes, point: DataFrame) -> None:
    """Draw the dense network as a line across the panel, with a band of ± one standard deviation.

    Args:
        ax: panel to draw into.
        point: one row, with `mean` and `std` as fractions.
    """
    mean, std = 100 * point["mean"].item(), 100 * point["std"].item()
    ax.axhline(mean, color="black", linewidth=0.9, label="dense", zorder=1.5)
    if np.isfinite(std):
        ax.axhspan(mean - std, mean + std, color="0.5", alpha=0.25, linewidth=0, zorder=0.5)


# Figure 1


@FIGURES.register
def rewinding(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k.

    Args:
        tables: `imp` and `dense`, a row per evaluation. Each network gets a panel.

    Raises:
        InvalidInput: no supervised IMP run is in the table.

    Source: Frankle, Schwab & Morcos 2020, Figure 1 (A2 for other networks).
    """
    points = rewinding_points(tables)
    ks = sorted(points["k"].dropna().unique())
    if not ks:
        raise InvalidInput("figure rewinding: the table imp holds no supervised run")
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


def rewind_label(k: int) -> str:
    """Name a curve by its rewind iteration."""
    return f"k = {k:,}"


def rewinding_points(tables: Tables) -> DataFrame:
    """Return the points of `rewinding`: the dense network (`k` missing, round 0), then every k.

    Columns: `dataset`, `model`, `k`, `round`, `density`, `mean`, `std`, `n`, `diverged`; density and
    accuracy are fractions.
    """
    imp, dense = (tables[name][tables[name]["task"] == "supervised"] for name in ("imp", "dense"))
    place = [*NETWORK, "k", "round"]
    tickets = last_evaluations(imp, [*place, "seed"])
    density = tickets.groupby(place)["density"].mean().reset_index()
    tickets = over_seeds(tickets, place).merge(density, on=place)
    whole = over_seeds(last_evaluations(dense, [*NETWORK, "seed"]), NETWORK).assign(round=0, density=1.0)
    points = concat([whole, tickets.astype({"k": "Int64"})]).sort_values(place, na_position="first")
    return points[[*place, "density", "mean", "std", "n", "diverged"]].reset_index(drop=True)


# Figures 4 to 7

BASELINE = {"linewidth": 1.5, "markersize": 4.4, "markerfacecolor": "white"}
BASELINES = {  # heavier than any perturbation, and without colour
    "rewind to k": BASELINE | {"color": "black", "linestyle": "-", "marker": "P"},
    "rewind to 0 (own masks)": BASELINE | {"color": "0.4", "linestyle": (0, (4, 1.2)), "marker": "X"},
    "rewind to 0 (masks of k)": BASELINE | {"color": "0.6", "linestyle": (0, (1, 0.8)), "marker": "p"},
}
TO_K, OWN_MASKS, MASKS_OF_K = BASELINES
REWIND_TO_0 = "rewind_to_0"  # the perturbation that `MASKS_OF_K` shows


@FIGURES.register
def perturbed(tables: Tables, *, show: dict[str, str]) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets against density, a panel for each k.

    Every panel also has the ticket of k unperturbed and both readings of "rewind to 0", where they were
    run: tickets of k = 0 with their own masks, and the state of 0 under the masks of k. Without perturbed
    runs the panels are the smallest and the largest k of the unperturbed tickets.

    Args:
        tables: `perturbed`, `imp` and `dense`, a row per evaluation. What is missing is not drawn.
        show: perturbation -> label of its curve, in the order of the legend.

    Raises:
        InvalidInput: there is neither a perturbed nor an IMP run.

    Source: Frankle, Schwab & Morcos 2020, Figures 4 to 7 (A4 to A7 for other networks).
    """
    points = perturbed_points(tables, show)
    panels = list(points[points["k"].notna()].groupby([*NETWORK, "k"]).size().index)
    if not panels:
        raise InvalidInput("figure perturbed: neither the table perturbed nor imp holds a supervised run")
    drawn = set(points["curve"])
    labels = [label for label in show.values() if label in drawn and label not in BASELINES]
    with house_style():
        figure, axes = new_axes(len(panels))
        styles = {**BASELINES, **curve_styles(labels)}
        first = {}
        for ax, (dataset, model, k) in zip(axes, panels, strict=True):
            network = points[(points["dataset"] == dataset) & (points["model"] == model)]
            shown = network[network["k"] == k]
            curves = {label: shown[shown["curve"] == label] for label in [*BASELINES, *labels]}
            accuracy_by_density(ax, {label: curve for label, curve in curves.items() if len(curve)}, styles)
            if network["k"].isna().any():
                dense_line(ax, network[network["k"].isna()])
            ax.set_title(f"{model}, {dataset}: {rewind_label(k)}", loc="left")
            if (dataset, model) in first:
                ax.sharey(first[dataset, model])
            first.setdefault((dataset, model), ax)
        add_legend(figure, axes, "Start of training")
        note = seeds_note(points) + ("" if labels else "; no perturbed run of this figure")
        figure.supxlabel(note, x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def perturbed_points(tables: Tables, show: dict[str, str]) -> DataFrame:
    """Return the points of `perturbed`: the dense network (`k` missing), then each k, curve and round.

    Columns: `dataset`, `model`, `k` of the panel, `curve` as in the legend, `round`, `density`, `mean`,
    `std`, `n`, `diverged`; density and accuracy are fractions.
    """
    place = [*NETWORK, "k", "curve", "round"]
    names = {REWIND_TO_0: MASKS_OF_K} | show
    branches = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    chains = results(tables, "imp", "k", "round", "seed")
    whole = results(tables, "dense", "seed")
    source = chains[chains["k"] > 0] if branches.empty else branches
    curves = [branches.assign(curve=branches["perturbation"].map(names)).dropna(subset="curve")]
    for network, runs in source.groupby(NETWORK):
        own = chains[(chains[NETWORK] == list(network)).all(axis=1)]
        ks = sorted(runs["k"].unique())
        for k in sorted({ks[0], ks[-1]}) if branches.empty else ks:
            curves += [own[own["k"] == k].assign(curve=TO_K)] if k else []
            curves += [own[own["k"] == 0].assign(curve=OWN_MASKS, k=k)]
    curves = [part for part in curves if len(part)]
    parts = [DataFrame(columns=[*place, "density", "mean", "std", "n", "diverged"])]
    if len(whole):
        summary = over_seeds(whole, NETWORK).assign(curve="dense", round=0, density=1.0)
        parts += [summary.assign(k=Series([None] * len(summary), dtype="Int64"))]
    if curves:
        runs = concat(curves).astype({"k": "Int64"})
        density = runs.groupby(place)["density"].mean().reset_index()
        order = {label: i for i, label in enumerate([*BASELINES, *names.values()])}
        summary = over_seeds(runs, place).merge(density, on=place)
        parts += [summary.sort_values([*place], key=lambda at: at.map(order) if at.name == "curve" else at)]
    columns, parts = parts[0].columns, parts[1:] or parts
    return concat(parts)[columns].reset_index(drop=True)


def results(tables: Tables, name: str, *run: str) -> DataFrame:
    """Results of the supervised runs of a table, a row per run; without rows where it is missing."""
    columns = [*NETWORK, *run, "iteration", "accuracy", "loss", "density"]
    if name not in tables or tables[name].empty:
        return DataFrame(columns=columns)
    table = tables[name]
    return last_evaluations(table[table["task"] == "supervised"], [*NETWORK, *run])


# Figure 8


@FIGURES.register
def effective_std(tables: Tables, *, round: int, families: dict[str, list[str]]) -> tuple[Figure, DataFrame]:
    """Draw mean accuracy of perturbed tickets against the size of the perturbation, a panel for each k.

    The line and Pearson's r are over the means, one for each perturbation: runs of one perturbation are
    not independent points.

    Args:
        tables: `perturbed`, a row per evaluation.
        round: of pruning.
        families: label -> perturbations of one colour. Others, such as rewinding, are left out.

    Returns:
        The figure, and a row per point as from `effective_std_points`.

    Source: Frankle, Schwab & Morcos 2020, Figure 8 (A8 for other networks).
    """
    points = effective_std_points(tables, round, families)
    panels = [key for key, _ in points.groupby([*NETWORK, "k"])]
    with house_style():
        figure, axes = new_axes(max(len(panels), 1), height=3.6)
        styles = curve_styles(list(families))
        for ax, (dataset, model, k) in zip(axes, panels, strict=False):
            shown = points[(points[[*NETWORK, "k"]] == [dataset, model, k]).all(axis=1)]
            weights = f"{plain(100 * shown['density'].mean())} % of weights"
            ax.set_title(f"{model}, {dataset}: {rewind_label(k)}, {weights}", loc="left")
            accuracy_by_size(ax, shown, styles)
        for ax in axes:
            ax.set_xlabel("Effective standard deviation of the perturbation")
            ax.set_ylabel("Test accuracy (%)")
        if panels:
            add_legend(figure, axes, "Perturbation of")
            figure.supxlabel(seeds_note(points), x=0.01, ha="left", **SMALL_PRINT)
            figure.draw_without_rendering()  # settles the layout, which the labels need
            for ax, panel in zip(axes, panels, strict=True):
                label_points(ax, points[(points[[*NETWORK, "k"]] == list(panel)).all(axis=1)])
        else:
            axes[0].text(
                0.5, 0.5, f"No perturbed ticket of round {round}", ha="center", transform=axes[0].transAxes
            )
    return figure, points


def effective_std_points(tables: Tables, imp_round: int, families: dict[str, list[str]]) -> DataFrame:
    """Return the points of `effective_std`: a row per k and perturbation, families in their order.

    Columns: `dataset`, `model`, `k`, `family`, `perturbation`, `density`, `effective_std` and
    `effective_std_spread` (its standard deviation over seeds), `mean`, `std`, `n`, `diverged`; `fitted`
    by the line and `residual` = mean - fitted; `r` and `p`, the same for all points of a k. Accuracies
    are fractions.
    """
    place = [*NETWORK, "k", "family", "perturbation"]
    family = {name: label for label, names in families.items() for name in names}
    runs = results(tables, "perturbed", "perturbation", "k", "round", "seed")
    runs = runs[(runs["round"] == imp_round) & runs["perturbation"].isin(family)]
    columns = [*place, "density", "effective_std", "effective_std_spread", "mean", "std", "n", "diverged"]
    fitted = ["fitted", "residual", "r", "p"]
    if runs.empty:
        return DataFrame(columns=[*columns, *fitted])
    runs = runs.assign(family=runs["perturbation"].map(family))
    density = runs.groupby(place)["density"].mean().reset_index()
    points = perturbation_means(runs, place).merge(density, on=place)[columns]
    parts = []
    for _, panel in points.groupby([*NETWORK, "k"]):
        drawn = panel[panel["n"] > 0]
        line = fit_line(drawn["effective_std"], drawn["mean"])
        on_line = line.intercept + line.slope * panel["effective_std"]
        parts += [panel.assign(fitted=on_line, residual=panel["mean"] - on_line, r=line.r, p=line.p)]
    order = {name: i for i, name in enumerate(family)}
    return (
        concat(parts)
        .sort_values(
            [*NETWORK, "k", "perturbation"], key=lambda at: at.map(order) if at.name == "perturbation" else at
        )
        .reset_index(drop=True)
    )


def accuracy_by_size(ax: Axes, points: DataFrame, styles: dict[str, dict]) -> None:
    """Draw a point with error bars for each perturbation, their line, and r with p in a corner."""
    for family, shown in points.groupby("family", sort=False):
        style_of = {key: value for key, value in styles[family].items() if key != "linestyle"}
        ax.errorbar(
            shown["effective_std"],
            100 * shown["mean"],
            100 * shown["std"] if shown["std"].notna().any() else None,
            shown["effective_std_spread"] if shown["effective_std_spread"].notna().any() else None,
            label=family,
            linestyle="none",
            markersize=4.5,
            markeredgewidth=0.8,
            elinewidth=0.6,
            capsize=0,
            zorder=3,
            **style_of,
        )
    drawn = points[points["n"] > 0]
    ends = (
        drawn.loc[[drawn["effective_std"].idxmin(), drawn["effective_std"].idxmax()]] if len(drawn) else drawn
    )
    ax.plot(ends["effective_std"], 100 * ends["fitted"], color="0.5", linewidth=0.8, zorder=1.5)
    ax.margins(x=0.12, y=0.12)
    r, p = points[["r", "p"]].iloc[0]
    fit = (
        "r needs three points"
        if np.isnan(r)
        else f"Pearson r = {r:.2f}, {p_value(p)}".replace("-", "\N{MINUS SIGN}")
    )
    side = "left" if r > 0 else "right"  # where a line of that slope leaves room
    ax.text(
        0.02 if side == "left" else 0.98, 0.98, f"{fit}\n{len(drawn)} perturbations", va="top", ha=side,
        transform=ax.transAxes, fontsize=7, gid="fit",
    )  # fmt: skip


def p_value(p: float) -> str:
    """Write a p-value as it is reported: p = 0.0085, p < 0.0001."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def label_points(ax: Axes, points: DataFrame) -> None:
    """Name every point, each label where it covers least; the layout must be settled.

    Labels are placed one by one, then each again with all others in place. One that stands away from
    its point is tied to it by a thin line.
    """
    points = points[points["n"] > 0]
    if points.empty:
        return
    to_pixels, pt = ax.transData.transform, ax.figure.dpi / 72
    x, y, spread, fitted = (points[name] for name in ("effective_std", "mean", "std", "fitted"))
    centres, low, high, line = (
        to_pixels(np.column_stack([x, 100 * at])) for at in (y, y - spread, y + spread, fitted)
    )
    corner = [text.get_window_extent().extents for text in ax.texts]
    panel = ax.get_window_extent().extents
    labels = [
        ax.annotate(
            readable(name), place, (0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=5.5, color="0.2", gid="label", zorder=4,
            path_effects=[withStroke(linewidth=1.2, foreground="white")],
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2.2},
        )
        for name, place in zip(points["perturbation"], np.column_stack([x, 100 * y]), strict=True)
    ]  # fmt: skip
    sizes = np.array([Text.get_window_extent(label).size for label in labels]) + pt

    # What a label should not cover. All in pixels; a box is (left, bottom, right, top).
    markers = boxes(centres, 6 * pt)
    half = np.array([pt, 0])
    bars = np.hstack([low - half, high + half])[spread.notna()]
    ends = line[[line[:, 0].argmin(), line[:, 0].argmax()]]
    line = boxes(np.linspace(*ends, 100 if np.isfinite(ends).all() else 0), 2 * pt)
    fixed = np.vstack([*corner, markers, bars, bars, bars, line])  # a bar is thin, so it counts thrice

    angles = np.pi * np.arange(0, 2, 1 / 8)
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    distances = np.repeat([4, 7, 11, 16, 22, 29, 37], len(angles))
    directions = np.tile(directions, (7, 1))
    along = np.linspace(0.3, 1, 12)[:, None, None]
    covered: dict[int, np.ndarray] = {}  # label -> its box
    tied: dict[int, np.ndarray] = {}  # label -> boxes along its line
    for i in [*range(len(labels))] * 3:
        others = [box for j, box in covered.items() if j != i]
        crossing = [dots for j, dots in tied.items() if j != i]
        shifts = directions * (sizes[i] / 2 + distances[:, None] * pt)
        candidates = boxes(centres[i] + shifts, sizes[i])
        cost = 2 * pt**2 * distances + 3 * (sizes[i].prod() - overlap(candidates, panel))
        cost += overlap(candidates, np.vstack([fixed, *others, *10 * crossing]))
        ties = boxes(centres[i] + along * directions * distances[:, None] * pt, pt)
        for dots in ties:
            cost += np.where(
                distances > 4, 20 * overlap(dots, np.vstack([np.delete(markers, i, 0), *others])), 0
            )
        best = int(cost.argmin())
        covered[i] = candidates[best : best + 1]
        tied[i] = ties[:, best] if distances[best] > 4 else np.empty((0, 4))
        labels[i].set_position(shifts[best] / pt)
        labels[i].arrow_patch.set_visible(len(tied[i]) > 0)


def readable(name: str) -> str:
    """Write the name of a perturbation in words, a long one on two lines of about equal length."""
    words = name.split("_")
    lines = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(len(words) - 1, 0, -1)]
    if len(name) <= 14 or not lines:
        return " ".join(words)
    return "\n".join(min(lines, key=lambda pair: max(map(len, pair))))


def boxes(centres: np.ndarray, size: ArrayLike) -> np.ndarray:
    """Boxes (..., 4) of one size around `centres` (..., 2): left, bottom, right, top."""
    half = np.broadcast_to(size, 2) / 2
    return np.concatenate([centres - half, centres + half], axis=-1)


def overlap(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each of `some` boxes (n, 4) shares with `others` (m, 4), summed over these: (n,)."""
    a, b = some[:, None], others.reshape(-1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(axis=-1).sum(axis=-1)
