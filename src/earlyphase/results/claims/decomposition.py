"""What rewinding gains, split into the part of its masks and the part of its weights.

An own finding, not a claim of the paper. Rewinding to k changes two things against rewinding to 0: the mask,
found from the weights of k, and the weights that start under it. In between lies the ticket that starts from
0 under the masks of k:

    (k - 0 under own masks) = (0 under the masks of k - 0 under own masks) + (k - 0 under the masks of k)
"""

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import Evidence, order
from earlyphase.results.claims.network import REWIND_TO_0, Network, sparsest_of_all
from earlyphase.results.summaries import t_interval

LEAST_GAIN = 0.5  # points that rewinding must surely gain for a share of it to mean anything


def parts_of_gain(network: Network) -> DataFrame:
    """Split what rewinding gains at each k and round at which 0 was run under the masks of k as well.

    Returns:
        A row per `k` and `round`: `density`; `n`, the seeds that have all three runs; `gain`, `mask` and
        `weights` in points with `gain_std`, ... (sample standard deviations); `mask_share` and
        `weights_share` of the gain with `mask_share_std`, ..., NaN where the gain is not surely above
        `LEAST_GAIN`, for a share of nothing has no meaning.
    """
    imp = network.results("imp", ["seed", "k", "round"])
    perturbed = network.results("perturbed", ["seed", "k", "round", "perturbation"])
    between = perturbed[(perturbed["perturbation"] == REWIND_TO_0) & (perturbed["k"] > 0)]
    if between.empty:
        raise NotRun(f"{REWIND_TO_0}, rewinding to 0 under the masks of k, was not run")
    by_run = {name: runs.set_index("seed")["accuracy"] for name, runs in imp.groupby(["k", "round"])}
    rows = []
    for (k, imp_round), runs in between.groupby(["k", "round"]):
        if not {(k, imp_round), (0, imp_round)} <= by_run.keys():
            continue
        middle = runs.set_index("seed")["accuracy"]
        late, early = by_run[k, imp_round], by_run[0, imp_round]
        parts = DataFrame({"gain": late - early, "mask": middle - early, "weights": late - middle}).dropna()
        name = {"k": k, "round": imp_round, "density": runs["density"].mean(), "n": len(parts)}
        rows.append(name | split(parts))
    if not rows:
        raise NotRun("no round was run with rewinding to 0, to k, and to 0 under the masks of k")
    return DataFrame(rows)


def split(parts: DataFrame) -> dict[str, float]:
    """Summarise `gain`, `mask` and `weights`, a row per seed, and the shares of the latter two.

    A share is a ratio of means. Its standard deviation is that of (part - share * gain) / mean gain over
    seeds: of the ratio to first order, which a seed with a small gain does not blow up.
    """
    summary = {}
    for name in parts:
        summary |= {name: parts[name].mean(), f"{name}_std": parts[name].std()}
    for name in ("mask", "weights"):
        share = spread = float("nan")
        if t_interval(parts["gain"])[0] > LEAST_GAIN:
            share = summary[name] / summary["gain"]
            spread = Series(parts[name] - share * parts["gain"]).std() / summary["gain"]
        summary |= {f"{name}_share": share, f"{name}_share_std": spread}
    return summary


def over_0(network: Network, perturbation: str, imp_round: int | None = None) -> DataFrame:
    """What a perturbation of the weights of k gains over rewinding to 0, both under the masks of k.

    Args:
        imp_round: of pruning; None is the sparsest at which every k has both.

    Returns:
        Points, (seeds, ks).
    """
    runs = network.results("perturbed", ["seed", "k", "round", "perturbation"], "no ticket was perturbed")
    runs = runs[runs["perturbation"].isin([perturbation, REWIND_TO_0]) & (runs["k"] > 0)]
    if imp_round is not None:
        runs = runs[runs["round"] == imp_round]
    both = runs.groupby(["k", "round"])["perturbation"].transform("nunique") == 2
    if not both.any():
        raise NotRun(f"{perturbation} was not run at a k and a density at which {REWIND_TO_0} was")
    runs = runs[both]
    runs = runs[runs["round"] == sparsest_of_all(runs)]
    by_name = {name: own.pivot(index="seed", columns="k", values="accuracy")
               for name, own in runs.groupby("perturbation")}  # fmt: skip
    return by_name[perturbation] - by_name[REWIND_TO_0]


@claim(
    statement="The later k, the more the signs of k alone, with magnitudes of 0, gain over rewinding to 0 "
    "under the same masks",
    paper="k = 500: no better than rewinding to 0; k = 2,000: better, below k (recollected)",
    criterion="over at least {least} ks the gain rises: Spearman's rank correlation, by Page's exact test",
    source="Figure 4",
    reads=("perturbed",),
)
def M2(network: Network, *, perturbation: str = "signs_k_magnitudes_0", least: int = 3) -> Measured:
    """How the gain by signs alone is ordered over k."""
    gains = over_0(network, perturbation)
    if gains.shape[1] < least:
        raise NotRun(f"{perturbation} was run at {gains.shape[1]} ks above 0; {least} are needed")
    return Measured([order(gains)])


@claim(
    statement="Own finding, not of the paper: how much of what rewinding gains is due to the masks found "
    "from k, and how much to the weights of k",
    paper="",
    criterion="measured, paired within seeds, ± sample standard deviations, at the sparsest density at "
    "which every k has it; mask: from 0 under the masks of k minus from 0 under own masks; weights: from k "
    "minus from 0 under the masks of k",
    source="",
    reads=("perturbed", "imp"),
)
def M1(network: Network) -> Measured:
    """The parts of what rewinding gains at one density, for each k."""
    parts = parts_of_gain(network)
    parts = parts[parts["round"] == sparsest_of_all(parts)]
    words = "; ".join(in_words(row) for _, row in parts.iterrows())
    return Measured([Evidence("parts of what rewinding gains", "", n=int(parts["n"].min()), words=words)])


def in_words(row: Series) -> str:
    """One k: the gain, and each part in points and as a share."""
    words = []
    for name in ("gain", "mask", "weights"):
        error = f" ± {row[f'{name}_std']:.2f}" if np.isfinite(row[f"{name}_std"]) else ""
        words.append(f"{name} {row[name]:+.2f}{error}")
        if np.isfinite(row.get(f"{name}_share", np.nan)):
            share, spread = 100 * row[f"{name}_share"], 100 * row[f"{name}_share_std"]
            words[-1] += f" ({share:.0f} ± {spread:.0f} %)"
    return f"k = {row['k']:,.0f} at {row['density']:.1%}: {', '.join(words)} points"
