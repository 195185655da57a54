"""Claims on perturbed tickets: the paper's Figures 4 to 8."""

from itertools import combinations

import numpy as np
from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import Contrast, Correlation, Lies, Margin, Quantity, Ranking
from earlyphase.results.claims.network import Branches, Network, listed
from earlyphase.results.claims.numbers import Points, Share
from earlyphase.results.summaries import fit_line, perturbation_means

Names = tuple[str, ...]  # of perturbations, in config.yaml


def beside_0(
    network: Network,
    every: list[Branches],
    names: Names,
    reading: str,
    lies: Lies,
    share: Share,
    margin: Points,
) -> list[Quantity]:
    """What each perturbation gains over rewinding to 0, in one of its readings, at every k."""
    found: list[Quantity] = []
    for branches in every:
        early = network.rewound_to_0(branches.k, branches.round, reading)
        nothing = Margin(margin, gain=branches.ticket - early, share=share)
        for name in names:
            label = f"{branches.place}: {name} minus rewinding to 0 ({reading})"
            found.append(Contrast(label, branches.of(name) - early, lies, margin=nothing))
    return found


def minus_ticket(
    network: Network, branches: Branches, names: Names, lies: Lies, margin: Margin
) -> list[Quantity]:
    """What each perturbation gains over the ticket of k itself: a loss, where it is negative."""
    label = f"{branches.place}: {{}} minus rewinding to k"
    return [
        Contrast(label.format(name), branches.of(name) - branches.ticket, lies, margin=margin)
        for name in names
    ]


def one_minus_other(every: list[Branches], one: str, other: str, edge: float) -> list[Quantity]:
    """What the perturbation `one` gains over `other`, at every k."""
    return [
        Contrast(f"{each.place}: {one} minus {other}", each.of(one) - each.of(other), "above", edge=edge)
        for each in every
    ]


def at(every: list[Branches]) -> dict[str, object]:
    """The k and density that a statement names."""
    return {"k": listed([each.k for each in every]), "density": every[0].density}


@claim(
    statement="k = {k}, {density:.1%} of the weights: signs of k with magnitudes of 0, or fresh ones, keep less than "
    "{share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="k = 500: no better than rewinding to 0, at effective std 0.042 (recollected)",
    criterion="each gains less than the margin over rewinding to 0: {share:.0%} of what rewinding to k gains, {margin} "
    "points at least; in a short study the smallest perturbed k stands for the paper's 500",
    source="Figure 4, left",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": 500, "density": 0.262},
)
def P1(
    network: Network, *, reading: str, perturbations: Names = ("signs_k_magnitudes_0", "signs_k_magnitudes_fresh"),
    share: Share = 0.25, margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """Signs alone beside rewinding to 0, at the early k."""
    every = network.branches("early")
    return Measured(
        beside_0(network, every, perturbations, reading, "not better", share, margin), **at(every)
    )


@claim(
    statement="k = {k}, {density:.1%} of the weights: magnitudes of k with signs of 0 keep more than {share:.0%} of what "
    "rewinding to k gains over rewinding to 0",
    paper="k = 500: clearly better than rewinding to 0, at effective std 0.033 (recollected)",
    criterion="they gain more than the margin over rewinding to 0: {share:.0%} of what rewinding to k gains, {margin} "
    "points at least; in a short study the smallest perturbed k stands for the paper's 500",
    source="Figure 4, left",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": 500, "density": 0.262},
)
def P2(
    network: Network, *, reading: str, perturbations: Names = ("signs_0_magnitudes_k",), share: Share = 0.25,
    margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """Magnitudes alone beside rewinding to 0, at the early k."""
    every = network.branches("early")
    return Measured(beside_0(network, every, perturbations, reading, "better", share, margin), **at(every))


@claim(
    statement="k = {k}, {density:.1%} of the weights: signs of k with magnitudes of 0 are about as good as the reverse, "
    "and both below rewinding to k",
    paper="k = 2,000: about equal, and below k (recollected)",
    criterion="the two differ by less than the margin, and each is below rewinding to k; in a short study the largest "
    "perturbed k stands for the paper's 2,000",
    source="Figure 4, right",
    reads=("perturbed", "imp"),
    places={"k": 2000, "density": 0.262},
)
def P3(
    network: Network, *, perturbations: Names = ("signs_k_magnitudes_0", "signs_0_magnitudes_k"),
    margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """Both mixtures of signs and magnitudes at the late k."""
    (late,) = network.branches("late")
    one, other = perturbations
    same = network.matching(network.tickets(imp_round=late.round), margin, most)
    difference = Contrast(
        f"{late.place}: {one} minus {other}", late.of(one) - late.of(other), "as good", margin=same
    )
    return Measured(
        [difference, *minus_ticket(network, late, perturbations, "below", Margin(0.0))], **at([late])
    )


@claim(
    statement="Signs alone are not enough in deeper networks: k = {k}, {density:.1%} of the weights, fresh magnitudes "
    "under the signs of k are worse than those of k",
    paper="not robust to random weights under the signs of k, unlike the networks of Zhou et al. 2019 (from the abstract; "
    "no number)",
    criterion="at every perturbed k, fresh magnitudes under the signs of k are less accurate than rewinding to k",
    source="abstract, Figure 4",
    reads=("perturbed", "imp"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P4(network: Network, *, perturbations: Names = ("signs_k_magnitudes_fresh",)) -> Measured:
    """Signs of k alone beside all of k."""
    every = network.branches()
    found = [
        one for each in every for one in minus_ticket(network, each, perturbations, "below", Margin(0.0))
    ]
    return Measured(found, **at(every))


@claim(
    statement="k = {k}, {density:.1%} of the weights: shuffled globally or within layers, kept weights keep less than "
    "{share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="at k = 500 and 2,000 no better than rewinding to 0, at effective std 0.144 and 0.143 (recollected)",
    criterion="at every perturbed k each gains less than the margin over rewinding to 0: {share:.0%} of what rewinding to "
    "k gains, {margin} points at least",
    source="Figure 5",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P5(
    network: Network, *, reading: str, perturbations: Names = ("shuffle_global", "shuffle_layers"),
    share: Share = 0.25, margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """Two shuffles beside rewinding to 0."""
    every = network.branches()
    return Measured(
        beside_0(network, every, perturbations, reading, "not better", share, margin), **at(every)
    )


@claim(  # the paper's filters: 2-D slices, by their size; `shuffle_filters` is 3-D
    statement="k = {k}, {density:.1%} of the weights: a shuffle within filters, taken as 2-D slices, is better than one "
    "within layers",
    paper="slightly better, at effective std 0.092 against 0.143 (recollected)",
    criterion="at every perturbed k the shuffle within filters is the more accurate",
    source="Figure 5",
    reads=("perturbed", "imp"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P6(network: Network, *, perturbations: Names = ("shuffle_kernels", "shuffle_layers")) -> Measured:
    """One shuffle beside the other."""
    every = network.branches()
    return Measured(one_minus_other(every, *perturbations, edge=0.0), **at(every))


@claim(
    statement="k = {k}, {density:.1%} of the weights: shuffled within filters, taken as 2-D slices, weights lose much less "
    "if they keep their signs",
    paper="well above the plain shuffle, at effective std 0.049 against 0.092 (recollected)",
    criterion="at every perturbed k the shuffle among weights of one sign gains more than {least} points over the plain one",
    source="Figure 6",
    reads=("perturbed", "imp"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P7(
    network: Network,
    *,
    perturbations: Names = ("shuffle_kernels_signs_k", "shuffle_kernels"),
    least: Points = 0.5,
) -> Measured:
    """One shuffle beside the other."""
    every = network.branches()
    return Measured(one_minus_other(every, *perturbations, edge=least), **at(every))


@claim(
    statement="Keeping signs in a shuffle within layers helps more at the later of k = {k}, at {density:.1%} of the weights",
    paper="slightly at k = 500, substantially at 2,000 (recollected)",
    criterion="what keeping signs gains over the plain shuffle is larger at the late k than at the early one",
    source="Figure 6",
    reads=("perturbed", "imp"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P8(network: Network, *, perturbations: Names = ("shuffle_layers_signs_k", "shuffle_layers")) -> Measured:
    """What one shuffle gains over the other, at the late k less the same at the early one."""
    one, other = perturbations
    early, late = network.branches("early")[0], network.branches("late")[0]
    growth = (late.of(one) - late.of(other)) - (early.of(one) - early.of(other))
    label = f"{one} minus {other} at {late.place}, minus the same at k = {early.k:,}"
    return Measured([Contrast(label, growth)], **at([early, late]))


@claim(
    statement="k = {k}, {density:.1%} of the weights: magnitudes shuffled within layers under the signs of 0 keep less than "
    "{share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="no better than noise, at effective std 0.087 (recollected)",
    criterion="at every perturbed k they gain less than the margin over rewinding to 0: {share:.0%} of what rewinding to k "
    "gains, {margin} points at least",
    source="Figure 6",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": "500 and 2,000", "density": 0.262},
)
def P9(
    network: Network, *, reading: str, perturbations: Names = ("shuffle_layers_signs_0",), share: Share = 0.25,
    margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """That shuffle beside rewinding to 0."""
    every = network.branches()
    return Measured(
        beside_0(network, every, perturbations, reading, "not better", share, margin), **at(every)
    )


@claim(
    statement="k = {k}, {density:.1%} of the weights: tickets tolerate Gaussian noise of 0.5 and 1 sigma; 2 and 3 sigma "
    "leave less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="k = 500: tolerates 0.5 to 1 sigma, then as rewinding to 0 (recollected)",
    criterion="little noise costs less than the margin against rewinding to k; much noise gains less than {share:.0%} of "
    "what that gains over rewinding to 0, or than {margin} points; in a short study the smallest perturbed k stands for "
    "the paper's 500",
    source="Figure 7, left",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": 500, "density": 0.262},
)
def P10(
    network: Network, *, reading: str, perturbations: Names = ("noise_0.5", "noise_1"),
    beyond: Names = ("noise_2", "noise_3"), share: Share = 0.25, margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """Little noise beside the ticket, much noise beside rewinding to 0, at the early k."""
    (early,) = network.branches("early")
    zero = network.rewound_to_0(early.k, early.round, reading)
    nothing = Margin(margin, most, early.ticket - zero)
    found = minus_ticket(network, early, perturbations, "not worse", nothing)
    found += beside_0(network, [early], beyond, reading, "not better", share, margin)
    return Measured(found, **at([early]))


@claim(
    statement="k = {k}, {density:.1%} of the weights: tickets tolerate Gaussian noise of 1 sigma, and with 2 sigma still beat "
    "rewinding to 0",
    paper="k = 2,000: 1 and 2 sigma (recollected)",
    criterion="1 sigma costs less than the margin against rewinding to k, and with 2 sigma tickets are more accurate than "
    "rewinding to 0; in a short study the largest perturbed k stands for the paper's 2,000",
    source="Figure 7, right",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    places={"k": 2000, "density": 0.262},
)
def P11(
    network: Network, *, reading: str, perturbations: Names = ("noise_1",), beyond: Names = ("noise_2",),
    margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """Less noise beside the ticket, more noise beside rewinding to 0, at the late k."""
    (late,) = network.branches("late")
    zero = network.rewound_to_0(late.k, late.round, reading)
    nothing = Margin(margin, most, late.ticket - zero)
    found = minus_ticket(network, late, perturbations, "not worse", nothing)
    label = f"{late.place}: {{}} minus rewinding to 0 ({reading})"
    found += [Contrast(label.format(name), late.of(name) - zero) for name in beyond]
    return Measured(found, **at([late]))


def figure_8_points(branches: Branches, perturbations: Names) -> tuple[DataFrame, str]:
    """Points of Figure 8 at one k, `perturbation`, `effective_std` and `mean` accuracy, and a note on them."""
    runs = branches.runs[branches.runs["perturbation"].isin(perturbations)]
    if runs.empty:
        raise NotRun("none of the perturbations of Figure 8 was run")
    points = perturbation_means(runs, ["k", "perturbation"])
    lost = points["diverged"].sum()
    note = f"n counts perturbations (the paper has {len(perturbations)}), each a mean over seeds"
    note += f"; left out: {lost} run{'s' if lost > 1 else ''} that diverged or died" if lost else ""
    return points[points["n"] > 0].reset_index(drop=True), note


@claim(
    statement="k = {k}, {density:.1%} of the weights: the larger a perturbation's effective standard deviation, the less "
    "accurate the ticket",
    paper="Pearson r = -0.67 (p = 0.008) at k = 500, -0.73 (p = 0.003) at 2,000, 14 points (recollected)",
    criterion="at every perturbed k r is negative, with a two-sided p below 5 % over independent draws: the levels of noise, "
    "which scale one draw, count as one",
    source="Figure 8",
    reads=("perturbed", "imp"),
    unit="(Pearson r)",
    places={"k": "500 and 2,000", "density": 0.262},
)
def P12(
    network: Network, *,
    perturbations: Names = (
        "signs_k_magnitudes_0", "signs_k_magnitudes_fresh", "signs_0_magnitudes_k", "shuffle_global", "shuffle_layers",
        "shuffle_kernels", "shuffle_global_signs_k", "shuffle_layers_signs_k", "shuffle_kernels_signs_k",
        "shuffle_layers_signs_0", "noise_0.5", "noise_1", "noise_2", "noise_3",
    ),
    one_draw: Names = ("noise_0.5", "noise_1", "noise_2", "noise_3"),
) -> Measured:  # fmt: skip
    """Size and accuracy over perturbations."""
    every, found = network.branches(), []
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
        found.append(Correlation(branches.place, line.r, len(points), len(draws), honest.r, honest.p, note))
    return Measured(found, **at(every))


@claim(
    statement="k = {k}, {density:.1%} of the weights: mixes of signs and magnitudes fit that line worst",
    paper="similar sizes, very different accuracies: largest residuals (recollected)",
    criterion="at every perturbed k their residuals rank higher in modulus than those of other perturbations, by an exact "
    "test; of the levels of noise, which scale one draw, one counts",
    source="Figure 8",
    reads=("perturbed", "imp"),
    unit="(rank-biserial correlation)",
    places={"k": "500 and 2,000", "density": 0.262},
)
def P13(
    network: Network, *, mixes: Names = ("signs_k_magnitudes_0", "signs_k_magnitudes_fresh", "signs_0_magnitudes_k"),
    perturbations: Names = (
        "signs_k_magnitudes_0", "signs_k_magnitudes_fresh", "signs_0_magnitudes_k", "shuffle_global", "shuffle_layers",
        "shuffle_kernels", "shuffle_global_signs_k", "shuffle_layers_signs_k", "shuffle_kernels_signs_k",
        "shuffle_layers_signs_0", "noise_1",
    ),
) -> Measured:  # fmt: skip
    """Residuals of the mixes beside those of the rest."""
    every, found = network.branches(), []
    for branches in every:
        points, note = figure_8_points(branches, perturbations)
        if missing := sorted(set(mixes) - set(points["perturbation"])):
            raise NotRun(f"{', '.join(missing)} was not run")
        if len(points) <= len(mixes):
            raise NotRun("no other perturbation was run")
        line = fit_line(points["effective_std"], points["mean"])
        points["off"] = (points["mean"] - line.slope * points["effective_std"] - line.intercept).abs()
        off = points.set_index("perturbation")["off"]
        value, *ps = rank_biserial(off, list(mixes))
        places = ", ".join(f"{place:g}" for place in off.rank(ascending=False)[list(mixes)].sort_values())
        note = f"places of the mixes by residual, 1 the largest: {places}; {note}"
        found.append(Ranking(branches.place, value, len(points), tuple(ps), note))
    return Measured(found, **at(every))


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
    statement="Weights after a few hundred iterations are far from independent: at k = {k} and {density:.1%} of the weights, "
    "shuffled ones keep less than {share:.0%} of what rewinding to k gains over rewinding to 0",
    paper="shuffles no better than rewinding to 0 (from the paper; no number)",
    criterion="at every perturbed k each gains less than the margin over rewinding to 0: {share:.0%} of what rewinding to "
    "k gains, {margin} points at least",
    source="Figure 5",
    reads=("perturbed", "imp"),
    readings=("own masks", "masks of k"),
    same_as="P5",
    places={"k": "500 and 2,000", "density": 0.262},
)
def P14(
    network: Network, *, reading: str, perturbations: Names = ("shuffle_global", "shuffle_layers"),
    share: Share = 0.25, margin: Points = 0.5,
) -> Measured:  # fmt: skip
    """The same question as P5."""
    return P5(network, reading=reading, perturbations=perturbations, share=share, margin=margin)
