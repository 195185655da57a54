"""Sparse double descent: its figure, and its claim where the truth is known."""

from itertools import combinations

import numpy as np
import pytest
from pandas import DataFrame

from assigned import read_study
from earlyphase.results.claims.noisy_labels import peak_and_valley
from earlyphase.results.figures.double_descent import double_descent
from earlyphase.stages.figure import left_out
from test_claims import SHORT, judged

TWICE = (43, 44, 46, 49, 44, 39, 42, 50)  # error in %, by round
U_SHAPED = (43, 42, 41, 39, 38, 39, 42, 50)
RISING = (43, 43.5, 44, 45, 46, 47, 49, 50)


def tables(errors, seeds=6, task="noisy_labels_40", noise=0.3):
    drawn = np.random.default_rng(1).normal(0, noise, (seeds, len(errors)))
    rows = [
        {"dataset": "d", "model": "m", "task": task, "seed": seed, "k": 0, "round": number, "density": 0.64**number,
         "iteration": 9, "loss": 1.0, "accuracy": 1 - (error + drawn[seed, number]) / 100}
        for seed in range(seeds)
        for number, error in enumerate(errors)
    ]  # fmt: skip
    table = DataFrame(rows)
    return {
        "dense": table[table["round"] == 0].drop(columns=["k", "round"]),
        "imp": table[table["round"] > 0],
    }


@pytest.mark.parametrize(
    ("errors", "expected"),
    [(TWICE, "reproduced"), (U_SHAPED, "not reproduced"), (RISING, "not reproduced"), (TWICE[:3], "not run")],
)
def test_only_a_second_descent_is_one(errors, expected):
    found = judged("D12", tables(errors), SHORT)
    assert found["verdict"].startswith(expected)
    if errors is TWICE:
        assert "peak at 26.2% of the weights, falls to a valley at 10.7%" in found["statement"]


def test_networks_that_learned_true_labels_are_not_judged():
    found = judged("D12", tables(TWICE, task="supervised"), SHORT)
    assert found["verdict"] == "not run: not configured"
    assert found["test"] == "the task is supervised, none of noisy_labels, noisy_labels_40"


def test_peak_and_valley_are_the_most_certain_ones(rng):
    """Beside a search of every pair by hand."""
    for _ in range(20):
        errors = DataFrame(rng.normal(size=(3, 8)))
        mean = [sum(errors[number]) / 3 for number in range(8)]
        clear = {
            (peak, valley): min(mean[peak] - mean[0], mean[peak] - mean[valley], mean[7] - mean[valley])
            for peak, valley in combinations(range(1, 7), 2)
        }
        assert clear[peak_and_valley(errors)] == pytest.approx(max(clear.values()))


def test_where_the_error_is_flat_a_second_descent_is_rarely_seen():
    """Peak and valley are chosen by the other seeds, so that noise alone passes no more often than it says."""
    studies, seen = 150, 0
    for number in range(studies):
        drawn = np.random.default_rng(number).normal(0, 1, (5, 9))
        found = tables((43,) * 9, seeds=5, noise=0)
        for seed in range(5):
            found["dense"].loc[found["dense"]["seed"] == seed, "accuracy"] = 0.57 - drawn[seed, 0] / 100
            found["imp"].loc[found["imp"]["seed"] == seed, "accuracy"] = 0.57 - drawn[seed, 1:] / 100
        seen += judged("D12", found, SHORT)["verdict"] == "reproduced"
    assert seen <= 0.06 * studies


def test_the_figure_shows_errors_of_networks_with_wrong_labels_alone():
    drawn, points = double_descent(tables(TWICE))
    by_round = points.set_index("round")["mean"]
    assert [100 * by_round[number] for number in range(len(TWICE))] == pytest.approx(TWICE, abs=0.5)
    assert drawn.axes[0].get_ylabel() == "Test error (%)"
    said = " ".join(left_out(read_study()))
    assert "double_descent: it is of networks that learn noisy_labels" in said
    runs = [{"dataset": "photo_digits", "model": "resnet8", "task": "noisy_labels_40"}]
    assert "double_descent" not in " ".join(left_out(read_study(runs=runs)))
