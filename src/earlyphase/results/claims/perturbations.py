"""Claims on perturbed tickets: the paper's Figures 4 to 8.

In a short study the smallest and the largest perturbed k stand for the paper's 500 and 2,000, and the
sparsest density at which every k was perturbed for its 26.2 %.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import INFINITY, Contrast, Evidence, Lies, Margin, correlation
from earlyphase.results.claims.network import BASELINES, Branches, Network, Points, Share, listed
from earlyphase.results.summaries import fit_line, perturbation_means

Names = tuple[str, ...]  # of perturbations, in config.yaml
EARLY, LATE, BOTH = ({"k": k, "density": 0.262} for k in (500, 2000, "500 and 2,000"))  # the paper's
READS = ("perturbed", "imp")
LITTLE = "{share:.0%} of what rewinding to k gains over rewinding to 0, half a point at least, is more than "
"each of them gains"
MIXES = ("signs_k_magnitudes_0", "signs_k_magnitudes_fresh", "signs_0_magnitudes_k")
SHUFFLES = (
    "shuffle_global", "shuffle_layers", "shuffle_kernels", "shuffle_global_signs_k", "shuffle_layers_signs_k",
    "shuffle_kernels_signs_k", "shuffle_layers_signs_0",
)  # fmt: skip
NOISE = ("noise_0.5", "noise_1", "noise_2", "noise_3")


def beside_0(
    every: list[Branches], names: Names, network: Network, reading: str, share: Share, lies: Lies
) -> Measured:
    """What each perturbation gains over rewinding to 0, in one of its readings, at every k."""
    contrasts = []
    for branches in every:
        early = network.rewound_to_0(branches.k, branches.round, reading)
        kept = Margin(branches.ticket - early, share=share)
        label = f"{branches.place}: {{}} minus rewinding to 0 ({reading})"
        contrasts += [
            Contrast(label.format(name), branches.of(name) - early, lies, margin=kept) for name in names
        ]
    return measured(contrasts, every)


def below_k(
    branches: Branches, names: Names, lies: Lies = "below", margin: Margin | None = None
) -> list[Contrast]:
    """What each perturbation gains over the ticket of k itself: a loss, where it is negative."""
    label = f"{branches.place}: {{}} minus rewinding to k"
    return [
        Contrast(label.format(name), branches.of(name) - branches.ticket, lies, margin=margin)
        for name in names
    ]


def one_minus_other(every: list[Branches], one: str, other: str, edge: float = 0.0) -> Measured:
    """What the perturbation `one` gains over `other`, at every k."""
    label = f"{{}}: {one} minus {other}"
    contrasts = [
        Contrast(label.format(each.place), each.of(one) - each.of(other), edge=edge) for each in every
    ]
    return measured(contrasts, every)


def measured(contrasts: Sequence[Contrast | Evidence], every: list[Branches]) -> Measured:
    """Quantities, with the k and the density that a statement names."""
    return Measured(contrasts, k=listed([each.k for each in every]), density=every[0].density)


@claim(
    statement="k = {k}, {density:.1%} of the weights: signs of k with magnitudes of 0, or fresh ones, keep "
    "less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="k = 500: no better than rewinding to 0, at effective std 0.042 (recollected)",
    criterion=LITTLE,
    source="Figure 4, left",
    reads=READS,
    readings=BASELINES,
    places=EARLY,
)
def P1(network: Network, reading: str, *, perturbations: Names = MIXES[:2], share: Share = 0.25) -> Measured:
    """Signs alone beside rewinding to 0."""
    return beside_0(network.branches("early"), perturbations, network, reading, share, "not better")


@claim(
    statement="k = {k}, {density:.1%} of the weights: magnitudes of k with signs of 0 keep more than "
    "{share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="k = 500: clearly better than rewinding to 0, at effective std 0.033 (recollected)",
    criterion="they gain more over rewinding to 0 than {share:.0%} of what rewinding to k gains, and than "
    "half a point",
    source="Figure 4, left",
    reads=READS,
    readings=BASELINES,
    places=EARLY,
)
def P2(network: Network, reading: str, *, perturbations: Names = MIXES[2:], share: Share = 0.25) -> Measured:
    """Magnitudes alone beside rewinding to 0."""
    return beside_0(network.branches("early"), perturbations, network, reading, share, "better")


@claim(
    statement="k = {k}, {density:.1%} of the weights: signs of k with magnitudes of 0 are about as good as "
    "the reverse, and both below rewinding to k",
    paper="k = 2,000: about equal, and below k (recollected)",
    criterion="the two differ by less than the margin, and each is below rewinding to k",
    source="Figure 4, right",
    reads=READS,
    places=LATE,
)
def P3(network: Network, *, perturbations: Names = (MIXES[0], MIXES[2]), margin: Points = 1.0) -> Measured:
    """Both mixtures of signs and magnitudes."""
    (late,) = network.branches("late")
    one, other = perturbations
    same = network.matching(network.tickets(imp_round=late.round), margin)
    difference = Contrast(
        f"{late.place}: {one} minus {other}", late.of(one) - late.of(other), "as good", margin=same
    )
    return measured([difference, *below_k(late, perturbations)], [late])


@claim(
    statement="Signs alone are not enough in deeper networks: k = {k}, {density:.1%} of the weights, fresh "
    "magnitudes under the signs of k are worse than those of k",
    paper="not robust to random weights under the signs of k, unlike the networks of Zhou et al. 2019 "
    "(from the abstract; no number)",
    criterion="at every perturbed k, fresh magnitudes under the signs of k are less accurate than "
    "rewinding to k",
    source="abstract, Figure 4",
    reads=READS,
    places=BOTH,
)
def P4(network: Network, *, perturbations: Names = MIXES[1:2]) -> Measured:
    """Signs of k alone beside all of k."""
    every = network.branches()
    return measured([one for each in every for one in below_k(each, perturbations)], every)


@claim(
    statement="k = {k}, {density:.1%} of the weights: shuffled globally or within layers, kept weights "
    "keep less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="at k = 500 and 2,000 no better than rewinding to 0, at effective std 0.144 and 0.143 "
    "(recollected)",
    criterion=LITTLE,
    source="Figure 5",
    reads=READS,
    readings=BASELINES,
    places=BOTH,
)
def P5(
    network: Network, reading: str, *, perturbations: Names = SHUFFLES[:2], share: Share = 0.25
) -> Measured:
    """Two shuffles beside rewinding to 0."""
    return beside_0(network.branches(), perturbations, network, reading, share, "not better")


@claim(  # the paper's filters: 2-D slices, by their size; `shuffle_filters` is 3-D
    statement="k = {k}, {density:.1%} of the weights: a shuffle within filters, taken as 2-D slices, is "
    "better than one within layers",
    paper="slightly better, at effective std 0.092 against 0.143 (recollected)",
    criterion="at every perturbed k the shuffle within filters is the more accurate",
    source="Figure 5",
    reads=READS,
    places=BOTH,
)
def P6(network: Network, *, perturbations: Names = ("shuffle_kernels", "shuffle_layers")) -> Measured:
    """One shuffle beside the other."""
    return one_minus_other(network.branches(), *perturbations)


@claim(
    statement="k = {k}, {density:.1%} of the weights: shuffled within filters, taken as 2-D slices, "
    "weights lose much less if they keep their signs",
    paper="well above the plain shuffle, at effective std 0.049 against 0.092 (recollected)",
    criterion="at every perturbed k the shuffle among weights of one sign gains more than {least} points "
    "over the plain one",
    source="Figure 6",
    reads=READS,
    places=BOTH,
)
def P7(
    network: Network,
    *,
    perturbations: Names = ("shuffle_kernels_signs_k", "shuffle_kernels"),
    least: Points = 0.5,
) -> Measured:
    """One shuffle beside the other."""
    return one_minus_other(network.branches(), *perturbations, edge=least)


@claim(
    statement="Keeping signs in a shuffle within layers helps more at the later of k = {k}, at "
    "{density:.1%} of the weights",
    paper="slightly at k = 500, substantially at 2,000 (recollected)",
    criterion="what keeping signs gains over the plain shuffle is larger at the late k than at the early one",
    source="Figure 6",
    reads=READS,
    places=BOTH,
)
def P8(network: Network, *, perturbations: Names = ("shuffle_layers_signs_k", "shuffle_layers")) -> Measured:
    """What one shuffle gains over the other, at the late k less the same at the early one."""
    one, other = perturbations
    early, late = network.branches("early")[0], network.branches("late")[0]
    growth = (late.of(one) - late.of(other)) - (early.of(one) - early.of(other))
    label = f"{one} minus {other} at {late.place}, minus the same at k = {early.k:,}"
    return measured([Contrast(label, growth)], [early, late])


@claim(
    statement="k = {k}, {density:.1%} of the weights: magnitudes shuffled within layers under the signs of "
    "0 keep less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="no better than noise, at effective std 0.087 (recollected)",
    criterion=LITTLE,
    source="Figure 6",
    reads=READS,
    readings=BASELINES,
    places=BOTH,
)
def P9(
    network: Network, reading: str, *, perturbations: Names = SHUFFLES[6:], share: Share = 0.25
) -> Measured:
    """That shuffle beside rewinding to 0."""
    return beside_0(network.branches(), perturbations, network, reading, share, "not better")


@claim(
    statement="k = {k}, {density:.1%} of the weights: tickets tolerate Gaussian noise of 0.5 and 1 sigma; "
    "2 and 3 sigma leave less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="k = 500: tolerates 0.5 to 1 sigma, then as rewinding to 0 (recollected)",
    criterion="little noise costs less than the margin, {margin} points at most; and {share:.0%} of what "
    "rewinding to k gains over rewinding to 0, half a point at least, is more than is gained with much "
    "noise",
    source="Figure 7, left",
    reads=READS,
    readings=BASELINES,
    places=EARLY,
)
def P10(
    network: Network, reading: str, *, perturbations: Names = NOISE[:2], beyond: Names = NOISE[2:],
    share: Share = 0.25, margin: Points = 1.0,
) -> Measured:  # fmt: skip
    """Little noise beside the ticket, much noise beside rewinding to 0."""
    (early,) = network.branches("early")
    gain = early.ticket - network.rewound_to_0(early.k, early.round, reading)
    much = beside_0([early], beyond, network, reading, share, "not better")
    return measured(
        [*below_k(early, perturbations, "not worse", Margin(gain, margin)), *much.quantities], [early]
    )


@claim(
    statement="k = {k}, {density:.1%} of the weights: tickets tolerate Gaussian noise of 1 sigma, and with "
    "2 sigma still beat rewinding to 0",
    paper="k = 2,000: 1 and 2 sigma (recollected)",
    criterion="1 sigma costs less than the margin, {margin} points at most, and with 2 sigma tickets are "
    "more accurate than rewinding to 0",
    source="Figure 7, right",
    reads=READS,
    readings=BASELINES,
    places=LATE,
)
def P11(
    network: Network, reading: str, *, perturbations: Names = NOISE[1:2], beyond: Names = NOISE[2:3],
    margin: Points = 1.0,
) -> Measured:  # fmt: skip
    """Less noise beside the ticket, more noise beside rewinding to 0."""
    (late,) = network.branches("late")
    zero = network.rewound_to_0(late.k, late.round, reading)
    contrasts = below_k(late, perturbations, "not worse", Margin(late.ticket - zero, margin))
    label = f"{late.place}: {{}} minus rewinding to 0 ({reading})"
    return measured(
        [*contrasts, *(Contrast(label.format(name), late.of(name) - zero) for name in beyond)], [late]
    )


def figure_8_points(branches: Branches, perturbations: Names) -> tuple[DataFrame, str]:
    """Points of Figure 8 at one k: `perturbation`, `effective_std`, `mean` accuracy; and a note on them."""
    runs = branches.runs[branches.runs["perturbation"].isin(perturbations)]
    if runs.empty:
        raise NotRun("none of the perturbations of Figure 8 was run")
    points = perturbation_means(runs, ["k", "perturbation"])
    lost = points["diverged"].sum()
    note = f"n counts perturbations (of {len(perturbations)}), each a mean over seeds"
    note += f"; left out: {lost} run{'s' if lost > 1 else ''} that diverged" if lost else ""
    return points[points["n"] > 0].reset_index(drop=True), note


@claim(
    statement="k = {k}, {density:.1%} of the weights: the larger the effective standard deviation of a "
    "perturbation, the less accurate the ticket",
    paper="Pearson r = -0.67 (p = 0.008) at k = 500, -0.73 (p = 0.003) at 2,000, 14 points (recollected)",
    criterion="at every perturbed k r is negative over independent draws: the levels of noise, which scale "
    "one draw, count as one",
    source="Figure 8",
    reads=READS,
    places=BOTH,
)
def P12(
    network: Network, *, perturbations: Names = (*MIXES, *SHUFFLES, *NOISE), one_draw: Names = NOISE
) -> Measured:
    """Size and accuracy over perturbations, which share masks and seeds."""
    every, contrasts = network.branches(), []
    for branches in every:
        points, note = figure_8_points(branches, perturbations)
        apart = points["perturbation"].where(~points["perturbation"].isin(one_draw), "noise")
        draws = points.groupby(apart, sort=False)[["effective_std", "mean"]].mean()
        if len(draws) < 4:
            raise NotRun(
                f"a correlation with bounds needs four independent draws; {len(draws)} of use were run"
            )
        line, honest = (fit_line(table["effective_std"], table["mean"]) for table in (points, draws))
        if np.isnan([line.r, honest.r]).any():
            raise NotRun("sizes or accuracies of all perturbations are equal")
        contrasts.append(correlation(branches.place, line, len(points), honest, len(draws), note))
    return measured(contrasts, every)


@claim(
    statement="k = {k}, {density:.1%} of the weights: mixes of signs and magnitudes fit that line worst",
    paper="similar sizes, very different accuracies: largest residuals (recollected)",
    criterion="at every perturbed k their residuals rank higher in modulus than those of other "
    "perturbations, by an exact test; of the levels of noise, which scale one draw, one counts",
    source="Figure 8",
    reads=READS,
    places=BOTH,
)
def P13(
    network: Network, *, mixes: Names = MIXES, perturbations: Names = (*MIXES, *SHUFFLES, "noise_1")
) -> Measured:
    """Residuals of the mixes beside those of the rest."""
    every, contrasts = network.branches(), []
    for branches in every:
        points, note = figure_8_points(branches, perturbations)
        if missing := sorted(set(mixes) - set(points["perturbation"])):
            raise NotRun(f"{', '.join(missing)} was not run")
        if len(points) <= len(mixes):
            raise NotRun("no other perturbation was run")
        line = fit_line(points["effective_std"], points["mean"])
        points["off"] = (points["mean"] - line.slope * points["effective_std"] - line.intercept).abs()
        off = points.set_index("perturbation")["off"]
        value, larger, smaller = rank_biserial(off, list(mixes))
        places = ", ".join(f"{place:g}" for place in off.rank(ascending=False)[list(mixes)].sort_values())
        note = f"places of the mixes by residual, 1 the largest: {places}; {note}"
        contrasts.append(Evidence(
            branches.place, "(rank-biserial correlation)", value, n=len(points), target=(0.0, INFINITY),
            inside=value > 0, p_for=larger, p_against=smaller, tested=True, note=note,
        ))  # fmt: skip
    return measured(contrasts, every)


def rank_biserial(values: Series, chosen: list[str]) -> tuple[float, float, float]:
    """Compare the `chosen` entries of `values` with the others.

    Returns:
        1 if each is larger than every other, -1 if smaller; and its exact one-sided ps, of larger and of
        smaller, over all choices of as many entries.
    """
    ranks, size = values.rank(), len(chosen)
    centre, farthest = size * (len(values) + 1) / 2, size * (len(values) - size) / 2
    shift = ranks[chosen].sum() - centre
    some = np.array(list(combinations(range(len(values)), size)))
    shifts = ranks.to_numpy()[some].sum(axis=1) - centre
    larger, smaller = np.mean(shifts >= shift - 1e-9), np.mean(shifts <= shift + 1e-9)
    return float(shift / farthest), float(larger), float(smaller)


@claim(
    statement="Weights after a few hundred iterations are far from independent: at k = {k} and "
    "{density:.1%} of the weights, shuffled ones keep less than {share:.0%} of what rewinding to k gains "
    "over rewinding to 0",
    paper="shuffles no better than rewinding to 0 (from the paper; no number)",
    criterion=LITTLE,
    source="Figure 5",
    reads=READS,
    readings=BASELINES,
    same_as="P5",
    places=BOTH,
)
def P14(
    network: Network, reading: str, *, perturbations: Names = SHUFFLES[:2], share: Share = 0.25
) -> Measured:
    """The same question as P5."""
    return P5(network, reading=reading, perturbations=perturbations, share=share)
