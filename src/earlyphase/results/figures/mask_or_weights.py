"""What rewinding to k gains over rewinding to 0, split into masks and weights, signs and magnitudes."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.claims import of_network
from earlyphase.results.claims.claim import NotRun
from earlyphase.results.claims.decomposition import over_0, parts_of_gain
from earlyphase.results.figures import style
from earlyphase.results.summaries import Tables

CURVES = {  # column of `parts_of_gain`, or perturbation -> label
    "gain": "all: k minus 0, own masks",
    "mask": "masks of k, weights of 0",
    "weights": "weights of k, under masks of k",
    "signs_k_magnitudes_0": "signs of k alone",
    "signs_0_magnitudes_k": "magnitudes of k alone",
}
PARTS = ("gain", "mask", "weights")


@figure(reads=("perturbed", "imp"), perturbation="rewind_to_0")
def mask_or_weights(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw what rewinding to k gains over rewinding to 0, and its parts, against k.

    The whole gain is the part of the masks, from 0 under masks of its own to 0 under the masks of k, and that
    of the weights, from 0 to k under the masks of k. Signs alone, with magnitudes of 0, and magnitudes alone,
    with signs of 0, start under the masks of k as well; they are trained from k on, and batch norm is of k.
    All at the sparsest density at which 0 was run under the masks of any k.

    Args:
        tables: `perturbed` and `imp` of one network.

    Returns:
        The figure, and a row per curve and k: `curve`, `k`, `density`, `mean` and `std` in points, `n`.
    """
    names = tables["perturbed"][["dataset", "model"]].iloc[0]
    network = of_network(tables, *names)
    parts = parts_of_gain(network)
    parts = parts[parts["round"] == parts["round"].max()]
    about = parts[["k", "density", "n"]]
    rows = [about.assign(curve=name, mean=parts[name], std=parts[f"{name}_std"]) for name in PARTS]
    for name in CURVES.keys() - set(PARTS):
        try:
            gains = over_0(network, name, int(parts["round"].iloc[0]))
        except NotRun:
            continue
        summary = DataFrame({"mean": gains.mean(), "std": gains.std(), "n": gains.count()}).reset_index()
        rows.append(summary.assign(curve=name, density=parts["density"].mean()))
    order = {name: place for place, name in enumerate(CURVES)}
    points = concat(rows, ignore_index=True).sort_values(["curve", "k"], key=lambda at: at.replace(order))
    styles = style.curve_styles(list(CURVES))
    with style.house_style():
        drawn, (ax,) = style.new_axes(1)
        for name, curve in points.groupby("curve", sort=False):
            style.curve_with_bars(ax, curve["k"], curve, label=CURVES[name], **styles[name])
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xscale("log")
        ks = sorted(points["k"].unique())
        ax.set_xticks(ks, [f"{k:,}" for k in ks])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("k: iteration of the masks and the weights")
        ax.set_ylabel("Gain in test accuracy (points)")
        density = style.plain(100 * points["density"].mean())
        ax.set_title(f"{style.network_of(tables['perturbed'])}: {density} % of weights", loc="left")
        style.add_legend(drawn, [ax], "Gain over rewinding to 0", "right")
        spread = "Differences within seeds: mean ± sample standard deviation"
        style.add_note(drawn, style.seeds_note(points, spread))
    return drawn, points[["curve", "k", "density", "mean", "std", "n"]].reset_index(drop=True)
