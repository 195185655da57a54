"""Three claims the whole way, from the shipped tables of CIFAR-10 to the verdict, with SciPy alone."""

import csv
from collections import defaultdict
from math import inf

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from earlyphase.results.claims import judge
from test_workflow import ROOT

TABLES = ROOT / "docs/results/cifar10/25-epochs"
DENSITY = 0.168
FACTS = {"networks": {"cifar10/resnet20": {"function": "resnet", "classes": 10, "paper_until": 978}}}


def last(table, **wanted):
    """Accuracy in percent by seed at the last iteration of the runs wanted."""
    ends = defaultdict(lambda: (-1, None))
    with (TABLES / f"{table}.csv").open() as file:
        for row in csv.DictReader(file):
            if all(row[key] == str(value) for key, value in wanted.items()):
                ends[int(row["seed"])] = max(
                    ends[int(row["seed"])], (int(row["iteration"]), float(row["accuracy"]))
                )
    return 100 * np.array([accuracy for _, (_, accuracy) in sorted(ends.items())])


def p_of(values, edge, side):
    return stats.ttest_1samp(values, edge, alternative=side).pvalue if np.isfinite(edge) else 0.0


def beside_a_margin(values, gain, most=1.0, least=0.5):
    """p of lying above minus the margin, a quarter of the gain between half a point and one; and of lying below it."""
    quarter = 0.25 * gain
    by_gain = max(p_of(values + quarter, 0, "greater"), p_of(quarter, least, "greater"))
    above = max(p_of(values, -most, "greater"), min(p_of(values, -least, "greater"), by_gain))
    by_gain = max(p_of(values + quarter, 0, "less"), p_of(quarter, most, "less"))
    below = max(p_of(values, -least, "less"), min(p_of(values, -most, "less"), by_gain))
    return above, below


def verdict(p_for, p_against):
    """All parts hold; or one fails, after Holm's correction, of which the first step decides."""
    if min(p_against) * len(p_against) < 0.025:
        return "not reproduced"
    return "reproduced" if max(p_for) < 0.025 else "inconclusive"


@pytest.fixture(scope="module")
def judged():
    tables = {name: pd.read_csv(TABLES / f"{name}.csv") for name in ("dense", "imp", "pretrained_imp")}
    return judge(tables, FACTS)[0].set_index(["id", "reading"])


@pytest.fixture(scope="module")
def runs():
    return {
        "dense": last("dense"),
        "early": last("imp", k=0, round=3),
        "late": last("imp", k=500, round=3),
        "rotation": last("pretrained_imp", pretraining="rotation", pretraining_iterations=782, round=3),
    }


def check(row, values, p_for, p_against):
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert row["ours"].startswith(f"{values.mean():+.2f} points")
    assert row["interval"] == f"{interval.low:+.2f} to {interval.high:+.2f}"
    assert row["n"] == len(values) == 3
    assert row["verdict"] == verdict(p_for, p_against)


def test_the_ticket_matches_the_dense_network(judged, runs):
    gap, gain = runs["late"] - runs["dense"], runs["late"] - runs["early"]
    above, below = beside_a_margin(gap, gain)
    check(judged.loc["R1", ""], gap, [above], [below])
    assert judged.loc[("R1", ""), "margin"] == f"{np.clip(0.25 * gain.mean(), 0.5, 1):.2f}"
    assert judged.loc[("R1", ""), "verdict"] == "reproduced"


def test_whether_rewinding_to_0_falls_short(judged, runs):
    gain, gap = runs["late"] - runs["early"], runs["early"] - runs["dense"]
    above, below = beside_a_margin(gap, gain)
    more, less = p_of(gain, 0.5, "greater"), p_of(gain, 0.5, "less")
    check(judged.loc["R2", ""], gap, [more, below], [less, above])
    assert judged.loc[("R2", ""), "verdict"] == "inconclusive"


def test_rotation_is_as_good_as_rewinding(judged, runs):
    gap, gain = runs["rotation"] - runs["late"], runs["late"] - runs["early"]
    above, below = beside_a_margin(gap, gain)
    check(judged.loc["D2", "rewinding to k"], gap, [above], [below])
    assert p_of(gap, -inf, "greater") == 0 and judged.loc[("D2", "rewinding to k"), "verdict"] == "reproduced"
