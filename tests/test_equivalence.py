"""The test that lets `precision: auto` choose bfloat16: against statsmodels, and what becomes of its table."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from earlyphase.runtime import calibration

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import equivalence  # noqa: E402

MODEL = {"function": "resnet", "depth": 8, "width": 4}
DENSE, TICKET = (0, 0), (500, 2)  # k and round


def accuracies(seed, *, seeds=10, shift=0.0, spread=0.3):
    """Accuracies (%) of both precisions in a dense network and in a ticket; and densities."""
    draw = np.random.default_rng(seed)
    index = pd.MultiIndex.from_tuples(
        [(one, *which) for which in (DENSE, TICKET) for one in range(seeds)], names=equivalence.RUN
    )
    float32 = pd.Series(draw.normal(80, 1, len(index)), index)
    bfloat16 = float32 + draw.normal(shift, spread, len(index))
    return {"float32": float32, "bfloat16": bfloat16}, pd.Series(0.5, index)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("shift", "spread"), [(0.0, 0.3), (0.2, 0.6), (-0.5, 0.2), (3.0, 0.5)])
def test_judgements_are_those_of_two_one_sided_t_tests(seed, shift, spread):
    found, density = accuracies(seed, shift=shift, spread=spread)
    rows = list(equivalence.judged(found, density))
    assert [(row["k"], row["round"]) for row in rows] == [DENSE, TICKET]
    for row in rows:
        which = row["k"], row["round"]
        values = (found["bfloat16"] - found["float32"]).xs(which, level=["k", "round"]).to_numpy()
        expected = DescrStatsW(values)
        p, *_ = expected.ttost_mean(-0.5, 0.5)
        low, high = expected.tconfint_mean(alpha=0.1)
        assert row["p"] == pytest.approx(p, rel=0.006)  # three digits are kept
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-4)
        assert row["n"] == len(values)
        assert row["difference"] == pytest.approx(values.mean(), abs=1e-4)
        assert (row["verdict"] == "equivalent") == (p < 0.05)
        if row["verdict"] == "different":
            assert low > 0.5 or high < -0.5


def test_each_verdict_is_given_where_it_should_be():
    verdicts = {
        name: {row["verdict"] for row in equivalence.judged(*accuracies(0, **settings))}
        for name, settings in {
            "close": {"spread": 0.1}, "far": {"shift": 3.0}, "noisy": {"spread": 5.0}, "few": {"seeds": 2},
        }.items()
    }  # fmt: skip
    assert verdicts == {
        "close": {"equivalent"}, "far": {"different"}, "noisy": {"not shown"}, "few": {"not shown"}
    }  # fmt: skip


def test_a_run_that_diverged_is_left_out_and_counted():
    found, density = accuracies(0, spread=0.1)
    found["bfloat16"].iloc[3] = float("nan")
    dense, ticket = equivalence.judged(found, density)
    assert (dense["n"], ticket["n"]) == (9, 10)
    kept = found["float32"].xs(DENSE, level=["k", "round"]).drop(3)
    assert dense["float32"] == pytest.approx(kept.mean(), abs=1e-3)


def test_rows_replace_those_of_the_same_network_and_back_it(tmp_path):
    table = tmp_path / "equivalence.csv"
    table.write_text(calibration.EQUIVALENCE.read_text().split("\n")[0] + "\n")
    about = {"network": json.dumps(MODEL, sort_keys=True), "dataset": "digits", "iterations": 400}
    made = {"torch": "2", "processor": "one"}

    def write(about, **settings):
        rows = [about | row | made for row in equivalence.judged(*accuracies(0, **settings))]
        equivalence.replaced(table, rows)

    write(about, spread=5.0)
    assert calibration.not_backed(MODEL, table).startswith("2 of 2 tests do not show equal accuracies")
    write(about, spread=0.1)
    assert len(pd.read_csv(table)) == 2
    assert not calibration.not_backed(MODEL, table)
    write(about | {"network": json.dumps({"function": "other"})}, spread=5.0)
    assert len(pd.read_csv(table)) == 4
    assert not calibration.not_backed(MODEL, table)
    write(about | {"dataset": "cifar10"}, spread=5.0)  # on other images the same network is not the same
    assert calibration.not_backed(MODEL, table).startswith("2 of 4 tests do not show")
    written = list(pd.read_csv(table).columns)
    assert written == calibration.EQUIVALENCE.read_text().split("\n")[0].split(",")
