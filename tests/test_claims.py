"""Verdicts where the truth is known, of claims on rewinding and on perturbed tickets."""

import math
from itertools import permutations

import numpy as np
import pytest
from pandas import DataFrame, Series, concat
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from earlyphase.results.claims import CLAIMS, claims, expected_false, judge, networks, of_network
from earlyphase.results.claims.claim import DIED, NOT_CONFIGURED, UNDECIDABLE, NotRun
from earlyphase.results.claims.decomposition import parts_of_gain
from earlyphase.results.claims.evidence import Contrast, Evidence, Margin, correlation, order, page_ps, t_ps
from earlyphase.results.claims.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, assess, decide, holm
from earlyphase.results.claims.judging import nearest_to_failing as nearest
from earlyphase.results.claims.network import round_near
from earlyphase.results.claims.perturbations import rank_biserial
from earlyphase.results.summaries import Line, fit_line, last_evaluations, mixtures, over_seeds, t_interval

FULL, SHORT = {"full": True, "paper_until": 62560, "classes": 10}, {"classes": 10}
GOOD, BAD, UNSURE, ABSENT = REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_CONFIGURED
PAPER_KS = (0, 100, 500, 2000, 4000)


def jitter(number):
    """What five seeds do to one run alone: no two runs alike, a sample standard deviation of 0.04 points."""
    noise = np.random.default_rng(number).normal(size=5)
    return 0.0004 * (noise - noise.mean()) / noise.std(ddof=1)


JITTER = {k: jitter(i) for i, k in enumerate(("dense", *PAPER_KS))}
SHARED = 0.02 * np.array([-1.0, 0.3, 1.0, -0.8, 0.5])  # what a seed does to every run: 2 points


def make_tables(points, dense=90.0, rounds=(8, 11), seeds=5, spread=1.0):
    """Tables in which the accuracy for rewinding to k is `points[k]` %, equally at every density.

    Args:
        spread: size of the differences between seeds that do not cancel in pairs, in 0.04 points.
    """

    def row(seed, name, percent, **run):
        accuracy = percent / 100 + SHARED[seed] + spread * JITTER[name][seed]
        return {
            "dataset": "cifar10", "model": "resnet20", "seed": seed, "task": "supervised",
            **run, "iteration": 62560, "accuracy": accuracy, "loss": 0.3,
        }  # fmt: skip

    return {
        "dense": DataFrame([row(seed, "dense", dense) for seed in range(seeds)]),
        "imp": DataFrame(
            row(seed, k, percent, k=k, round=r, density=0.8**r)
            for seed in range(seeds)
            for k, percent in points.items()
            for r in rounds
        ),
    }


def judged(claim, tables, facts=SHORT, reading="", **numbers):
    """What is said of a claim, in its first reading if none is named; `judge` would take all claims."""
    one = claims({claim: numbers})[claim]
    return assess(of_network(tables, *networks(tables)[0], facts), one, reading or one.readings[0])[0]


def verdict(claim, tables, facts=SHORT, reading="", **numbers):
    return judged(claim, tables, facts, reading, **numbers)["verdict"]


PAPER = {0: 87.0, 100: 88.0, 500: 89.9, 2000: 90.0, 4000: 90.0}
FLAT = dict.fromkeys(PAPER, 90.0)
FALLING = {0: 90.0, 100: 89.0, 500: 88.0, 2000: 87.0, 4000: 86.0}
WITHOUT_LATE = {0: 87.0, 100: 88.0}
RISING = {0: 87.0, 100: 88.0, 500: 89.9}
NOISY = {"spread": 20.0}


@pytest.mark.parametrize(
    ("claim", "points", "other", "full", "short"),
    [
        ("R1", PAPER, {}, GOOD, GOOD),
        ("R1", PAPER | {2000: 93.0}, {}, GOOD, GOOD),  # better matches, too
        ("R1", PAPER | {500: 88.0}, {}, BAD, GOOD),  # of all k >= 500 one fails; 4,000 does not
        ("R1", PAPER | {4000: 88.0}, {}, BAD, BAD),
        (
            "R1",
            dict.fromkeys(PAPER, 89.5),
            {},
            UNSURE,
            UNSURE,
        ),  # nothing is gained, and half a point is the edge
        ("R1", FLAT, {}, GOOD, GOOD),  # where rewinding gains nothing, a ticket may match all the same
        ("R1", {100: 90.0}, {}, ABSENT, GOOD),
        ("R1", PAPER, {"rounds": (1,)}, ABSENT, ABSENT),
        ("R2", PAPER, {}, GOOD, GOOD),
        ("R2", PAPER | {0: 89.95}, {}, BAD, BAD),
        ("R2", {0: 90.0, 500: 95.0}, {}, BAD, BAD),  # late rewinding is better, and 0 matches
        ("R2", {100: 90.0, 500: 90.0}, {}, ABSENT, ABSENT),
        ("R3", PAPER, {}, GOOD, GOOD),
        ("R3", PAPER | {4000: 92.0}, {}, BAD, BAD),
        ("R3", PAPER | {2000: 88.0}, {}, ABSENT, ABSENT),  # 4,000 lies past no k that matches
        ("R3", {0: 87.0, 500: 90.0}, {}, ABSENT, ABSENT),
        ("R4", PAPER, {}, GOOD, GOOD),
        ("R4", FALLING, {}, BAD, BAD),
        ("R4", PAPER | {4000: 87.5}, {}, BAD, BAD),  # it rises on the whole, and falls in the end
        ("R4", FLAT, NOISY, UNSURE, UNSURE),
        ("R4", WITHOUT_LATE, {}, ABSENT, ABSENT),
        ("R5", PAPER, {}, GOOD, GOOD),
        ("R5", FLAT, {}, BAD, BAD),
        ("R5", PAPER, {"rounds": (8,)}, ABSENT, ABSENT),
        ("L1", PAPER, {}, GOOD, GOOD),
        ("L1", {0: 60.0, 500: 86.0}, {}, BAD, BAD),  # 26 points gained, and 4 below the dense network: harmed
    ],
)
def test_verdicts_on_rewinding_where_the_truth_is_known(claim, points, other, full, short):
    tables = make_tables(points, **other)
    assert (verdict(claim, tables, FULL), verdict(claim, tables)) == (full, short)


@pytest.mark.parametrize(
    ("gain", "margin"),
    [(0.0, 0.5), (1.9, 0.5), (3.2, 0.8), (40.0, 1.0)],  # half a point, a quarter of the gain, one point
)
def test_a_margin_is_a_share_of_the_gain_between_half_a_point_and_one(gain, margin):
    for gap, expected in ((-margin + 0.02, GOOD), (-margin - 0.02, BAD)):
        row = judged("R1", make_tables({0: 90 + gap - gain, 500: 90 + gap}, spread=0.1))
        assert (row["verdict"], float(row["margin"])) == (expected, pytest.approx(margin, abs=0.01))
        assert row["ours"].startswith(f"{gap:+.2f} points")


def test_a_gain_that_is_not_sure_leaves_the_least_margin():
    values, spread = Series([-0.7, -0.69, -0.71, -0.7, -0.705]), np.array([-30.0, -10, 4, 30, 26])
    for gain, expected in ((4.0 + 0 * spread, "for"), (4.0 + spread, "")):
        found = Contrast("x", values, "not worse", margin=Margin(Series(gain), 1.0)).evidence("points")
        assert (found.p_for < 0.025) == (expected == "for")
        assert found.p_against > 0.025


def test_the_statement_names_the_k_and_the_density_of_the_study():
    tables = make_tables({0: 87.0, 100: 90.0}, rounds=(4,))
    tables["imp"]["density"] = 0.168
    row = judged("R1", tables)
    assert row["statement"] == "A ticket rewound to k = 100 matches the dense network at 16.8% of the weights"
    assert row["measured"] == "k = 100 minus dense"
    assert judged("R1", {}, FULL)["statement"].startswith("A ticket rewound to k = 500 matches")


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_interval_is_that_of_a_two_sided_t_test(n):
    values = np.random.default_rng(n).normal(1.0, 3.0, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(Series(values)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("values", [[], [1.0], [0.1 + 0.2, 0.3, 0.3]])
def test_too_few_or_identical_values_have_no_interval(values):
    assert np.isnan(t_interval(Series(values, dtype=float))).all()
    found = Contrast("x", Series(values, dtype=float)).evidence("points")
    assert (found.tested, found.p_for, found.p_against) == (False, 1, 1)
    assert "fewer than two seeds" in found.note or "all seeds have the same value" in found.note


@pytest.mark.parametrize("shift", [-0.6, -0.3, 0.0, 0.2, 0.45, 0.8])
def test_equivalence_agrees_with_two_one_sided_tests(shift):
    values = shift + np.random.default_rng(0).normal(0, 0.1, 5)
    expected, _, _ = DescrStatsW(values).ttost_mean(-0.5, 0.5)
    assert t_ps(values, (-0.5, 0.5))[0] == pytest.approx(expected)
    found = Contrast("x", Series(values), "as good", margin=Margin()).evidence("points")
    assert found.p_for == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-0.6, 0.3])
def test_one_sided_targets_agree_with_one_sided_t_tests(shift):
    values = Series(shift + np.random.default_rng(0).normal(0, 0.5, 5))
    above = stats.ttest_1samp(values, 0.2, alternative="greater").pvalue
    signs = {"above": 1, "below": 1, "better": 1, "not better": 1, "not worse": -1, "worse": -1}
    for lies, sign in signs.items():
        found = Contrast("x", sign * values, lies, edge=0.2, margin=Margin(most=0.2)).evidence("points")
        expected = (above, 1 - above) if lies in ("above", "better", "worse") else (1 - above, above)
        assert (found.p_for, found.p_against) == pytest.approx(expected), lies


def test_apart_is_a_two_sided_t_test_against_equivalence():
    values = Series(np.random.default_rng(0).normal(0.3, 0.5, 5))
    found = Contrast("x", values, "apart", edge=0.4).evidence("points")
    assert 2 * found.p_for == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert found.p_against == pytest.approx(DescrStatsW(values).ttost_mean(-0.4, 0.4)[0])


def test_outside_a_target_of_no_width_is_the_two_sided_t_test():
    values = np.random.default_rng(0).normal(0.3, 0.5, 5)
    assert t_ps(values, (0.0, 1e-12))[1] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_pairing_finds_an_effect_that_unpaired_seeds_hide():
    tables = make_tables({0: 89.0, 500: 90.5}, rounds=(11,))
    row = judged("R5", tables)
    late, early = (tables["imp"].query(f"k == {k}")["accuracy"] for k in (500, 0))
    assert stats.ttest_ind(late, early, alternative="greater").pvalue > 0.1
    assert (row["verdict"], row["ours"]) == (GOOD, "+1.50 points")


def test_seeds_are_paired_by_name_and_not_by_row():
    tables = make_tables(RISING)
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    assert judge(shuffled, {})[0].equals(judge(tables, {})[0])


def test_rank_correlation_is_spearmans_in_each_seed():
    tables = make_tables(FLAT, spread=20.0)
    at_round_8 = tables["imp"][tables["imp"]["round"] == 8]
    expected = [stats.spearmanr(one["k"], one["accuracy"]).statistic for _, one in at_round_8.groupby("seed")]
    accuracy = at_round_8.pivot(index="seed", columns="k", values="accuracy")
    found = order(accuracy)
    assert (found.mean, found.std) == pytest.approx((np.mean(expected), np.std(expected, ddof=1)))
    assert (found.p_for, found.p_against) == pytest.approx(page_ps(accuracy.rank(axis=1).to_numpy()))


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (5, 5), (4, 8)])
def test_exact_p_of_an_order_is_that_of_pages_test(shape):
    data = np.random.default_rng(shape[1]).normal(size=shape) + 0.2 * np.arange(shape[1])
    rises, falls = page_ps(stats.rankdata(data, axis=1))
    assert rises == pytest.approx(stats.page_trend_test(data, method="exact").pvalue)
    assert falls == pytest.approx(stats.page_trend_test(data[:, ::-1], method="exact").pvalue)


def test_exact_p_of_an_order_with_ties_counts_every_permutation():
    data = np.array([[1.0, 1.0, 2.0], [3.0, 1.0, 3.0]])
    ranks, places = stats.rankdata(data, axis=1), np.array([1, 2, 3])
    sums = np.array([(np.array(both) * places).sum() for both in
                     ((one, other) for one in permutations(ranks[0]) for other in permutations(ranks[1]))])  # fmt: skip
    seen = (ranks * places).sum()
    assert page_ps(ranks) == pytest.approx((np.mean(sums >= seen), np.mean(sums <= seen)))


def test_a_large_order_is_still_exact():
    assert page_ps(np.array([[*range(1, 13)]]))[0] == pytest.approx(1 / math.factorial(12))


def test_one_seed_is_inconclusive():
    table = judge(make_tables(PAPER, seeds=1), {})[0]
    decided = table[~table["verdict"].isin(UNDECIDABLE)]
    assert set(decided["id"]) == {"R1", "R2", "R3", "R4", "R5", "R6", "L1"}
    assert decided[["verdict", "n", "interval"]].drop_duplicates().to_numpy().tolist() == [[UNSURE, 1, ""]]
    assert decided["test"].str.contains("fewer than two seeds").all()


@pytest.mark.parametrize("column", ["accuracy", "loss"])
def test_diverged_or_missing_seed_is_left_out_and_said(column):
    tables = make_tables(RISING)
    imp = tables["imp"]
    imp.loc[(imp["seed"] == 1) & (imp["k"] == 0), column] = math.nan
    for claim in ("R2", "R5"):
        row = judged(claim, tables)
        assert (row["n"], row["verdict"]) == (4, GOOD)
        assert "1 of 5 seeds left out" in row["test"]
    assert judged("R4", tables)["verdict"] == GOOD
    tables["dense"] = tables["dense"].query("seed != 2")
    row = judged("R1", tables)
    assert row["n"] == 3 and "2 of 5 seeds left out" in row["test"]  # its margin needs k = 0


# Dead networks


def test_a_dead_network_is_no_evidence():
    """It is as good as guessing, however many features of its last layer are 0 for every image."""
    tables = make_tables(RISING)
    tables["imp"]["dead_features"] = 0.9
    dead = {"loss": 2.31, "accuracy": 0.14}
    one = (tables["imp"]["k"] == 500) & (tables["imp"]["seed"] == 0)
    assert judged("R5", tables)["n"] == 5
    tables["imp"].loc[one, list(dead)] = list(dead.values())
    row = judged("R5", tables)
    assert (row["n"], row["verdict"]) == (4, GOOD) and "diverged, died or is missing" in row["test"]
    tables["imp"].loc[tables["imp"]["k"] == 500, list(dead)] = list(dead.values())
    row = judged("R5", tables)
    assert (row["verdict"], row["ours"]) == (DIED, "")
    assert row["test"] == "networks died, in imp of seed 0, 1, 2, 3, 4: they are as good as guessing"


def test_a_loss_above_that_of_guessing_alone_kills_nobody():
    """Nor is a network dead whose data set has who knows how many classes."""
    tables = make_tables(RISING)
    tables["imp"]["loss"] = 2.31
    assert verdict("R5", tables) == GOOD
    tables["imp"]["accuracy"] /= 10
    assert (verdict("R5", tables), verdict("R5", tables, {})) == (DIED, BAD)


# The table


def test_each_network_is_judged_alone_and_every_claim_once_for_each_reading():
    good, bad = make_tables(RISING), make_tables(FALLING)
    table = judge({name: concat([good[name], bad[name].assign(model="vgg")]) for name in good}, {})[0]
    rows = [
        (claim.id, reading) for claim in claims().values() for _ in range(2) for reading in claim.readings
    ]
    assert list(zip(table["id"], table["reading"], strict=True)) == rows
    assert list(dict.fromkeys(table["id"])) == [claim.__name__ for claim in CLAIMS]
    assert dict(table[table["id"] == "R5"][["model", "verdict"]].to_numpy()) == {"resnet20": GOOD, "vgg": BAD}


@pytest.mark.parametrize("tables", [{}, {"imp": make_tables(PAPER)["imp"].iloc[:0]}])
def test_nothing_to_judge_is_a_row_that_says_why(tables):
    table = judge(tables, {})[0]
    assert set(table["verdict"]) <= set(UNDECIDABLE) and (table["test"] != "").all()
    assert expected_false(table) == 0


def test_last_evaluation_counts_and_not_the_best():
    tables = make_tables(FALLING)
    earlier = tables["imp"].assign(iteration=100, accuracy=0.99)
    assert judge(tables | {"imp": concat([earlier, tables["imp"], earlier])}, {})[0].equals(
        judge(tables, {})[0]
    )


def test_the_k_nearest_to_failing_is_the_one_reported():
    row = judged("R1", make_tables(PAPER | {2000: 88.0}), FULL)
    assert row["ours"] == "-2.00 points (falls short of the dense network)"
    assert row["measured"] == "k = 2,000 minus dense" and "the nearest to failing of 3" in row["test"]


def test_the_source_is_named_and_a_test_that_is_repeated():
    study = {"sources": {"imp": "results/tables/{dataset}/{model}/imp.csv"}}
    table = judge(make_tables(PAPER), study)[0]
    assert table.loc[0, "source"] == "results/tables/cifar10/resnet20/imp.csv, dense"
    twice = table[table["same_test_as"] != ""].set_index("id")["same_test_as"]
    assert twice.to_dict() == {"P14": "P5", "L1": "R6 (rewound late)"}
    same = ["ours", "interval", "test", "verdict"]
    late = table.set_index(["id", "reading"]).loc[("R6", "rewound late"), same]
    assert late.equals(table.set_index("id").loc["L1", same].rename(("R6", "rewound late")))
    changed = judge(make_tables(PAPER), {"claims": {"L1": {"margin": 2.0}}})[0]
    assert changed.set_index("id").loc["L1", "same_test_as"] == ""


# Several quantities, one verdict


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    p_values = np.random.default_rng(seed).beta(0.3, 1, size=seed + 1)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize(
    ("p_for", "p_against", "expected"),
    [
        ([0.02, 0.02, 0.02], [0.9, 0.9, 0.9], GOOD),  # every one, uncorrected
        ([0.02, 0.03], [0.9, 0.9], UNSURE),
        ([0.9, 0.01], [0.01, 0.9], BAD),  # one is enough, at a half of the error
        ([0.9, 0.01], [0.02, 0.9], UNSURE),
        ([0.9], [0.02], BAD),
        ([0.025], [0.9], UNSURE),  # exactly the error decides nothing
        ([0.9], [0.025], UNSURE),
    ],
)
def test_all_must_hold_uncorrected_and_one_may_fail_corrected(p_for, p_against, expected):
    assert decide(p_for, p_against) == expected


def test_the_quantity_nearest_to_failing_is_reported():
    def lies(p_for, p_against, inside):
        return Evidence("", "", n=5, inside=inside, p_for=p_for, p_against=p_against, tested=True)

    clear, near = lies(1e-20, 1.0, True), lies(0.04, 0.9, True)
    unsure, failed = lies(0.7, 0.3, False), lies(1.0, 1e-20, False)
    at_chance = lies(1.0, 1.0, False)  # an exact test can say so
    order = [failed, unsure, at_chance, Evidence("", "", n=1), near, clear]
    for start in range(len(order)):
        for rest in permutations(order[start:]):
            assert rest[nearest(rest)] is order[start]


def test_a_round_is_like_another_within_half_a_round():
    runs = DataFrame({"round": [1, 2, 2, 3], "density": [0.5, 0.0, 0.0, 0.1]})
    for step in (-0.52, 0.52):
        runs.loc[runs["round"] == 2, "density"] = 0.8 ** (6 + step)
        with pytest.raises(NotRun, match="no round is near"):
            round_near(runs, 0.8**6)
    for step in (-0.48, 0.48):
        runs.loc[runs["round"] == 2, "density"] = 0.8 ** (6 + step)
        assert round_near(runs, 0.8**6) == 2


def test_results_of_different_versions_are_named():
    table = DataFrame({"torch": ["2.14.1", "2.15.0", "2.14.1"], "device": ["cpu"] * 3})
    assert mixtures({"imp": table}) == ["torch differs between runs: 2.14.1, 2.15.0"]
    assert mixtures({"imp": table[:1], "dense": table[2:]}) == []


def test_summary_over_seeds_leaves_out_and_counts_diverged_runs():
    table = DataFrame(
        {"seed": [2, 1, 0], "iteration": 1, "accuracy": [0.1, 0.9, 0.8], "loss": [math.inf, 1, 1]}
    )
    (row,) = over_seeds(last_evaluations(table.assign(k=0), ["k", "seed"]), ["k"]).to_dict("records")
    assert (row["k"], row["n"], row["diverged"]) == (0, 2, 1)
    assert (row["mean"], row["std"]) == pytest.approx((0.85, 0.1 / math.sqrt(2)))
    assert math.isnan(row["dead"])  # which was not measured
    (row,) = over_seeds(table.assign(k=0, dead=[False, True, True]), ["k"]).to_dict("records")
    assert (row["n"], row["dead"]) == (3, 2)
    curve = over_seeds(concat([table, table[:1].assign(iteration=5)]), ["iteration"])
    assert (
        curve["iteration"].tolist() == [1, 5]
        and curve["n"].tolist() == [3, 1]
        and math.isnan(curve["std"][1])
    )


# Perturbations

KNOWN = claims()
FIGURE_8, NOISE = KNOWN["P12"].numbers["perturbations"], KNOWN["P12"].numbers["one_draw"]
MIXES = KNOWN["P13"].numbers["mixes"]
SIZES = dict(zip(FIGURE_8, (42, 55, 33, 144, 143, 92, 85, 80, 49, 87, 46, 91, 180, 270), strict=True))
REWINDING = {500: 90.0, 2000: 90.4}  # rewinding to 0 gives 87
LEVELS = {  # accuracy at k = 500 and at 2,000 as the paper's claims would have it
    "rewind_to_0": (87.0, 87.0),
    "signs_k_magnitudes_0": (87.0, 89.0), "signs_k_magnitudes_fresh": (86.9, 89.0),
    "signs_0_magnitudes_k": (88.0, 89.1),
    "shuffle_global": (86.9, 86.9), "shuffle_layers": (87.0, 87.0), "shuffle_kernels": (87.6, 87.7),
    "shuffle_global_signs_k": (87.1, 88.0), "shuffle_layers_signs_k": (87.2, 88.4),
    "shuffle_kernels_signs_k": (88.9, 89.6), "shuffle_layers_signs_0": (87.0, 87.0),
    "noise_0.5": (89.9, 90.3), "noise_1": (89.6, 90.2), "noise_2": (87.1, 88.6), "noise_3": (85.5, 86.0),
}  # fmt: skip


def on_a_line(slope, *off):
    """Accuracies that fall by one point in `slope` of size, but for what is added in turn."""
    return {
        name: (90 - size / slope + more,) * 2 for (name, size), more in zip(SIZES.items(), off, strict=False)
    }


MIXES_OFF = on_a_line(50, -3, -3, 3, *np.tile([0.1, -0.1], 6))
MIXES_ON = on_a_line(50, 0, 0, 0, *np.tile([2, -2], 6))
SCATTERED = on_a_line(50, *7 * [1, -1])


def perturbed_tables(levels=LEVELS, seeds=5, spread=1.0, rounds=(6,), ks=(500, 2000)):
    """Tables in which a perturbation of the kth column of `levels` has that accuracy in %, at every density."""
    tables = make_tables({0: 87.0} | REWINDING, seeds=seeds, spread=spread, rounds=rounds)

    def row(seed, k, r, name, i):
        percent = levels[name][(500, 2000).index(k)] / 100
        own = spread * jitter(100 + i + k)[seed]
        return {
            "dataset": "cifar10", "model": "resnet20", "seed": seed, "task": "supervised", "k": k, "round": r,
            "density": 0.8**r, "perturbation": name, "effective_mean": 0.0,
            "effective_std": SIZES.get(name, 60) / 1000, "iteration": 62560,
            "accuracy": percent + SHARED[seed] + own, "loss": 0.3,
        }  # fmt: skip

    runs = (
        row(seed, k, r, name, i)
        for seed in range(seeds) for k in ks for r in rounds for i, name in enumerate(levels)
    )  # fmt: skip
    return tables | {"perturbed": DataFrame(runs)}


OF_PERTURBATIONS = [f"P{i}" for i in range(1, 15)]


@pytest.mark.parametrize(
    ("claim", "other", "expected"),
    [
        *((claim, {}, GOOD) for claim in OF_PERTURBATIONS if claim not in ("P12", "P13")),
        ("P1", {"signs_k_magnitudes_fresh": (89.5, 89.5)}, BAD),
        ("P1", {"signs_k_magnitudes_0": (85.0, 85.0)}, GOOD),  # worse is no better
        ("P1", {"signs_k_magnitudes_0": (88.0, 88.0)}, BAD),  # a third of the gain is left
        ("P2", {"signs_0_magnitudes_k": (86.5, 89.1)}, BAD),
        ("P2", {"signs_0_magnitudes_k": (87.6, 89.1)}, BAD),  # a fifth
        ("P3", {"signs_0_magnitudes_k": (88.0, 87.5)}, BAD),  # not about as good
        ("P3", {"signs_0_magnitudes_k": (88.0, 91.0), "signs_k_magnitudes_0": (87.0, 91.0)}, BAD),
        (
            "P4",
            {"signs_k_magnitudes_fresh": (88.9, 89.9)},
            GOOD,
        ),  # better than rewinding to 0, and not enough
        ("P4", {"signs_k_magnitudes_fresh": (88.9, 91.0)}, BAD),
        ("P5", {"shuffle_global": (84.0, 84.0)}, GOOD),
        ("P5", {"shuffle_layers": (87.0, 90.0)}, BAD),  # one k of the two
        ("P6", {"shuffle_kernels": (87.6, 86.7)}, BAD),
        ("P7", {"shuffle_kernels_signs_k": (87.9, 88.9)}, BAD),  # 0.3 points are no lot
        ("P8", {"shuffle_layers_signs_k": (88.4, 87.2)}, BAD),
        ("P9", {"shuffle_layers_signs_0": (90.0, 90.0)}, BAD),
        ("P10", {"noise_1": (87.0, 90.2)}, BAD),
        ("P10", {"noise_2": (89.9, 89.9)}, BAD),
        ("P11", {"noise_1": (89.4, 87.5)}, BAD),
        ("P11", {"noise_2": (87.1, 86.5)}, BAD),
        ("P12", SCATTERED, GOOD),
        ("P12", {}, UNSURE),  # the four levels of one noise alone make r what it is
        ("P12", {name: (85 + size / 100,) * 2 for name, size in SIZES.items()}, BAD),
        ("P13", MIXES_OFF, GOOD),
        ("P13", MIXES_ON, BAD),
    ],
)
def test_perturbation_verdicts_where_the_truth_is_known(claim, other, expected):
    """In both readings of rewinding to 0, which are equally accurate here; the paper's k and density are those run."""
    tables = perturbed_tables(LEVELS | other)
    for facts in (FULL, SHORT):
        for reading in KNOWN[claim].readings:
            row = judged(claim, tables, facts, reading)
            assert row["verdict"] == expected, row
            assert "26.2%" in row["statement"]


@pytest.mark.parametrize(
    ("claim", "levels", "edge"),
    [  # a margin of 0.75 points, a quarter of 3, is that of "no better"; one point at most that of "about as good"
        ("P1", lambda gap: {"signs_k_magnitudes_0": 87 + gap}, 0.75),
        ("P2", lambda gap: {"signs_0_magnitudes_k": 87 - gap}, -0.75),
        ("P3", lambda gap: {"signs_0_magnitudes_k": 89 + gap}, 0.85),
        ("P4", lambda gap: {"signs_k_magnitudes_fresh": 90 + gap}, 0.0),
        ("P5", lambda gap: {"shuffle_global": 87 + gap}, 0.75),
        ("P6", lambda gap: {"shuffle_kernels": 87 - gap}, 0.0),
        ("P7", lambda gap: {"shuffle_kernels_signs_k": 87.6 - gap, "shuffle_kernels": 87.6}, -0.5),
        ("P9", lambda gap: {"shuffle_layers_signs_0": 87 + gap}, 0.75),
        ("P10", lambda gap: {"noise_0.5": 90 - gap}, 0.75),
        ("P10", lambda gap: {"noise_3": 87 + gap}, 0.75),
    ],
)
def test_criteria_of_perturbations_end_where_they_say(claim, levels, edge):
    for gap, expected in ((edge - 0.03, GOOD), (edge + 0.03, BAD)):
        other = {name: (at, at) for name, at in levels(gap).items()}
        assert verdict(claim, perturbed_tables(LEVELS | other, spread=0.1), FULL) == expected


def test_a_number_that_the_configuration_changes_moves_criterion_and_words():
    tables = perturbed_tables(LEVELS | {"signs_k_magnitudes_0": (88.0, 88.0)})
    row = judged("P1", tables, share=0.5)
    assert row["verdict"] == GOOD and "keep less than 50% of what" in row["statement"]


class Recording(dict):
    """Tables that tell which of them were read."""

    def __init__(self, tables):
        super().__init__(tables)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("claim", [name for name in KNOWN if name[0] in "RPM"])
def test_a_claim_names_the_tables_that_it_reads(claim):
    controls = dict.fromkeys(("one_shot", "reinitialised"), (85.0, 85.0))
    network = of_network(perturbed_tables(LEVELS | controls, rounds=(6, 8, 11)), "cifar10", "resnet20")
    network.tables = Recording(network.tables)
    for reading in KNOWN[claim].readings:
        assess(network, KNOWN[claim], reading)
    assert network.tables.read == set(KNOWN[claim].reads)


def test_a_perturbation_that_kills_tickets_does_harm_and_a_dead_reference_is_no_evidence():
    tables = perturbed_tables()
    runs = tables["perturbed"]
    dead = {"accuracy": 0.1 + 0.001 * runs["seed"], "loss": 2.31}
    killed = runs.assign(**{name: runs[name].mask(runs["perturbation"] == "shuffle_layers", value)
                            for name, value in dead.items()})  # fmt: skip
    for claim in ("P5", "P6"):
        row = judged(claim, tables | {"perturbed": killed}, FULL)
        assert (row["verdict"], row["n"]) == (GOOD, 5)
    lost = runs.assign(**{name: runs[name].mask(runs["perturbation"] == "rewind_to_0", value)
                          for name, value in dead.items()})  # fmt: skip
    own_masks, masks_of_k = KNOWN["P2"].readings
    assert judged("P2", tables | {"perturbed": lost}, FULL, own_masks)["verdict"] == GOOD
    assert judged("P2", tables | {"perturbed": lost}, FULL, masks_of_k)["verdict"] == DIED


def test_tickets_perturbed_at_0_play_no_role():
    tables = perturbed_tables()
    at_0 = tables["perturbed"].query("k == 500").assign(k=0, accuracy=0.5)
    more = tables | {"perturbed": concat([tables["perturbed"], at_0])}
    for claim in ("P2", "P8", "P11", "P12"):
        assert judged(claim, more) == judged(claim, tables)


def test_short_study_takes_the_smallest_and_largest_k_and_says_so():
    tables = {
        name: table.assign(k=table["k"].replace({500: 20, 2000: 80})) if "k" in table else table
        for name, table in perturbed_tables().items()
    }
    assert judged("P2", tables)["statement"].startswith("k = 20, 26.2% of the weights")
    assert judged("P11", tables)["statement"].startswith("k = 80, 26.2% of the weights")
    assert judged("P5", tables)["statement"].startswith("k = 20 and 80, ")
    assert verdict("P2", tables, FULL) == ABSENT


def test_what_is_claimed_of_both_k_is_judged_on_the_one_there_is_and_no_k_plays_both_roles():
    tables = perturbed_tables(ks=(500,))
    absent = [claim for claim in OF_PERTURBATIONS if verdict(claim, tables) == ABSENT]
    assert absent == ["P3", "P8", "P11"]


@pytest.mark.parametrize("missing", [FIGURE_8[0], FIGURE_8[5], NOISE[2]])
def test_missing_perturbation_stops_only_the_claims_that_read_it(missing):
    tables = perturbed_tables({name: pair for name, pair in LEVELS.items() if name != missing})
    rows = {claim: judged(claim, tables) for claim in OF_PERTURBATIONS}
    stopped = [row for row in rows.values() if row["verdict"] == ABSENT]
    assert all(f"{missing} was not run" in row["test"] for row in stopped) and len(stopped) < 6
    assert rows["P12"]["n"] == 13


def test_a_short_study_is_judged_at_the_sparsest_round_perturbed_at_every_k():
    tables = perturbed_tables(rounds=(3, 9))
    assert "no round is near 26.2% of the weights" in judged("P1", tables, FULL)["test"]
    assert "13.4%" in judged("P2", tables)["statement"]
    late_alone = (tables["perturbed"]["round"] == 9) & (tables["perturbed"]["k"] == 500)
    tables["perturbed"] = tables["perturbed"][~late_alone]
    assert "51.2%" in judged("P2", tables)["statement"]
    early_alone = (tables["perturbed"]["round"] == 3) & (tables["perturbed"]["k"] == 2000)
    tables["perturbed"] = tables["perturbed"][~early_alone]
    assert judged("P2", tables)["test"] == "no round was perturbed at every k"


def test_the_two_readings_of_rewinding_to_0_are_told_apart():
    better = perturbed_tables(LEVELS | {"rewind_to_0": (88.0, 88.0)})
    assert verdict("P2", better, FULL, "own masks") == GOOD
    assert verdict("P2", better, FULL, "masks of k") == BAD
    tables = perturbed_tables({name: pair for name, pair in LEVELS.items() if name != "rewind_to_0"})
    assert verdict("P2", tables, FULL, "own masks") == GOOD
    assert "rewind_to_0 was not run" in judged("P2", tables, FULL, "masks of k")["test"]
    tables["imp"] = tables["imp"].query("k > 0")
    assert "k = 0 was not run to 26.2%" in judged("P2", tables, FULL, "own masks")["test"]


# What rewinding gains, in parts


def parts(tables):
    return parts_of_gain(of_network(tables, "cifar10", "resnet20"))


def test_parts_of_the_gain_by_hand():
    tables = perturbed_tables(LEVELS | {"rewind_to_0": (88.2, 86.0)})
    found = parts(tables).set_index("k")
    assert found.index.tolist() == [500, 2000]
    assert found.loc[500, ["gain", "mask", "weights"]].tolist() == pytest.approx([3.0, 1.2, 1.8])
    assert found.loc[500, ["mask_share", "weights_share"]].tolist() == pytest.approx([0.4, 0.6])
    assert found.loc[2000, "mask_share"] == pytest.approx(-1.0 / 3.4)
    imp = 100 * tables["imp"].pivot(index="seed", columns="k", values="accuracy")
    assert found.loc[500, "gain_std"] == pytest.approx((imp[500] - imp[0]).std())
    row = judged("M1", tables)
    for words in ("k = 500 at 26.2%: gain +3.00", "mask +1.20", "(40 ± "):
        assert words in row["ours"]
    assert (row["n"], row["verdict"]) == (5, "measured, no claim of the paper")


def test_the_finding_is_of_one_round_however_many_were_run():
    assert judged("M1", perturbed_tables(rounds=(3, 6, 9))) == judged("M1", perturbed_tables(rounds=(9,)))


def test_a_finding_that_cannot_be_made_says_why():
    apart = perturbed_tables() | {"imp": perturbed_tables(rounds=(8,))["imp"]}
    for tables, why in (
        (apart, "no round was run with"),
        (make_tables(PAPER), "the table 'perturbed' is not there"),
    ):
        row = judged("M1", tables)
        assert (row["verdict"], row["n"], row["ours"]) == (ABSENT, 0, "") and why in row["test"]


def test_parts_and_shares_of_the_gain_add_up():
    found = parts(perturbed_tables(spread=5.0))
    assert (found["mask"] + found["weights"]).tolist() == pytest.approx(found["gain"].tolist())
    assert (found["mask_share"] + found["weights_share"]).tolist() == pytest.approx([1, 1])
    assert found["mask_share_std"].tolist() == pytest.approx(found["weights_share_std"].tolist())


def test_error_of_a_share_is_that_of_the_jackknife():
    """To first order in the spread, another road to the same number."""
    tables = perturbed_tables(LEVELS | {"rewind_to_0": (88.2, 88.2)})
    imp = 100 * tables["imp"].pivot(index="seed", columns="k", values="accuracy")
    runs = tables["perturbed"].query("perturbation == 'rewind_to_0' and k == 500").set_index("seed")
    mask, gain = 100 * runs["accuracy"] - imp[0], imp[500] - imp[0]
    without = np.array([mask.drop(seed).mean() / gain.drop(seed).mean() for seed in range(5)])
    expected = math.sqrt(5) * math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    assert parts(tables)["mask_share_std"].iloc[0] == pytest.approx(expected, rel=0.05)


def test_nothing_has_no_shares():
    tables = perturbed_tables()
    tables["imp"]["accuracy"] -= (tables["imp"]["k"] > 0) * 0.03
    found = parts(tables)
    assert found["mask"].notna().all() and found["mask_share"].isna().all()
    assert " %" not in judged("M1", tables)["ours"]


# Figure 8


def points_of_figure_8(tables, k, names=FIGURE_8):
    runs = tables["perturbed"]
    runs = runs[(runs["k"] == k) & runs["perturbation"].isin(names)]
    return runs.groupby("perturbation")[["effective_std", "accuracy"]].mean()


def test_correlation_is_the_papers_and_its_test_counts_noise_once():
    tables = perturbed_tables()
    network = of_network(tables, "cifar10", "resnet20")
    for ours, k in zip(KNOWN["P12"].measure(network).quantities, (500, 2000), strict=True):
        points = points_of_figure_8(tables, k)
        paper = stats.pearsonr(points["effective_std"], points["accuracy"])
        assert (ours.mean, ours.n) == pytest.approx((paper.statistic, 14))
        noisy = points.index.str.startswith("noise_")
        draws = concat([points[~noisy], points[noisy].mean().to_frame().T])
        honest = stats.pearsonr(draws["effective_std"], draws["accuracy"])
        assert (ours.low, ours.high) == pytest.approx(tuple(honest.confidence_interval(0.95)), abs=1e-4)
        assert 2 * min(ours.p_for, ours.p_against) == pytest.approx(honest.pvalue)


def test_residuals_of_mixes_are_ranked_exactly_and_noise_counts_once():
    tables = perturbed_tables()
    names = KNOWN["P13"].numbers["perturbations"]
    points = points_of_figure_8(tables, 500, names)
    assert set(FIGURE_8) - set(names) == set(NOISE) - {"noise_1"}
    line = stats.linregress(points["effective_std"], points["accuracy"])
    residuals = (points["accuracy"] - line.intercept - line.slope * points["effective_std"]).abs()
    mixes = residuals.index.isin(MIXES)
    tests = [
        stats.mannwhitneyu(residuals[mixes], residuals[~mixes], method="exact", alternative=side)
        for side in ("greater", "less")
    ]
    value, larger, smaller = rank_biserial(residuals, list(MIXES))
    assert value == pytest.approx(2 * tests[0].statistic / 24 - 1)
    assert (larger, smaller) == pytest.approx((tests[0].pvalue, tests[1].pvalue))
    found = KNOWN["P13"].measure(of_network(tables, "cifar10", "resnet20")).quantities[0]
    assert (found.mean, found.p_for, found.p_against) == pytest.approx((value, larger, smaller))


def test_a_correlation_and_that_over_draws_must_agree_in_sign():
    points, draws = Line(-1.0, 0.0, -0.5, 0.07), Line(1.0, 0.0, 0.7, 0.01)
    assert correlation("k", points, 14, draws, 11, "").p_for > 0.9
    perfect = correlation("k", Line(-1.0, 0.0, -1.0, 0.0), 14, Line(-1.0, 0.0, -1.0, 0.0), 11, "")
    assert (perfect.p_for, perfect.p_against) == (0, 1)


@pytest.mark.parametrize("n", [3, 4, 14])
def test_line_is_that_of_a_regression(n):
    x, noise = np.random.default_rng(n).normal(size=(2, n))
    y = 2 - x + noise
    expected = stats.linregress(x, y)
    assert fit_line(Series(x), Series(y)) == pytest.approx(
        (expected.slope, expected.intercept, expected.rvalue, expected.pvalue)
    )


@pytest.mark.parametrize(
    ("x", "y", "known"),
    [
        ([], [], (False, False)),
        ([1.0], [2.0], (False, False)),
        ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], (False, False)),
        ([1.0, 2.0], [2.0, 1.0], (True, False)),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], (True, False)),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], (True, True)),
    ],
)
@pytest.mark.filterwarnings("error")
def test_line_that_does_not_exist_is_missing(x, y, known):
    line = fit_line(Series(x, dtype=float), Series(y, dtype=float))
    assert (not math.isnan(line.slope), not math.isnan(line.r)) == known
    assert math.isnan(line.p) == math.isnan(line.r)
