import math

import numpy as np
import pytest
from pandas import DataFrame, Series, concat
from scipy import stats

from earlyphase.results.claims import CLAIMS, judge
from earlyphase.results.claims.judging import (
    OverPoints,
    assess,
    assess_contrast,
    assess_points,
    verdict_on,
)
from earlyphase.results.claims.perturbations import FIGURE_8, MIXES, correlation_with_size, mixes_off_the_line
from earlyphase.results.summaries import fit_line, last_evaluations, mixtures, over_seeds, t_interval

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
    assert set(decided["id"]) <= {"R1", "R2", "R3", "R4", "R5", "S1"}
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


# Perturbations

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
EARLY_AT_BOTH = {name: (early, early) for name, (early, _) in LEVELS.items()}


def perturbed_tables(levels=LEVELS, seeds=5, spread=1.0, rounds=(6,), ks=(500, 2000)):
    """Tables in which a perturbation of the kth column of `levels` has that accuracy in %, at every density."""
    tables = make_tables({0: 87.0} | REWINDING, seeds=seeds, spread=spread, rounds=rounds)

    def row(seed, k, r, name, i):
        percent = levels[name][(500, 2000).index(k)] / 100
        jitter = spread * 0.0005 * np.roll([-1.0, 0.5, 1.0, -0.5, 0.0], i)[seed]
        return {
            "dataset": "cifar10", "model": "resnet20", "seed": seed, "task": "supervised", "k": k, "round": r,
            "density": 0.8**r, "perturbation": name, "effective_mean": 0.0,
            "effective_std": SIZES.get(name, 60) / 1000, "iteration": 62560,
            "accuracy": percent + SHARED[seed] + jitter, "loss": 0.3,
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
    ("P1", {"signs_k_magnitudes_0": (88.0, 88.0)}, BAD, GOOD),  # a third of the gain is left
    ("P2", {"signs_0_magnitudes_k": (86.5, 89.1)}, BAD, BAD),
    ("P2", {"signs_0_magnitudes_k": (87.2, 89.1)}, BAD, GOOD),  # the sign, not 0.3 points
    ("P3", {"signs_0_magnitudes_k": (88.0, 90.0)}, BAD, BAD),
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
    ("P12", {}, GOOD, GOOD),
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
    tables = perturbed_tables(LEVELS | other)
    (alone,) = (known for known in CLAIMS if known.id == claim)
    assert assess(tables, alone.full, alone.unit)["verdict"] == full
    row = assess(tables, alone.short, alone.unit)
    assert row["verdict"] == short
    assert "short study" in row["test"]
    assert "26.2 % of weights" in row["test"]


def test_full_scale_claims_that_need_no_size_are_inconclusive_when_seeds_differ():
    judged = judge(perturbed_tables(spread=40.0), FULL).set_index("id")
    assert judged.loc["P2", "verdict"] == judged.loc["P6", "verdict"] == UNSURE


def test_short_study_takes_the_smallest_and_largest_k():
    tables = perturbed_tables()
    renamed = {
        name: table.assign(k=table["k"].replace({500: 20, 2000: 80})) if "k" in table else table
        for name, table in tables.items()
    }
    short = judge(renamed, SHORT).set_index("id")
    assert short.loc[PERTURBATION_CLAIMS, "verdict"].tolist() == [GOOD] * 12 + [BAD, GOOD]
    assert short.loc["P2", "test"].count("k = 20:") == 1
    assert short.loc["P11", "test"].count("k = 80:") == 1
    full = judge(renamed, FULL).set_index("id")
    assert set(full.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}


def test_one_k_cannot_play_both_roles():
    judged = judge(perturbed_tables(ks=(500,)), SHORT).set_index("id")["verdict"]
    early = [claim for claim in PERTURBATION_CLAIMS if judged[claim] != "not run at this scale"]
    assert early == ["P1", "P2", "P4", "P10"]


@pytest.mark.parametrize("study", [FULL, SHORT])
@pytest.mark.parametrize("perturbed", [None, perturbed_tables()["perturbed"][:0]])
def test_without_perturbed_runs_their_claims_are_not_run(study, perturbed):
    tables = make_tables(PAPER) | ({} if perturbed is None else {"perturbed": perturbed})
    judged = judge(tables, study).set_index("id")
    assert set(judged.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}
    assert set(judged.loc[PERTURBATION_CLAIMS, "n"]) == {0}
    assert judged.loc["R2", "verdict"] == GOOD


@pytest.mark.parametrize("missing", FIGURE_8)
def test_missing_perturbation_stops_only_the_claims_that_read_it(missing):
    levels = {name: pair for name, pair in LEVELS.items() if name != missing}
    judged = judge(perturbed_tables(levels), SHORT).set_index("id").loc[PERTURBATION_CLAIMS]
    stopped = judged[judged["verdict"] == "not run at this scale"]
    assert stopped["test"].str.contains(f"{missing} was not run").all()
    assert judged.loc["P12", "n"] == 13
    assert len(stopped) < 6


def test_density_other_than_26_percent_is_not_judged():
    judged = judge(perturbed_tables(rounds=(3, 9)), SHORT).set_index("id")
    assert set(judged.loc[PERTURBATION_CLAIMS, "verdict"]) == {"not run at this scale"}
    assert "no round is near 26.2% of weights" in judged.loc["P1", "test"]


def test_both_readings_of_rewinding_to_0_count():
    assert verdict("P2", perturbed_tables(), FULL)["verdict"] == GOOD
    better = LEVELS | {"rewind_to_0": (88.0, 88.0)}
    row = verdict("P2", perturbed_tables(better), FULL)
    assert row["verdict"] == BAD
    assert "rewinding to 0 (masks of k)" in row["test"]
    without = {name: pair for name, pair in LEVELS.items() if name != "rewind_to_0"}
    row = verdict("P2", perturbed_tables(without), FULL)
    assert row["verdict"] == GOOD
    assert "rewinding to 0 (own masks)" in row["test"]
    tables = perturbed_tables(without)
    row = verdict("P2", tables | {"imp": tables["imp"].query("k > 0")}, FULL)
    assert row["verdict"] == "not run at this scale"
    assert "rewinding to 0 was not run" in row["test"]


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
    judged = judge(perturbed_tables(seeds=1), SHORT).set_index("id").loc[PERTURBATION_CLAIMS]
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


def test_correlation_is_pearsons_over_means_with_points_as_the_sample():
    tables = perturbed_tables()
    row = verdict("P12", tables, FULL)
    expected = []
    for k in (500, 2000):
        runs = tables["perturbed"]
        runs = runs[(runs["k"] == k) & runs["perturbation"].isin(FIGURE_8)]
        means = runs.groupby("perturbation")[["effective_std", "accuracy"]].mean()
        expected.append(stats.pearsonr(means["effective_std"], means["accuracy"]))
    found = correlation_with_size(tables, ks=(500, 2000))
    for ours, theirs in zip(found, expected, strict=True):
        bounds = theirs.confidence_interval(0.90)
        assert (ours.value, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
        assert ours.bounds == pytest.approx((bounds.low, bounds.high), abs=1e-4)
    assert row["n"] == 14
    assert row["ours"] == f"{expected[0].statistic:+.2f} (Pearson r, p = {expected[0].pvalue:.2g})"
    bounds = expected[0].confidence_interval(0.90)
    assert row["error"] == f"{bounds.low:+.2f} to {bounds.high:+.2f}"


def test_residuals_of_mixes_are_ranked_exactly():
    tables = perturbed_tables()
    means = tables["perturbed"].query("k == 500 and perturbation != 'rewind_to_0'")
    means = means.groupby("perturbation")[["effective_std", "accuracy"]].mean()
    line = stats.linregress(means["effective_std"], means["accuracy"])
    residuals = (means["accuracy"] - line.intercept - line.slope * means["effective_std"]).abs()
    mixes = residuals.index.isin(MIXES)
    test = stats.mannwhitneyu(residuals[mixes], residuals[~mixes], method="exact")
    (found,) = mixes_off_the_line(tables, ks=(500,))
    assert (found.value, found.p) == pytest.approx((2 * test.statistic / 33 - 1, test.pvalue))
    assert (found.n, found.bounds) == (14, None)
    places = residuals.rank(ascending=False)[mixes].sort_values()
    assert f"1 the largest: {', '.join(f'{place:.0f}' for place in places)};" in found.note


@pytest.mark.parametrize(
    ("value", "p", "bounds", "expected"),
    [
        (-0.67, 0.008, (-0.86, -0.30), GOOD),
        (-0.50, 0.07, (-0.78, -0.05), UNSURE),  # in the target, but perhaps no relation at all
        (-0.30, 0.30, (-0.66, 0.18), UNSURE),
        (-0.98, 1e-9, (-0.99, -0.95), BAD),
        (0.40, 0.15, (-0.07, 0.73), BAD),
        (-0.30, 0.04, None, BAD),
        (-0.30, 0.06, None, UNSURE),
    ],
)
def test_verdict_on_a_statistic_over_points(value, p, bounds, expected):
    criterion = next(claim for claim in CLAIMS if claim.id == "P12").full
    row = assess_points(OverPoints("r", value, 14, p, "note", bounds), criterion, "(Pearson r)")
    assert row["verdict"] == expected


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
def test_line_that_does_not_exist_is_missing(x, y, known):
    line = fit_line(Series(x, dtype=float), Series(y, dtype=float))
    assert (not math.isnan(line.slope), not math.isnan(line.r)) == known
    assert math.isnan(line.p) == math.isnan(line.r)
