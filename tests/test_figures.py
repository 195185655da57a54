import statistics
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.container import ErrorbarContainer
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.figures import FIGURES, curve_styles, plain, render, rewinding, seeds_note

KS, ROUNDS, SEEDS = (0, 100, 500), 6, 3


def evaluation(seed, accuracy, iteration=400, **run):
    named = {"dataset": "digits", "model": "resnet8", "seed": seed, "task": "supervised"}
    return named | run | {"iteration": iteration, "accuracy": accuracy, "loss": 1 - accuracy}


def imp_run(seed, k, imp_round, accuracy, **other):
    return evaluation(seed, accuracy, k=k, round=imp_round, density=0.8**imp_round, **other)


def make_tables(ks=KS, rounds=ROUNDS, seeds=SEEDS):
    draw = np.random.default_rng(0).normal(0.9, 0.01, (seeds, len(ks), rounds + 1))
    imp = [
        imp_run(seed, k, imp_round, draw[seed, i, imp_round])
        for seed in range(seeds)
        for i, k in enumerate(ks)
        for imp_round in range(1, rounds + 1)
    ]
    return {"imp": DataFrame(imp), "dense": DataFrame([evaluation(s, draw[s, 0, 0]) for s in range(seeds)])}


@pytest.fixture
def tables():
    return make_tables()


def error_bars(ax):
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def point(points, k, imp_round):
    return points[(points["k"] == k) & (points["round"] == imp_round)].iloc[0]


def test_axis_is_logarithmic_and_falls_from_100(tables):
    (ax,) = rewinding(tables)[0].axes
    left, right = ax.get_xlim()
    assert ax.get_xscale() == "log"
    assert left > 100 > right
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "64", "41", "26.2"]
    assert "(%)" in ax.get_xlabel()
    assert "(%)" in ax.get_ylabel()


def test_every_point_has_an_error_bar_of_one_sample_standard_deviation(tables):
    figure, points = rewinding(tables)
    curves = error_bars(figure.axes[0])
    assert [curve.get_label() for curve in curves] == ["k = 0", "k = 100", "k = 500"]
    for k, curve in zip(KS, curves, strict=True):
        (bars,) = curve.lines[2]
        assert len(bars.get_segments()) == ROUNDS
        for imp_round, ((_, low), (_, high)) in enumerate(bars.get_segments(), start=1):
            imp = tables["imp"]
            seeds = imp[(imp["k"] == k) & (imp["round"] == imp_round)]["accuracy"]
            assert (high - low) / 2 == pytest.approx(100 * statistics.stdev(seeds))
            assert (high + low) / 2 == pytest.approx(100 * statistics.mean(seeds))
            row = point(points, k, imp_round)
            assert (row["mean"], row["std"]) == pytest.approx(
                (statistics.mean(seeds), statistics.stdev(seeds))
            )
            assert (row["n"], row["diverged"]) == (SEEDS, 0)


def test_points_are_the_dense_network_then_one_for_each_k_and_round(tables):
    _, points = rewinding(tables)
    assert len(points) == 1 + len(KS) * ROUNDS
    assert points["k"].isna().tolist() == [True] + [False] * (len(points) - 1)
    assert points["density"].iloc[0] == 1
    assert points["std"].iloc[0] == pytest.approx(statistics.stdev(tables["dense"]["accuracy"]))


def test_shown_densities_stay_within_half_a_round_of_the_true_ones():
    figure, points = rewinding(make_tables(ks=(0, 10, 50, 100, 250, 500, 1000, 2000, 4000)))
    for curve, (_, shown) in zip(error_bars(figure.axes[0]), points.groupby("k"), strict=True):
        steps = np.log(curve.lines[0].get_xdata().astype(float) / (100 * shown["density"])) / np.log(0.8)
        assert np.abs(steps).max() <= 0.3 + 1e-9


def test_last_evaluation_counts_and_not_the_best(tables):
    earlier = tables["imp"].assign(iteration=200, accuracy=0.99)
    with_earlier = {**tables, "imp": concat([tables["imp"], earlier])}
    assert rewinding(with_earlier)[1].equals(rewinding(tables)[1])


def test_other_tasks_are_left_out(tables):
    other = {
        name: concat([table, table.assign(task="rotation", accuracy=0.1)]) for name, table in tables.items()
    }
    assert rewinding(other)[1].equals(rewinding(tables)[1])


@pytest.mark.parametrize("column", ["accuracy", "loss"])
def test_diverged_run_is_left_out_counted_and_marked(tables, column):
    imp = tables["imp"]
    lost = (imp["k"] == 100) & (imp["round"] == 4) & (imp["seed"] == 1)
    imp.loc[lost, column] = float("nan")
    figure, points = rewinding(tables)
    row = point(points, 100, 4)
    others = imp[(imp["k"] == 100) & (imp["round"] == 4) & (imp["seed"] != 1)]["accuracy"]
    assert (row["n"], row["diverged"]) == (2, 1)
    assert row["mean"] == pytest.approx(statistics.mean(others))
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == 1
    note = figure.get_supxlabel()
    assert "n = 2 to 3 seeds" in note
    assert "1 diverged run" in note


def test_point_where_every_seed_diverged_is_kept_as_missing(tables):
    imp = tables["imp"]
    imp.loc[(imp["k"] == 0) & (imp["round"] == ROUNDS), "accuracy"] = float("nan")
    figure, points = rewinding(tables)
    row = point(points, 0, ROUNDS)
    assert np.isnan(row["mean"])
    assert (row["n"], row["diverged"]) == (0, SEEDS)
    assert "n = 3 seeds" in figure.get_supxlabel()


def test_one_seed_has_no_bars_and_says_so():
    figure, points = rewinding(make_tables(seeds=1))
    assert all(not curve.lines[2] for curve in error_bars(figure.axes[0]))
    assert figure.get_supxlabel() == "One seed: no error bars"
    assert points["std"].isna().all()
    assert render(figure, "png").startswith(b"\x89PNG")


def test_networks_are_never_averaged_together(tables):
    both = {name: concat([table, table.assign(model="vgg", accuracy=0.5)]) for name, table in tables.items()}
    figure, points = rewinding(both)
    assert [ax.get_title("left") for ax in figure.axes] == ["resnet8, digits", "vgg, digits"]
    alone = points[points["model"] == "resnet8"].reset_index(drop=True)
    assert alone.equals(rewinding(tables)[1])


def test_no_supervised_run_is_said_in_words(tables):
    tables["imp"]["task"] = "rotation"
    with pytest.raises(InvalidInput, match="no supervised run"):
        rewinding(tables)


@pytest.mark.parametrize("file_format", ["svg", "png", "pdf"])
def test_same_tables_give_the_same_bytes(tables, file_format):
    first = render(rewinding(tables)[0], file_format)
    with rc_context({"font.size": 20, "svg.hashsalt": None}):  # what a user's own settings might say
        second = render(rewinding(tables)[0], file_format)
    assert first == second


def test_every_row_order_gives_the_same_bytes(tables):
    shuffled = {name: table.sample(frac=1, random_state=0) for name, table in tables.items()}
    assert render(rewinding(tables)[0], "svg") == render(rewinding(shuffled)[0], "svg")


def test_ten_curves_differ_without_colour_and_lighten_in_grey():
    styles = list(curve_styles([str(i) for i in range(10)]).values())
    shapes = {(s["marker"], isinstance(s["markerfacecolor"], str), s["linestyle"]) for s in styles}
    luminance = [s["color"][:3] @ [0.299, 0.587, 0.114] for s in styles]
    assert len(shapes) == 10
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize(
    ("percent", "text"), [(100, "100"), (51.2, "51.2"), (40.96, "41"), (6.87, "6.9"), (0.352, "0.35")]
)
def test_ticks_are_plain_numbers(percent, text):
    assert plain(percent) == text


def test_note_when_nothing_is_left():
    assert seeds_note(DataFrame({"n": [0, 0], "diverged": [2, 1]})).startswith("Every run diverged")


def test_registered_and_free_of_slow_imports():
    assert "rewinding" in FIGURES
    slow = "{'torch', 'matplotlib.pyplot', 'scipy.stats', 'scipy.special'}"
    program = f"import sys, earlyphase.figures; print({slow} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
