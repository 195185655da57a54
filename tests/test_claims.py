import math

import numpy as np
import pytest
from pandas import DataFrame, Series, concat
from scipy import stats

from earlyphase.claims import (
    CLAIMS,
    assess_contrast,
    judge,
    t_interval,
    verdict_on,
)
from earlyphase.summaries import last_evaluations, mixtures, over_seeds

FULL, SHORT = {"full_scale": True}, {"full_scale": False}
PAPER_KS = (0, 100, 500, 2000, 4000)
JITTER = {  # five seeds; differences of columns have a sample standard deviation of about 0.1 points
    k: 0.0005 * np.roll([-1.0, 0.5, 1.0, -0.5, 0.0], i) for i, k in enumerate(("dense", *PAPER_KS))
}
SHARED = 0.02 * np.array([-1.0, 0.3, 1.0, -0.8, 0.5])  # what a seed does to every run: 2 points


def make_tables(points, dense=90.0, rounds=(8, 11), seeds=5, spread=1.0):
    """Tables in which the accuracy for rewinding to k is `points[k]` %, equally at every density.

    Args:
        spread: size of the differences between seeds that do not cancel in pairs, in 0.1 points.
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


def verdict(claim, tables, study):
    judged = judge(tables, study)
    return judged[judged["id"] == claim].iloc[0]


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


SHORT_RISING = {0: 87.0, 100: 88.0, 500: 89.9}
SHORT_FALLING = {0: 90.0, 100: 89.0, 500: 88.0}
SHORT_FLAT = {0: 90.0, 100: 90.0, 500: 90.0}


@pytest.mark.parametrize(
    ("claim", "points", "other", "expected"),
    [
        ("R1", SHORT_RISING, {}, "reproduced"),
        ("R1", SHORT_RISING | {500: 91.0}, {}, "reproduced"),  # non-inferiority: better will do
        ("R1", SHORT_FALLING, {}, "not reproduced"),
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


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_interval_is_that_of_a_t_test(n):
    values = np.random.default_rng(n).normal(1.0, 3.0, n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert t_interval(Series(values)) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("shift", [-0.6, -0.3, 0.0, 0.2, 0.45, 0.8])
def test_equivalence_agrees_with_two_one_sided_tests_at_5_percent(shift):
    values = shift + np.random.default_rng(0).normal(0, 0.1, 5)
    above = stats.ttest_1samp(values, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 0.5, alternative="less").pvalue
    judged = verdict_on(*t_interval(Series(values)), (-0.5, 0.5))
    assert (judged == "reproduced") == (max(above, below) < 0.05)


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
    assert (row["ours"], row["n"], row["verdict"]) == ("+0.00 (rank correlation)", 5, "not reproduced")


@pytest.mark.parametrize("study", [FULL, SHORT])
def test_one_seed_is_inconclusive(study):
    judged = judge(make_tables(PAPER, seeds=1), study)
    decided = judged[judged["verdict"] != "not run at this scale"]
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
    assert verdict("R1", tables, SHORT)["n"] == 5  # it does not read k = 0


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


def test_other_tasks_do_not_count():
    tables = make_tables(SHORT_RISING)
    other = {
        name: concat([table, table.assign(task="rotation", accuracy=0.1)]) for name, table in tables.items()
    }
    assert judge(other, SHORT).equals(judge(tables, SHORT))


def test_each_network_is_judged_alone():
    good, bad = make_tables(SHORT_RISING), make_tables(SHORT_FALLING)
    both = {name: concat([good[name], bad[name].assign(model="vgg")]) for name in good}
    judged = judge(both, SHORT)
    assert len(judged) == 2 * len(CLAIMS)
    r2 = judged[judged["id"] == "R2"].set_index("model")["verdict"]
    assert r2.to_dict() == {"resnet20": "reproduced", "vgg": "not reproduced"}


@pytest.mark.parametrize("tables", [{}, {"imp": make_tables(PAPER)["imp"].iloc[:0]}])
def test_nothing_to_judge_is_a_row_that_says_so(tables):
    judged = judge(tables, SHORT)
    assert judged["id"].tolist() == [claim.id for claim in CLAIMS]
    assert set(judged["verdict"]) == {"not run at this scale"}


def test_worst_k_is_the_one_reported():
    row = verdict("R1", make_tables(PAPER | {2000: 88.0}), FULL)
    assert row["ours"] == "+2.00 points"
    assert "dense minus k = 2,000" in row["test"]


def test_columns_and_source():
    judged = judge(make_tables(PAPER), FULL | {"sources": {"imp": "results/tables/imp.csv"}})
    assert judged.columns.tolist() == [
        "id", "dataset", "model", "statement", "paper", "ours", "error", "n", "test", "verdict", "source",
    ]  # fmt: skip
    assert judged.loc[0, "source"] == "results/tables/imp.csv, dense"


def test_claims_have_distinct_names():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "reproduced"),
        (-0.2, -0.1, "not reproduced"),
        (-0.1, 0.1, "inconclusive"),
        (0.0, 0.0, "not reproduced"),  # no difference at all is no gain
    ],
)
def test_verdict_on_an_interval(low, high, expected):
    assert verdict_on(low, high, (0, math.inf)) == expected


def test_results_of_different_versions_are_named():
    table = DataFrame({"torch": ["2.14.1", "2.15.0", "2.14.1"], "device": ["cpu"] * 3})
    assert mixtures({"imp": table}) == ["torch differs between runs: 2.14.1, 2.15.0"]
    assert mixtures({"imp": table[:1], "dense": table[2:]}) == []


def test_summary_over_seeds_leaves_out_and_counts_diverged_runs():
    table = DataFrame(
        {"seed": [0, 1, 2], "iteration": 1, "accuracy": [0.8, 0.9, 0.1], "loss": [1, 1, math.inf]}
    )
    (row,) = over_seeds(last_evaluations(table.assign(k=0), ["k", "seed"]), ["k"]).to_dict("records")
    assert row == {
        "k": 0,
        "mean": pytest.approx(0.85),
        "std": pytest.approx(0.1 / math.sqrt(2)),
        "n": 2,
        "diverged": 1,
    }


def test_units_are_said():
    contrast = Series([1.0, 2.0], name="late minus early")
    assert assess_contrast(contrast, CLAIMS[1].short, "points")["ours"] == "+1.50 points"
