"""The test of whether bfloat16 ends with the accuracies of float32: against statsmodels."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.weightstats import DescrStatsW

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import equivalence  # noqa: E402

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
