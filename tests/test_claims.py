import math
from itertools import permutations

import numpy as np
import pytest
from pandas import DataFrame, Series, concat
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from earlyphase.results.claims import expected_false, judge
from earlyphase.results.claims.catalogue import catalogue, packaged
from earlyphase.results.claims.decomposition import parts_of_gain
from earlyphase.results.claims.evidence import Contrast, Correlation, Evidence, Order, Ranking, page_ps, t_ps
from earlyphase.results.claims.judging import (
    NotRun,
    assess,
    decide,
    holm,
    nearest_to_failing,
    side_of,
)
from earlyphase.results.claims.measures import round_near
from earlyphase.results.claims.perturbations import correlation_with_size, residuals_of_mixes
from earlyphase.results.summaries import (
    fit_line,
    last_evaluations,
    mixtures,
    over_seeds,
    t_interval,
)

FULL, SHORT = {"full_scale": True}, {"full_scale": False}
ENTRIES = packaged()["claims"]
CLAIMS = {claim.id: claim for claim in catalogue()}
READINGS = ("own masks", "masks of k")  # of rewinding to 0
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


def finding(tables):
    return verdict("M1", tables, SHORT)


def verdict(claim, tables, study, reading=None):
    """What is said of a claim, in its first reading if none is named; `judge` would take all claims."""
    alone = CLAIMS[claim]
    criteria = alone.full if study["full_scale"] else alone.short
    return assess(tables, criteria[alone.readings[0] if reading is None else reading], alone.unit)[0]


def first_readings(judged):
    return judged.drop_duplicates("id").set_index("id")


PAPER = {0: 87.0, 100: 88.0, 500: 89.9, 2000: 90.0, 4000: 90.0}
FLAT = dict.fromkeys(PAPER, 90.0)
FALLING = {0: 90.0, 100: 89.0, 500: 88.0, 2000: 87.0, 4000: 86.0}
NEAR_LIMIT = {0: 89.0, 100: 89.2, 500: 89.5, 2000: 89.75, 4000: 90.0}  # on the edge of R1, R2, R3
ONE_POINT = {0: 88.9, 100: 89.0, 500: 89.9, 2000: 90.0, 4000: 90.0}  # on the edge of R5
WITHOUT_LATE = {0: 87.0, 100: 88.0}
EARLY_ROUND = {"rounds": (1,)}
NOISY = {"spread": 20.0}


@pytest.mark.parametrize(
    ("claim", "points", "other", "expected"),
    [
        ("R1", PAPER, {}, "reproduced"),
        ("R1", PAPER | {4000: 88.0}, {}, "not reproduced"),  # one k of those >= 500 fails
        ("R1", PAPER | {2000: 91.0}, {}, "not reproduced"),  # better is not the same
        ("R1", NEAR_LIMIT, {}, "inconclusive"),
        ("R1", WITHOUT_LATE, {}, "not run at this scale"),
        ("R1", PAPER, EARLY_ROUND, "not run at this scale"),
        ("R2", PAPER, {}, "reproduced"),
        ("R2", FLAT, {}, "not reproduced"),
        ("R2", NEAR_LIMIT, {}, "inconclusive"),
        ("R2", WITHOUT_LATE, {}, "not run at this scale"),
        ("R3", PAPER, {}, "reproduced"),
        ("R3", PAPER | {4000: 91.0}, {}, "not reproduced"),
        ("R3", NEAR_LIMIT, {}, "inconclusive"),
        ("R3", WITHOUT_LATE, {}, "not run at this scale"),
        ("R4", PAPER, {}, "reproduced"),
        ("R4", FALLING, {}, "not reproduced"),
        ("R4", FLAT, NOISY, "inconclusive"),
        ("R4", WITHOUT_LATE, {}, "not run at this scale"),
        ("R5", PAPER, {}, "reproduced"),
        ("R5", FLAT, {}, "not reproduced"),
        ("R5", ONE_POINT, {}, "inconclusive"),
        ("R5", PAPER, {"rounds": (8,)}, "not run at this scale"),
    ],
)
def test_full_scale_verdicts_where_the_truth_is_known(claim, points, other, expected):
    assert verdict(claim, make_tables(points, **other), FULL)["verdict"] == expected


@pytest.mark.parametrize(
    ("claim", "points_by_gap", "inside", "outside"),
    [
        ("R1", lambda gap: {500: 90.0 + gap}, (-0.48, 0.48), (-0.52, 0.52)),
        ("R2", lambda gap: {0: 90.0 - gap, 500: 90.0}, (0.52,), (0.48,)),
        ("R3", lambda gap: {2000: 90.0, 4000: 90.0 + gap}, (-0.28, 0.28), (-0.32, 0.32)),
        ("R5", lambda gap: {0: 90.0 - gap, 500: 90.0}, (1.02,), (0.98,)),
    ],
)
def test_targets_end_where_their_rules_say(claim, points_by_gap, inside, outside):
    for gaps, expected in ((inside, "reproduced"), (outside, "not reproduced")):
        for gap in gaps:
            assert verdict(claim, make_tables(points_by_gap(gap), spread=0.1), FULL)["verdict"] == expected


SHORT_RISING = {0: 87.0, 100: 88.0, 500: 89.9}
SHORT_FALLING = {0: 90.0, 100: 89.0, 500: 88.0}
SHORT_FLAT = {0: 90.0, 100: 90.0, 500: 90.0}


@pytest.mark.parametrize(
    ("claim", "points", "other", "expected"),
    [
        ("R1", SHORT_RISING, {}, "reproduced"),
        ("R1", SHORT_RISING | {500: 92.0}, {}, "not reproduced"),  # better is not the same
        ("R1", {0: 80.0, 100: 84.0, 500: 87.0}, {}, "not reproduced"),
        ("R1", SHORT_FALLING, {}, "inconclusive"),  # rewinding gains nothing, so there is no measure of near
        ("R1", SHORT_FLAT, NOISY, "inconclusive"),
        ("R1", {0: 90.0}, {}, "not run at this scale"),
        ("R2", SHORT_RISING, {}, "reproduced"),
        ("R2", {0: 89.8, 500: 90.0}, {}, "reproduced"),  # the sign, not the paper's 0.5 points
        ("R2", SHORT_FALLING, {}, "not reproduced"),
        ("R2", SHORT_FLAT, NOISY, "inconclusive"),
        ("R2", {100: 90.0, 500: 90.0}, {}, "not run at this scale"),
        ("R3", SHORT_RISING, {}, "not run at this scale"),
        ("R4", SHORT_RISING, {}, "reproduced"),
        ("R4", SHORT_FALLING, {}, "not reproduced"),
        ("R4", SHORT_FLAT, NOISY, "inconclusive"),
        ("R4", {0: 87.0, 500: 90.0}, {}, "not run at this scale"),
        ("R5", SHORT_RISING, {}, "reproduced"),
        ("R5", SHORT_FALLING, {}, "not reproduced"),
        ("R5", SHORT_FLAT, NOISY, "inconclusive"),
        ("R5", SHORT_RISING, {"rounds": (10,)}, "not run at this scale"),
    ],
)
def test_short_study_verdicts_where_the_truth_is_known(claim, points, other, expected):
    row = verdict(claim, make_tables(points, **other), SHORT)
    assert row["verdict"] == expected
    assert "short study" in row["test"]


def test_a_study_that_stops_above_10_percent_of_weights_says_how_far_it_came():
    row = verdict("R5", make_tables(SHORT_RISING, rounds=(9, 10)), SHORT)
    assert "no round is below 10 % of weights; the sparsest has 10.7%" in row["test"]


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_interval_is_that_of_a_t_test(n):
    values = np.random.default_rng(n).normal(1.0, 3.0, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert t_interval(Series(values)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("values", [[], [1.0], [0.1 + 0.2, 0.3, 0.3]])
def test_too_few_or_identical_values_have_no_interval(values):
    assert np.isnan(t_interval(Series(values, dtype=float))).all()


@pytest.mark.parametrize("shift", [-0.6, -0.3, 0.0, 0.2, 0.45, 0.8])
def test_equivalence_agrees_with_two_one_sided_tests(shift):
    values = shift + np.random.default_rng(0).normal(0, 0.1, 5)
    expected, _, _ = DescrStatsW(values).ttost_mean(-0.5, 0.5)
    inside, _ = t_ps(values, (-0.5, 0.5))
    assert inside == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-0.6, 0.3])
def test_one_sided_targets_agree_with_one_sided_t_tests(shift):
    values = shift + np.random.default_rng(0).normal(0, 0.5, 5)
    above = stats.ttest_1samp(values, 0.2, alternative="greater").pvalue
    assert t_ps(values, (0.2, math.inf)) == pytest.approx((above, 1 - above))
    assert t_ps(values, (-math.inf, 0.2)) == pytest.approx((1 - above, above))


def test_outside_a_target_of_no_width_is_the_two_sided_t_test():
    values = np.random.default_rng(0).normal(0.3, 0.5, 5)
    _, outside = t_ps(values, (0.0, 1e-12))
    assert outside == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_pairing_finds_an_effect_that_unpaired_seeds_hide():
    tables = make_tables({0: 89.0, 500: 90.0})
    row = verdict("R2", tables, SHORT)
    last = tables["imp"][tables["imp"]["round"] == 8]
    late, early = (last[last["k"] == k]["accuracy"] for k in (500, 0))
    assert stats.ttest_ind(late, early, alternative="greater").pvalue > 0.1
    assert row["verdict"] == "reproduced"
    assert row["ours"] == "+1.00 points"
    assert float(row["error"].removeprefix("± ")) < 0.15


def test_seeds_are_paired_by_name_and_not_by_row():
    tables = make_tables(SHORT_RISING)
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    assert judge(shuffled, SHORT).equals(judge(tables, SHORT))


def test_rank_correlation_is_spearmans_in_each_seed():
    tables = make_tables(FLAT, spread=20.0)
    at_round_8 = tables["imp"][tables["imp"]["round"] == 8]
    expected = [
        stats.spearmanr(seed["k"], seed["accuracy"]).statistic for _, seed in at_round_8.groupby("seed")
    ]
    row = verdict("R4", tables, SHORT)
    assert row["ours"] == f"{np.mean(expected):+.2f} (rank correlation)"
    assert row["error"] == f"± {np.std(expected, ddof=1):.2f}"


def test_equal_accuracies_have_no_order_over_k():
    row = verdict("R4", make_tables(SHORT_FLAT, spread=0.0), SHORT)
    assert (row["ours"], row["n"], row["verdict"]) == ("+0.00 (rank correlation)", 5, "inconclusive")


def test_three_seeds_that_agree_on_a_weak_order_are_inconclusive():
    """Each has rank correlation 0.5: no spread at all, but chance gives as much in 15.3 % of studies."""
    row = verdict("R4", make_tables({0: 87.0, 100: 90.0, 500: 89.0}, seeds=3), SHORT)
    assert (row["ours"], row["error"]) == ("+0.50 (rank correlation)", "± 0.00")
    assert "p = 0.15" in row["test"]
    assert row["verdict"] == "inconclusive"


@pytest.mark.parametrize("shape", [(2, 3), (3, 4), (5, 5), (4, 8)])
def test_exact_p_of_an_order_is_that_of_pages_test(shape):
    data = np.random.default_rng(shape[1]).normal(size=shape) + 0.2 * np.arange(shape[1])
    rises, falls = page_ps(stats.rankdata(data, axis=1))
    assert rises == pytest.approx(stats.page_trend_test(data, method="exact").pvalue)
    turned = stats.page_trend_test(data[:, ::-1], method="exact").pvalue
    assert falls == pytest.approx(turned)


def test_exact_p_of_an_order_with_ties_counts_every_permutation():
    data = np.array([[1.0, 1.0, 2.0], [3.0, 1.0, 3.0]])
    ranks = stats.rankdata(data, axis=1)
    places = np.array([1, 2, 3])
    sums = [
        (np.array([one, other]) * places).sum()
        for one in permutations(ranks[0])
        for other in permutations(ranks[1])
    ]
    seen = (ranks * places).sum()
    expected = np.mean(np.array(sums) >= seen), np.mean(np.array(sums) <= seen)
    assert page_ps(ranks) == pytest.approx(expected)


def test_a_large_order_is_still_exact():
    ranks = np.array([[*range(1, 13)]])
    assert page_ps(ranks)[0] == pytest.approx(1 / math.factorial(12))


@pytest.mark.parametrize("study", [FULL, SHORT])
def test_one_seed_is_inconclusive(study):
    judged = judge(make_tables(PAPER, seeds=1), study)
    decided = judged[judged["verdict"] != "not run at this scale"]
    assert set(decided["id"]) <= {"R1", "R2", "R3", "R4", "R5", "S1", "L1"}
    assert set(decided["verdict"]) == {"inconclusive"}
    assert set(decided["n"]) == {1}
    assert set(decided["error"]) == {""}
    assert decided["test"].str.contains("fewer than two seeds").all()


@pytest.mark.parametrize("column", ["accuracy", "loss"])
def test_diverged_seed_is_left_out_and_said(column):
    tables = make_tables(SHORT_RISING)
    imp = tables["imp"]
    imp.loc[(imp["seed"] == 1) & (imp["k"] == 0), column] = math.nan
    for claim in ("R2", "R4", "R5"):
        row = verdict(claim, tables, SHORT)
        assert row["n"] == 4
        assert "1 of 5 seeds left out" in row["test"]
        assert row["verdict"] == "reproduced"
    assert verdict("R1", tables, FULL)["n"] == 5  # it does not read k = 0


def test_missing_run_is_left_out_like_a_diverged_one():
    tables = make_tables(SHORT_RISING)
    tables["dense"] = tables["dense"].query("seed != 2")
    row = verdict("R1", tables, SHORT)
    assert row["n"] == 4
    assert "1 of 5 seeds left out" in row["test"]


def test_no_seed_left_is_inconclusive():
    tables = make_tables(SHORT_RISING)
    tables["imp"]["accuracy"] = math.nan
    row = verdict("R2", tables, SHORT)
    assert (row["verdict"], row["n"], row["ours"]) == ("inconclusive", 0, "")


def test_last_evaluation_counts_and_not_the_best():
    tables = make_tables(SHORT_FALLING)
    earlier = tables["imp"].assign(iteration=100, accuracy=0.99)
    assert judge(tables | {"imp": concat([earlier, tables["imp"], earlier])}, SHORT).equals(
        judge(tables, SHORT)
    )


def test_each_network_is_judged_alone():
    good, bad = make_tables(SHORT_RISING), make_tables(SHORT_FALLING)
    both = {name: concat([good[name], bad[name].assign(model="vgg")]) for name in good}
    judged = judge(both, SHORT)
    assert len(judged) == 2 * len(ROWS)
    r2 = judged[judged["id"] == "R2"].set_index("model")["verdict"]
    assert r2.to_dict() == {"resnet20": "reproduced", "vgg": "not reproduced"}


ROWS = [(claim.id, reading) for claim in CLAIMS.values() for reading in claim.readings]


@pytest.mark.parametrize("tables", [{}, {"imp": make_tables(PAPER)["imp"].iloc[:0]}])
def test_nothing_to_judge_is_a_row_that_says_so(tables):
    judged = judge(tables, SHORT)
    assert list(zip(judged["id"], judged["reading"], strict=True)) == ROWS
    assert set(judged["verdict"]) == {"not run at this scale"}
    assert expected_false(judged) == 0


def test_worst_k_is_the_one_reported():
    row = verdict("R1", make_tables(PAPER | {2000: 88.0}), FULL)
    assert row["ours"] == "-2.00 points (falls short of the dense network)"
    assert "k = 2,000 minus dense" in row["test"]
    assert "the nearest to failing of 3" in row["test"]


@pytest.mark.parametrize(
    ("gap", "word"), [(0.1, "matches it"), (1.0, "exceeds it"), (-1.0, "falls short of the dense network")]
)
def test_a_ticket_that_exceeds_the_dense_network_is_said_to(gap, word):
    row = verdict("R1", make_tables({0: 87.0, 500: 90.0 + gap}), FULL)
    assert row["ours"] == f"{gap:+.2f} points ({word})"
    assert row["verdict"] == ("reproduced" if gap == 0.1 else "not reproduced")


@pytest.mark.parametrize("sign", [1, -1])
def test_in_a_short_study_a_ticket_matches_within_a_quarter_of_what_rewinding_gains(sign):
    for share, expected in ((0.24, "reproduced"), (0.26, "not reproduced")):
        gap = sign * share * 10.0
        tables = make_tables({0: 80.0 + gap, 100: 85.0, 500: 90.0 + gap}, spread=0.05)  # it gains 10 points
        assert verdict("R1", tables, SHORT)["verdict"] == expected
    side = "k = 500 minus dense" if sign < 0 else "dense minus k = 500"
    assert side in verdict("R1", tables, SHORT)["test"]


def test_columns_and_source():
    judged = judge(make_tables(PAPER), FULL | {"sources": {"imp": "results/tables/imp.csv"}})
    assert judged.columns.tolist() == [
        "id", "reading", "dataset", "model", "statement", "paper", "ours", "error", "n", "test", "verdict",
        "same_test_as", "source", "cited",
    ]  # fmt: skip
    assert judged.loc[0, "source"] == "results/tables/imp.csv, dense"
    assert "not of the paper" in judged.set_index("id").loc["M1", "statement"]


def test_claims_that_are_the_same_test_say_so_and_agree():
    tables = perturbed_tables()
    for study, twice in ((SHORT, {"P4": "P1", "P14": "P5"}), (FULL, {"P14": "P5"})):
        judged = judge(tables, study)
        marked = judged[judged["same_test_as"] != ""]
        assert dict(zip(marked["id"], marked["same_test_as"], strict=True)) == twice
        for _, row in marked.iterrows():
            first = judged[(judged["id"] == row["same_test_as"]) & (judged["reading"] == row["reading"])]
            assert first[["ours", "test", "verdict"]].values.tolist() == [
                row[["ours", "test", "verdict"]].tolist()
            ]


def test_verdicts_expected_to_be_false_are_a_twentieth_of_the_tests():
    judged = judge(perturbed_tables(), SHORT)
    tests = judged[(judged["verdict"] != "not run at this scale") & (judged["id"] != "M1")]
    assert expected_false(judged) == pytest.approx((len(tests) - 4) / 20)  # P4 and P14 in two readings each


# Several quantities, one verdict


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    p_values = np.random.default_rng(seed).beta(0.3, 1, size=seed + 1)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_no_corrected_p_exceeds_1():
    assert holm([0.9, 0.4, 0.6]).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("p_inside", "p_outside", "expected"),
    [
        ([0.04, 0.04, 0.04], [0.9, 0.9, 0.9], "reproduced"),  # every one, uncorrected
        ([0.04, 0.06], [0.9, 0.9], "inconclusive"),
        ([0.9, 0.01], [0.02, 0.9], "not reproduced"),  # one is enough, at a half of 5 %
        ([0.9, 0.01], [0.03, 0.9], "inconclusive"),
        ([0.9], [0.03], "not reproduced"),
    ],
)
def test_all_must_hold_uncorrected_and_one_may_fail_corrected(p_inside, p_outside, expected):
    assert decide(p_inside, p_outside) == expected


def test_the_quantity_nearest_to_failing_is_reported():
    def lies(p_inside, p_outside, inside):
        return Evidence("", "", 5, "", inside, p_inside, p_outside, tested=True)

    untested = Evidence("", "", 1, "")
    clear, near = lies(1e-20, 1.0, True), lies(0.04, 0.9, True)
    unsure, failed = lies(0.7, 0.3, False), lies(1.0, 1e-20, False)
    at_chance = lies(1.0, 1.0, False)  # an exact test can say so
    order = [failed, unsure, at_chance, untested, near, clear]
    for start in range(len(order)):
        for rest in permutations(order[start:]):
            assert rest[nearest_to_failing(rest)] is order[start]


@pytest.mark.parametrize("study", [FULL, SHORT])
@pytest.mark.parametrize(
    ("claim", "failing"), [("P5", "k = 2,000 at 26.2%: shuffle_layers"), ("P10", "noise_3")]
)
def test_the_contrast_that_failed_is_the_one_reported(study, claim, failing):
    """Whether it is the last of the contrasts, or of what must hold besides."""
    tables = perturbed_tables(LEVELS | {"shuffle_layers": (87.0, 90.0), "noise_3": (89.9, 90.0)})
    row = verdict(claim, tables, study)
    assert row["verdict"] == "not reproduced"
    assert f"{failing} minus rewinding to 0" in row["test"]
    assert "of lying outside, corrected for 4 by Holm's method" in row["test"]


def test_identical_values_in_all_seeds_give_no_verdict():
    assert verdict("R2", make_tables({0: 80.0, 500: 90.0}, spread=0.0), SHORT)["verdict"] == "inconclusive"
    found = Contrast(Series([3.0, 3.0, 3.0], name="gain")).evidence((0, math.inf), "points")
    assert not found.tested
    assert "all seeds have the same value" in found.words


def test_two_seeds_have_a_spread_and_a_test():
    found = Contrast(Series([1.0, 2.0], name="gain")).evidence((0, math.inf), "points")
    assert (found.error, found.n, found.tested) == ("± 0.71", 2, True)
    assert found.p_inside == pytest.approx(stats.ttest_1samp([1.0, 2.0], 0, alternative="greater").pvalue)


def test_no_test_is_no_evidence():
    untested = Evidence("", "", 1, "")
    assert (untested.p_inside, untested.p_outside) == (1, 1)


def test_a_p_of_exactly_5_percent_decides_nothing():
    assert decide([0.05], [0.9]) == decide([0.9], [0.05]) == "inconclusive"
    shown = Evidence("", "", 5, "", True, 0.05, 0.9, tested=True, bounds=(-1, 1))
    assert side_of(shown, ("below", "within", "above")) == ""


def test_a_single_quantity_is_not_said_to_be_one_of_several():
    assert "nearest to failing" not in verdict("R2", make_tables(SHORT_RISING), SHORT)["test"]


def test_exact_tests_refuse_a_target_that_they_cannot_test():
    with pytest.raises(ValueError, match="against 0 only"):
        Order(DataFrame([[1.0, 2, 3], [1.0, 2, 3]])).evidence((0, 1), "")
    with pytest.raises(ValueError, match="against 0 only"):
        Ranking("", 0.5, 14, 0.01, "").evidence((0, 1), "()")


def test_a_correlation_of_zero_agrees_with_no_sign():
    assert Correlation("k", 0.0, 14, 1.0, 11, -0.7, 0.01, "").evidence((-1, 0), "()").p_inside == 1


def test_a_correlation_has_the_edges_that_it_cannot_pass():
    found = Correlation("k", -0.6, 14, 0.01, 11, -0.7, 0.01, "")
    assert found.evidence((-math.inf, 0), "()") == found.evidence((-1, 0), "()")


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
        {"seed": [0, 1, 2], "iteration": 1, "accuracy": [0.8, 0.9, 0.1], "loss": [1, 1, math.inf]}
    )
    (row,) = over_seeds(last_evaluations(table.assign(k=0), ["k", "seed"]), ["k"]).to_dict("records")
    assert (row["k"], row["n"], row["diverged"]) == (0, 2, 1)
    assert (row["mean"], row["std"]) == pytest.approx((0.85, 0.1 / math.sqrt(2)))
    assert math.isnan(row["dead"])  # which was not measured
    (row,) = over_seeds(table.assign(k=0, dead_features=[0.79, 0.8, 1.0]), ["k"]).to_dict("records")
    assert (row["n"], row["dead"]) == (3, 2)


def test_a_curve_over_seeds_is_summarised_at_each_iteration():
    table = DataFrame({"seed": [1, 0, 0, 1], "iteration": [5, 5, 0, 0], "norm": [4.0, 2.0, 1.0, math.nan]})
    first, second = over_seeds(table, ["iteration"], "norm").to_dict("records")
    assert (second["iteration"], second["mean"], second["n"]) == (5, 3, 2)
    assert second["std"] == pytest.approx(math.sqrt(2))
    assert (first["iteration"], first["mean"], first["n"]) == (0, 1, 1)
    assert math.isnan(first["std"])


def test_units_are_said():
    contrast = Series([1.0, 2.0], name="late minus early")
    assert Contrast(contrast).evidence((0, math.inf), "points").ours == "+1.50 points"


# Perturbations

FIGURE_8 = ENTRIES["P12"]["measure"]["perturbations"]
NOISE = ENTRIES["P12"]["measure"]["one_draw"]
MIXES = ENTRIES["P13"]["measure"]["mixes"]
SIZES = dict(zip(FIGURE_8, (42, 55, 33, 144, 143, 92, 85, 80, 49, 87, 46, 91, 180, 270), strict=True))
REWINDING = {500: 90.0, 2000: 90.4}  # rewinding to 0 gives 87
LEVELS = {  # accuracy at k = 500 and at 2,000 as the paper's claims would have it
    "rewind_to_0": (86.9, 86.9),
    "signs_k_magnitudes_0": (87.0, 89.0), "signs_k_magnitudes_fresh": (86.9, 89.0),
    "signs_0_magnitudes_k": (88.0, 89.1),
    "shuffle_global": (86.9, 86.9), "shuffle_layers": (87.0, 87.0), "shuffle_kernels": (87.6, 87.7),
    "shuffle_global_signs_k": (87.1, 88.0), "shuffle_layers_signs_k": (87.2, 88.4),
    "shuffle_kernels_signs_k": (88.9, 89.6), "shuffle_layers_signs_0": (87.0, 87.0),
    "noise_0.5": (89.9, 90.3), "noise_1": (89.4, 90.2), "noise_2": (87.1, 88.6), "noise_3": (85.5, 86.0),
}  # fmt: skip
MIXES_OFF = {  # on a line, but for the mixes
    name: (90 - size / 50 + off,) * 2
    for (name, size), off in zip(SIZES.items(), (-3, -3, 3, *np.tile([0.1, -0.1], 6)), strict=False)
}
SCATTERED = {  # about a line
    name: (90 - size / 50 + off,) * 2 for (name, size), off in zip(SIZES.items(), 7 * [1, -1], strict=True)
}
EARLY_AT_BOTH = {name: (early, early) for name, (early, _) in LEVELS.items()}


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

    return tables | {
        "perturbed": DataFrame(
            row(seed, k, r, name, i)
            for seed in range(seeds)
            for k in ks
            for r in rounds
            for i, name in enumerate(levels)
        )
    }


PERTURBATION_CLAIMS = [f"P{i}" for i in range(1, 15)]
GOOD, BAD, UNSURE = "reproduced", "not reproduced", "inconclusive"
CASES = [  # claim, what differs from the paper, verdict at full scale and in a short study
    *((claim, {}, GOOD, GOOD) for claim in PERTURBATION_CLAIMS if claim not in ("P12", "P13")),
    ("P1", {"signs_k_magnitudes_fresh": (89.5, 89.5)}, BAD, BAD),
    ("P1", {"signs_k_magnitudes_0": (85.0, 85.0)}, BAD, GOOD),  # worse is not equivalent, but no better
    ("P1", {"signs_k_magnitudes_0": (88.0, 88.0)}, BAD, BAD),  # a third of the gain is left
    ("P4", {"signs_k_magnitudes_0": (86.9, 86.9), "signs_k_magnitudes_fresh": (87.3, 87.3)}, GOOD, GOOD),
    ("P2", {"signs_0_magnitudes_k": (86.5, 89.1)}, BAD, BAD),
    ("P2", {"signs_0_magnitudes_k": (87.2, 89.1)}, BAD, BAD),  # 0.3 points, or a quarter of the gain
    ("P3", {"signs_0_magnitudes_k": (88.0, 90.3)}, BAD, BAD),
    ("P3", {"signs_0_magnitudes_k": (88.0, 91.0), "signs_k_magnitudes_0": (87.0, 91.0)}, BAD, BAD),
    ("P3", {"signs_k_magnitudes_0": (88.5, 89.0)}, GOOD, BAD),  # they differed no more at the early k
    ("P4", {"signs_k_magnitudes_0": (85.0, 85.0)}, GOOD, GOOD),
    ("P4", {"signs_k_magnitudes_0": (89.9, 89.0)}, BAD, BAD),
    ("P5", {"shuffle_global": (84.0, 84.0)}, GOOD, GOOD),
    ("P5", {"shuffle_layers": (87.0, 90.0)}, BAD, BAD),  # one k of the two
    ("P6", {"shuffle_kernels": (87.6, 86.7)}, BAD, BAD),
    ("P7", {"shuffle_kernels_signs_k": (87.9, 88.9)}, BAD, GOOD),
    ("P7", {"shuffle_kernels_signs_k": (86.9, 88.9)}, BAD, BAD),
    ("P8", {"shuffle_layers_signs_k": (88.4, 87.2)}, BAD, BAD),
    ("P9", {"shuffle_layers_signs_0": (90.0, 90.0)}, BAD, BAD),
    ("P10", {"noise_1": (87.0, 90.2)}, BAD, BAD),
    ("P10", {"noise_2": (89.9, 89.9)}, BAD, BAD),
    ("P11", {"noise_1": (89.4, 87.5)}, BAD, BAD),
    ("P11", {"noise_2": (87.1, 86.5)}, BAD, BAD),
    ("P14", {"shuffle_global": (90.0, 87.0)}, BAD, BAD),
    ("P12", SCATTERED, GOOD, GOOD),
    ("P12", {}, UNSURE, UNSURE),  # the four levels of one noise alone make r what it is
    ("P12", {name: (85 + size / 100,) * 2 for name, size in SIZES.items()}, BAD, BAD),
    ("P12", {name: (90 - size / 100,) * 2 for name, size in SIZES.items()}, BAD, GOOD),  # a perfect line
    ("P13", MIXES_OFF, GOOD, GOOD),
    ("P13", {}, BAD, BAD),  # at k = 2,000 they fit best
    ("P13", EARLY_AT_BOTH, UNSURE, UNSURE),
    (
        "P13",
        {
            name: (90 - size / 100 + off,) * 2
            for off, (name, size) in zip((0, 0, 0, *np.tile([2, -2], 6)), SIZES.items(), strict=False)
        },
        BAD,
        BAD,
    ),
]


@pytest.mark.parametrize(("claim", "other", "full", "short"), CASES)
def test_perturbation_verdicts_where_the_truth_is_known(claim, other, full, short):
    """In both readings of rewinding to 0, which are equally accurate here."""
    tables = perturbed_tables(LEVELS | {"rewind_to_0": (87.0, 87.0)} | other)
    for reading in CLAIMS[claim].readings:
        assert verdict(claim, tables, FULL, reading)["verdict"] == full
        row = verdict(claim, tables, SHORT, reading)
        assert row["verdict"] == short
        assert "short study" in row["test"]
        assert "at the sparsest density at which every k was perturbed" in row["test"]


@pytest.mark.parametrize(
    ("claim", "levels_by_gap", "inside", "outside"),
    [
        ("P1", lambda gap: {"signs_k_magnitudes_0": 87 + gap}, (-0.48, 0.48), (-0.52, 0.52)),
        ("P2", lambda gap: {"signs_0_magnitudes_k": 87 + gap}, (0.32,), (0.28,)),
        ("P3", lambda gap: {"signs_0_magnitudes_k": 89 + gap}, (-0.48, 0.48), (-0.52, 0.52)),
        ("P4", lambda gap: {"signs_k_magnitudes_0": 87 + gap}, (0.48,), (0.52,)),
        ("P5", lambda gap: {"shuffle_global": 87 + gap}, (0.48,), (0.52,)),
        ("P6", lambda gap: {"shuffle_kernels": 87 + gap}, (0.02,), (-0.02,)),
        ("P7", lambda gap: {"shuffle_kernels_signs_k": 87.6 + gap, "shuffle_kernels": 87.6}, (0.52,), (0.48,)),
        ("P8", lambda gap: {"shuffle_layers": (87.0, 87.2 - gap), "shuffle_layers_signs_k": 87.2}, (0.22,),
         (0.18,)),
        ("P9", lambda gap: {"shuffle_layers_signs_0": 87 + gap}, (0.48,), (0.52,)),
    ],
)  # fmt: skip
def test_targets_of_perturbations_end_where_their_rules_say(claim, levels_by_gap, inside, outside):
    fixed = {"rewind_to_0": (87.0, 87.0), "signs_k_magnitudes_fresh": (87.0, 89.0)}
    for gaps, expected in ((inside, GOOD), (outside, BAD)):
        for gap in gaps:
            other = {
                name: at if isinstance(at, tuple) else (at, at) for name, at in levels_by_gap(gap).items()
            }
            assert (
                verdict(claim, perturbed_tables(LEVELS | fixed | other, spread=0.1), FULL)["verdict"]
                == expected
            )


@pytest.mark.parametrize(
    ("claim", "levels_by_gap"),
    [
        ("P6", lambda gap: {"shuffle_kernels": 87.0 + gap}),
        ("P7", lambda gap: {"shuffle_kernels": 87.6, "shuffle_kernels_signs_k": 87.6 + gap}),
    ],
)
def test_a_short_study_asks_for_the_sign_alone(claim, levels_by_gap):
    for gap, expected in ((0.02, GOOD), (-0.02, BAD)):
        other = {name: (at, at) for name, at in levels_by_gap(gap).items()}
        assert verdict(claim, perturbed_tables(LEVELS | other, spread=0.1), SHORT)["verdict"] == expected


class Recording(dict):
    """Tables that tell which of them were read."""

    def __init__(self, tables):
        super().__init__(tables)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("claim", [name for name in CLAIMS if name[0] in "RPM"])
def test_a_claim_names_the_tables_that_it_reads(claim):
    controls = dict.fromkeys(("one_shot", "reinitialised"), (85.0, 85.0))
    tables = Recording(perturbed_tables(LEVELS | controls, rounds=(6, 8, 11)))
    for study in (FULL, SHORT):
        for reading in CLAIMS[claim].readings:
            verdict(claim, tables, study, reading)
    assert tables.read == set(CLAIMS[claim].tables)


def test_tickets_perturbed_at_0_play_no_role():
    tables = perturbed_tables()
    at_0 = tables["perturbed"].query("k == 500").assign(k=0, accuracy=0.5)
    more = tables | {"perturbed": concat([tables["perturbed"], at_0])}
    for claim in ("P2", "P8", "P11", "P12"):
        assert verdict(claim, more, SHORT) == verdict(claim, tables, SHORT)


WITH_BASELINE = [name for name, claim in CLAIMS.items() if claim.readings == READINGS and name[0] == "P"]


def test_every_claim_on_rewinding_to_0_is_judged_in_both_readings():
    assert WITH_BASELINE == ["P1", "P2", "P4", "P5", "P9", "P10", "P11", "P14"]
    judged = judge(perturbed_tables(), FULL)
    rows = judged[judged["id"].isin(WITH_BASELINE)]
    assert rows["reading"].tolist() == [*READINGS] * len(WITH_BASELINE)
    assert all(f"({row.reading})" in row.test for row in rows.itertuples())


@pytest.mark.parametrize("study", [FULL, SHORT])
@pytest.mark.parametrize("claim", WITH_BASELINE)
def test_where_rewinding_gains_nothing_there_is_no_verdict(study, claim):
    """No perturbation differs from rewinding to 0, which would make it "no better"; but neither does k."""
    levels = dict.fromkeys(LEVELS, (87.0, 87.0))
    tables = perturbed_tables(levels)
    tables["imp"]["accuracy"] -= (tables["imp"]["k"] > 0) * (REWINDING[500] - 87.3) / 100
    tables["imp"]["accuracy"] -= (tables["imp"]["k"] == 2000) * (REWINDING[2000] - REWINDING[500]) / 100
    for reading in READINGS:
        row = verdict(claim, tables, study, reading)
        assert row["verdict"] == "inconclusive"
        assert "rewinding to k itself gains" in row["test"]


@pytest.mark.parametrize(("kept", "expected"), [(0.15, GOOD), (0.35, BAD), (0.25, UNSURE)])
def test_no_better_in_a_short_study_means_less_than_a_quarter_of_the_gain(kept, expected):
    """The same share of a gain of 3 and of 12 points."""
    for low in (87.0, 78.0):
        at = low + kept * (90 - low)
        tables = perturbed_tables({"rewind_to_0": (low, low), "signs_k_magnitudes_0": (at, at),
                                   "signs_k_magnitudes_fresh": (at, at)})  # fmt: skip
        assert verdict("P1", tables, SHORT, "masks of k")["verdict"] == expected


def test_full_scale_claims_that_need_no_size_are_inconclusive_when_seeds_differ():
    judged = first_readings(judge(perturbed_tables(spread=40.0), FULL))
    assert judged.loc["P2", "verdict"] == judged.loc["P6", "verdict"] == UNSURE


def test_short_study_takes_the_smallest_and_largest_k():
    tables = perturbed_tables()
    renamed = {
        name: table.assign(k=table["k"].replace({500: 20, 2000: 80})) if "k" in table else table
        for name, table in tables.items()
    }
    short = first_readings(judge(renamed, SHORT))
    assert short.loc[PERTURBATION_CLAIMS, "verdict"].tolist() == [*[GOOD] * 11, UNSURE, BAD, GOOD]
    assert short.loc["P2", "test"].count("k = 20 at 26.2%:") == 1
    assert short.loc["P11", "test"].count("k = 80 at 26.2%:") == 1
    full = first_readings(judge(renamed, FULL))
    assert set(full.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}


def test_one_k_cannot_play_both_roles():
    judged = first_readings(judge(perturbed_tables(ks=(500,)), SHORT))["verdict"]
    early = [claim for claim in PERTURBATION_CLAIMS if judged[claim] != "not run at this scale"]
    assert early == ["P1", "P2", "P4", "P10"]


@pytest.mark.parametrize("study", [FULL, SHORT])
@pytest.mark.parametrize("perturbed", [None, perturbed_tables()["perturbed"][:0]])
def test_without_perturbed_runs_their_claims_are_not_run(study, perturbed):
    tables = make_tables(PAPER) | ({} if perturbed is None else {"perturbed": perturbed})
    judged = first_readings(judge(tables, study))
    assert set(judged.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}
    assert set(judged.loc[PERTURBATION_CLAIMS, "n"]) == {0}
    assert judged.loc["R2", "verdict"] == GOOD


@pytest.mark.parametrize("missing", FIGURE_8)
def test_missing_perturbation_stops_only_the_claims_that_read_it(missing):
    levels = {name: pair for name, pair in LEVELS.items() if name != missing}
    judged = first_readings(judge(perturbed_tables(levels), SHORT)).loc[PERTURBATION_CLAIMS]
    stopped = judged[judged["verdict"] == "not run at this scale"]
    assert stopped["test"].str.contains(f"{missing} was not run").all()
    assert judged.loc["P12", "n"] == 13
    assert len(stopped) < 6


def test_density_other_than_26_percent_is_not_judged_at_full_scale():
    judged = first_readings(judge(perturbed_tables(rounds=(3, 9)), FULL))
    assert set(judged.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}
    assert "no round is near 26.2% of weights" in judged.loc["P1", "test"]


def test_a_short_study_is_judged_at_the_sparsest_round_perturbed_at_every_k():
    tables = perturbed_tables(rounds=(3, 9))
    assert "k = 500 at 13.4%: " in verdict("P2", tables, SHORT)["test"]
    late_alone = (tables["perturbed"]["round"] == 9) & (tables["perturbed"]["k"] == 500)
    tables["perturbed"] = tables["perturbed"][~late_alone]
    assert "k = 500 at 51.2%: " in verdict("P2", tables, SHORT)["test"]
    early_alone = (tables["perturbed"]["round"] == 3) & (tables["perturbed"]["k"] == 2000)
    tables["perturbed"] = tables["perturbed"][~early_alone]
    row = verdict("P2", tables, SHORT)
    assert row["verdict"] == "not run at this scale"
    assert "no round was perturbed at every k" in row["test"]


def test_the_two_readings_of_rewinding_to_0_are_told_apart():
    better = perturbed_tables(LEVELS | {"rewind_to_0": (88.0, 88.0)})
    assert verdict("P2", better, FULL, "own masks")["verdict"] == GOOD
    assert verdict("P2", better, FULL, "masks of k")["verdict"] == BAD
    tables = perturbed_tables({name: pair for name, pair in LEVELS.items() if name != "rewind_to_0"})
    assert verdict("P2", tables, FULL, "own masks")["verdict"] == GOOD
    row = verdict("P2", tables, FULL, "masks of k")
    assert row["verdict"] == "not run at this scale"
    assert "rewind_to_0 was not run" in row["test"]
    tables["imp"] = tables["imp"].query("k > 0")
    assert "k = 0 was not run to this density" in verdict("P2", tables, FULL, "own masks")["test"]


# What rewinding gains, in parts


def test_parts_of_the_gain_by_hand():
    tables = perturbed_tables(LEVELS | {"rewind_to_0": (88.2, 86.0)})
    parts = parts_of_gain(tables).set_index("k")
    assert parts.index.tolist() == [500, 2000]
    assert parts.loc[500, ["gain", "mask", "weights"]].tolist() == pytest.approx([3.0, 1.2, 1.8])
    assert parts.loc[500, ["mask_share", "weights_share"]].tolist() == pytest.approx([0.4, 0.6])
    assert parts.loc[2000, "mask_share"] == pytest.approx(-1.0 / 3.4)
    imp = 100 * tables["imp"].pivot(index="seed", columns="k", values="accuracy")
    assert parts.loc[500, "gain_std"] == pytest.approx((imp[500] - imp[0]).std())
    row = finding(tables)
    assert "k = 500 at 26.2%: gain +3.00" in row["ours"]
    assert "mask +1.20" in row["ours"]
    assert "(40 ± " in row["ours"]
    assert row["n"] == 5


def test_the_finding_is_of_one_round_however_many_were_run():
    assert finding(perturbed_tables(rounds=(3, 6, 9))) == finding(perturbed_tables(rounds=(9,)))


def test_a_k_of_1_has_parts_too():
    tables = {
        name: table.assign(k=table["k"].replace({500: 1})) if "k" in table else table
        for name, table in perturbed_tables().items()
    }
    assert parts_of_gain(tables)["k"].tolist() == [1, 2000]


def test_a_finding_that_cannot_be_made_says_why():
    apart = perturbed_tables() | {"imp": perturbed_tables(rounds=(8,))["imp"]}
    with pytest.raises(NotRun, match="no round was run with rewinding to 0"):
        parts_of_gain(apart)
    for tables, why in (
        (apart, "no round was run with"),
        (make_tables(PAPER), "there is no table 'perturbed'"),
    ):
        row = finding(tables)
        assert (row["verdict"], row["n"], row["ours"]) == ("not run at this scale", 0, "")
        assert why in row["test"]


def test_parts_and_shares_of_the_gain_add_up():
    parts = parts_of_gain(perturbed_tables(spread=5.0))
    assert (parts["mask"] + parts["weights"]).tolist() == pytest.approx(parts["gain"].tolist())
    assert (parts["mask_share"] + parts["weights_share"]).tolist() == pytest.approx([1, 1])
    assert parts["mask_share_std"].tolist() == pytest.approx(parts["weights_share_std"].tolist())


def test_error_of_a_share_is_that_of_the_jackknife():
    """To first order in the spread, another road to the same number."""
    tables = perturbed_tables(LEVELS | {"rewind_to_0": (88.2, 88.2)})
    imp = 100 * tables["imp"].pivot(index="seed", columns="k", values="accuracy")
    runs = tables["perturbed"].query("perturbation == 'rewind_to_0' and k == 500").set_index("seed")
    mask, gain = 100 * runs["accuracy"] - imp[0], imp[500] - imp[0]
    without = np.array([mask.drop(seed).mean() / gain.drop(seed).mean() for seed in range(5)])
    expected = math.sqrt(5) * math.sqrt(4 / 5 * ((without - without.mean()) ** 2).sum())
    assert parts_of_gain(tables)["mask_share_std"].iloc[0] == pytest.approx(expected, rel=0.05)


def test_nothing_has_no_shares():
    tables = perturbed_tables()
    tables["imp"]["accuracy"] -= (tables["imp"]["k"] > 0) * 0.03
    parts = parts_of_gain(tables)
    assert parts["mask"].notna().all()
    assert parts["mask_share"].isna().all()
    assert " %" not in finding(tables)["ours"]


# Perturbed tickets again


def test_perturbed_contrast_is_paired_within_seeds():
    tables = perturbed_tables()
    row = verdict("P6", tables, SHORT)
    runs = (
        tables["perturbed"].query("k == 500").pivot(index="seed", columns="perturbation", values="accuracy")
    )
    differences = 100 * (runs["shuffle_kernels"] - runs["shuffle_layers"])
    assert row["ours"] == f"{differences.mean():+.2f} points"
    assert row["error"] == f"± {differences.std():.2f}"
    assert row["error"] < f"± {100 * runs['shuffle_layers'].std():.2f}"


def test_one_seed_of_perturbed_runs_is_inconclusive_but_for_claims_over_points():
    judged = first_readings(judge(perturbed_tables(seeds=1), SHORT)).loc[PERTURBATION_CLAIMS]
    assert judged.loc[["P12", "P13"], "n"].tolist() == [14, 14]
    others = judged.drop(index=["P12", "P13"])
    assert set(others["verdict"]) == {UNSURE}
    assert set(others["n"]) == {1}


@pytest.mark.parametrize("column", ["accuracy", "loss"])
def test_diverged_perturbed_run_is_left_out_and_said(column):
    tables = perturbed_tables()
    runs = tables["perturbed"]
    runs.loc[(runs["seed"] == 1) & (runs["perturbation"] == "shuffle_kernels"), column] = math.inf
    row = verdict("P6", tables, SHORT)
    assert (row["n"], row["verdict"]) == (4, GOOD)
    assert "1 of 5 seeds left out" in row["test"]
    row = verdict("P12", tables, SHORT)
    assert row["n"] == 14
    assert "left out: 1 diverged run" in row["test"]
    runs.loc[runs["perturbation"] == "shuffle_kernels", column] = math.inf
    row = verdict("P12", tables, SHORT)
    assert row["n"] == 13
    assert "left out: 5 diverged runs" in row["test"]


def points_of_figure_8(tables, k):
    runs = tables["perturbed"]
    runs = runs[(runs["k"] == k) & runs["perturbation"].isin(FIGURE_8)]
    return runs.groupby("perturbation")[["effective_std", "accuracy"]].mean()


def test_correlation_is_the_papers_and_its_test_counts_noise_once():
    tables = perturbed_tables()
    found = correlation_with_size(tables, perturbations=FIGURE_8, one_draw=NOISE, ks=[500, 2000])
    for ours, k in zip(found, (500, 2000), strict=True):
        points = points_of_figure_8(tables, k)
        paper = stats.pearsonr(points["effective_std"], points["accuracy"])
        assert (ours.r, ours.p, ours.n) == pytest.approx((paper.statistic, paper.pvalue, 14))
        noisy = points.index.str.startswith("noise_")
        draws = concat([points[~noisy], points[noisy].mean().to_frame().T])
        honest = stats.pearsonr(draws["effective_std"], draws["accuracy"])
        assert (ours.draws_r, ours.draws_p) == pytest.approx((honest.statistic, honest.pvalue))
        assert ours.draws == len(draws) == 11
        bounds = np.arctanh(honest.confidence_interval(0.90))
        unbiased = np.tanh(bounds - honest.statistic / (2 * (11 - 1)))
        assert ours.evidence((-1, 0), "()").bounds == pytest.approx(tuple(unbiased), abs=1e-4)
    row = verdict("P12", tables, SHORT)
    assert row["n"] == 14
    assert f"{found[0].r:+.2f} (Pearson r over 14 perturbations; {found[0].draws_r:+.2f}, p = " in row["ours"]


def test_residuals_of_mixes_are_ranked_exactly_and_noise_counts_once():
    tables = perturbed_tables()
    points = points_of_figure_8(tables, 500)
    line = stats.linregress(points["effective_std"], points["accuracy"])
    residuals = (points["accuracy"] - line.intercept - line.slope * points["effective_std"]).abs()
    noisy = residuals.index.str.startswith("noise_")
    draws = concat([residuals[~noisy], Series({"noise": residuals[noisy].mean()})])
    mixes = draws.index.isin(MIXES)
    test = stats.mannwhitneyu(draws[mixes], draws[~mixes], method="exact")
    (found,) = residuals_of_mixes(tables, mixes=MIXES, perturbations=FIGURE_8, one_draw=NOISE, ks=[500])
    assert (found.value, found.p) == pytest.approx((2 * test.statistic / 24 - 1, test.pvalue))
    assert found.n == 14
    places = draws.rank(ascending=False)[mixes].sort_values()
    assert f"1 the largest: {', '.join(f'{place:.0f}' for place in places)};" in found.note


@pytest.mark.parametrize(
    ("r", "draws_r", "p", "expected"),
    [
        (-0.67, -0.66, 0.027, GOOD),
        (-0.50, -0.50, 0.12, UNSURE),  # in the target, but perhaps no relation at all
        (-0.50, 0.70, 0.02, UNSURE),  # the levels of noise made it
        (-0.30, -0.30, 0.30, UNSURE),
        (-0.98, -0.98, 1e-7, BAD),
        (0.40, 0.40, 0.15, BAD),
    ],
)
def test_verdict_on_a_correlation(r, draws_r, p, expected):
    found = Correlation("k", r, 14, 0.01, 11, draws_r, p, "").evidence((-0.9, -0.45), "(Pearson r)")
    assert decide([found.p_inside], [found.p_outside]) == expected


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
