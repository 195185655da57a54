from itertools import combinations

import numpy as np
import pytest
from pandas import concat

from earlyphase.errors import InvalidInput
from earlyphase.results.figures import figure as figures
from earlyphase.results.figures import render
from earlyphase.results.figures.subspace import subspace
from earlyphase.results.figures.telemetry import PANELS, diverged_seeds, telemetry
from earlyphase.results.figures.timeline import timeline
from earlyphase.results.timeline import EVENTS, LABELS, RULES
from test_claims_first_iterations import SEEDS, TIMES, study
from test_figures import check_declaration


@pytest.fixture
def tables(rng):
    tables = study()
    state = tables["telemetry"].assign(distance_final=5.0, cosine_initial=0.5, cosine_final=0.5)
    state["distance_final"] += state["seed"]
    tables["telemetry"] = concat([state, state.assign(layer="conv.weight", mean_magnitude=7.0)])
    names = tables["telemetry"][["dataset", "model", "task", "seed", "iteration"]].drop_duplicates()
    tables["traces"] = concat(
        [names.assign(layer="conv.weight", position=p, weight=p / 10) for p in range(10)], ignore_index=True
    )
    curvature = tables["curvature"]
    columns = {"minibatch_share": 0.5, "displacement_share": 0.1, "random_share": 1e-3, "chance": 1e-3}
    columns |= {"diverged": 0, "residual": 0.004, "sample": 500}
    columns |= {f"eigenvalue_{number}": 20.0 - number for number in range(1, 11)}
    tables["curvature"] = curvature.assign(**columns)
    tables["curvature"]["eigenvalue_1"] += curvature["seed"]
    times = sorted(curvature["iteration"].unique())
    pairs = tables["pairs"].assign(
        chance=1e-3, statistics="running", overlap=0.3 + tables["pairs"]["seed"] / 100
    )
    tables["pairs"] = concat(
        [pairs.assign(earlier=one, later=other) for one, other in combinations(times, 2)]
    )
    return tables


def diverge(tables, seed=3):
    """The tables with one seed whose run is not finite from iteration 900 on."""
    tables = {name: table.copy().reset_index(drop=True) for name, table in tables.items()}
    state = tables["telemetry"]
    numbers = ["mean_magnitude", "distance_initial", "distance_final", "gradient_norm", "sign_changes"]
    state.loc[(state["seed"] == seed) & (state["iteration"] > 900), numbers] = np.nan
    late = tables["curvature"]
    gone = (late["seed"] == seed) & (late["iteration"] > 900)
    late.loc[gone, "diverged"] = 1
    late.loc[gone, [name for name in late if name.startswith(("eigenvalue", "gradient"))]] = np.nan
    tables["pairs"].loc[tables["pairs"]["seed"] == seed, "overlap"] = np.nan
    return tables


@pytest.mark.parametrize("name", ["telemetry", "timeline", "subspace"])
def test_drawn_the_same_from_rows_in_any_order(tables, name):
    figure, points = figures[name](tables)
    mixed = {
        stage: table.sample(frac=1, random_state=1) if stage != "traces" else table
        for stage, table in tables.items()
    }
    again, same = figures[name](mixed)
    assert points.equals(same)
    if name == "timeline":  # the others draw nothing but their points, and take long to render
        assert render(figure, "svg") == render(again, "svg")
    else:
        assert points["n"].max() == SEEDS


def test_telemetry_shows_eight_panels_of_means_over_seeds(tables):
    figure, points = telemetry(tables)
    assert len(figure.axes) == len(PANELS) == 8
    assert all(ax.get_xlabel() == "Iteration" and ax.get_ylabel() for ax in figure.axes)
    curve = points[points["curve"] == "gradient_norm"].set_index("iteration")
    values = tables["telemetry"].query("layer == 'all' and iteration == 200")["gradient_norm"]
    assert curve.loc[200, "mean"] == pytest.approx(np.mean(values))
    assert curve.loc[200, "std"] == pytest.approx(np.std(values, ddof=1))
    assert f"n = {SEEDS} seeds" in figure.get_supxlabel()
    assert len(points[points["panel"] == "traces"]) == 10 * len(TIMES)


def test_one_layer_can_be_shown(tables):
    _, points = telemetry(tables, layer="conv.weight")
    assert set(points.loc[points["curve"] == "mean_magnitude", "mean"]) == {7.0}
    with pytest.raises(InvalidInput, match=r"layer is 'conv', which is not one of all, conv\.weight"):
        telemetry(tables, layer="conv")


def test_a_diverged_seed_is_drawn_alone_and_in_no_mean(tables):
    broken = diverge(tables)
    assert diverged_seeds(broken["telemetry"], broken["evaluations"]) == [3]
    figure, points = telemetry(broken)
    others = {name: table[table["seed"] != 3] for name, table in tables.items()}
    _, wanted = telemetry(others)
    assert points.drop(columns="diverged").equals(wanted.drop(columns="diverged"))
    assert "diverged, in no mean (seeds 3)" in figure.get_supxlabel()
    panel = figure.axes[2]
    assert any(line.get_marker() == "x" and line.get_xdata()[0] == 900 for line in panel.lines)
    for draw in (timeline, subspace):
        figure, points = draw(broken)
        assert "Left out, diverged: seeds 3" in figure.get_supxlabel()
        assert set(points["diverged"]) == {1}


def test_timeline_draws_every_event_with_its_rule(tables):
    figure, events = timeline(tables)
    assert set(LABELS) == set(EVENTS)
    assert list(events["event"]) == [*RULES, "subspace_formed"]
    below = figure.axes[1]
    labels = [text.get_text() for text in below.get_yticklabels()]
    assert labels == [LABELS[name] for name in events["event"]]
    found = events[events["n"] > 0]
    texts = [text.get_text() for text in below.texts]
    assert any(text.startswith(f"{found['mean'].iloc[1]:,.0f}") for text in texts)
    missing = events[events["n"] == 0]
    assert texts.count("not found") == len(missing)


def test_subspace_says_what_it_was_computed_on(tables):
    figure, points = subspace(tables)
    assert "batch norm by running statistics" in figure.legends[0].get_title().get_text()
    note = " ".join(figure.get_supxlabel().split())
    assert "500 training images; relative residuals of eigenvectors are at most 0.004." in note
    assert "holds 0.001 of the gradient" in note
    share = points[points["curve"] == "gradient_share"].set_index("iteration")
    assert share.loc[1000, "mean"] == pytest.approx(0.7)
    assert share.loc[0, "mean"] == pytest.approx(0.1)
    following = points[points["curve"] == "with the next"]
    assert sorted(following["iteration"]) == [0, 100, 700, 1000]
    assert following["mean"].tolist() == pytest.approx([0.32] * 4)


def with_sample_statistics(tables):
    """The tables with a second kind of statistics, under which less of the gradient is in the subspace."""
    other = {name: tables[name].assign(statistics="sample") for name in ("curvature", "pairs")}
    other["curvature"][["gradient_share", "minibatch_share", "eigenvalue_1"]] /= 2
    other["pairs"]["overlap"] = 0.9
    both = {name: concat([tables[name], table], ignore_index=True) for name, table in other.items()}
    return tables | both


def test_other_statistics_are_one_more_curve_and_in_no_mean(tables):
    both = with_sample_statistics(tables)
    figure, points = subspace(both)
    _, alone = subspace(tables)
    under_others = points["statistics"] == "sample"
    assert points[~under_others].reset_index(drop=True).equals(alone)
    assert set(points.loc[under_others, "curve"]) == {"gradient_share"}
    shares = points[points["curve"] == "gradient_share"].pivot(
        index="iteration", columns="statistics", values="mean"
    )
    assert shares["sample"].to_numpy() == pytest.approx(shares["running"].to_numpy() / 2)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["gradient, running statistics", "gradient, sample statistics"]
    assert "batch norm by running statistics" in figure.legends[0].get_title().get_text()


def test_the_statistics_that_stand_first_are_shown_in_all_panels(tables):
    both = with_sample_statistics(tables)
    later = {name: both[name].iloc[::-1] for name in ("curvature", "pairs")}
    figure, points = subspace(both | later)
    assert "batch norm by sample statistics" in figure.legends[0].get_title().get_text()
    assert set(points.loc[points["statistics"] == "running", "curve"]) == {"gradient_share"}
    assert points.loc[points["curve"] == "with the next", "mean"].tolist() == pytest.approx([0.9] * 4)


def test_a_state_that_diverged_under_one_kind_of_statistics_alone_is_in_no_mean(tables):
    both = with_sample_statistics(tables)
    curvature = both["curvature"]
    curvature.loc[(curvature["seed"] == 3) & (curvature["statistics"] == "sample"), "diverged"] = 1
    figure, points = subspace(both)
    assert "Left out, diverged: seeds 3" in figure.get_supxlabel()
    assert points["n"].max() == SEEDS - 1


def forming(tables):
    """The tables with a subspace that forms between iterations 100 and 700, in every seed."""
    return tables | {"pairs": tables["pairs"].assign(overlap=0.8)}


def test_a_time_that_is_known_to_the_grid_only_is_a_line_between_its_times(tables):
    figure, events = timeline(forming(tables))
    event = events.set_index("event").loc["subspace_formed"]
    assert (event["low"], event["high"], event["n"]) == (100, 700, SEEDS)
    below = figure.axes[1]
    place = list(events["event"]).index("subspace_formed")
    (line,) = [line for line in below.lines if len(line.get_xdata()) == 2]
    assert list(line.get_xdata()) == [100, 700]
    assert list(line.get_ydata()) == [place, place]
    assert len(below.containers) == (events["n"] > 0).sum() - 1  # it has no error bar
    assert "between 100 and 700" in [text.get_text() for text in below.texts]
    assert "Broad lines reach from the last measured time" in figure.get_supxlabel()
    assert "Broad lines" not in timeline(tables)[0].get_supxlabel()  # where it has not formed


def test_a_subspace_that_was_there_at_the_first_measured_time_is_a_dot(tables):
    formed = forming(tables)
    formed["curvature"] = formed["curvature"].assign(gradient_share=0.9)
    figure, events = timeline(formed)
    event = events.set_index("event").loc["subspace_formed"]
    assert event["low"] == event["high"] == event["mean"] == 0
    assert "0" in [text.get_text() for text in figure.axes[1].texts]
    assert len(figure.axes[1].containers) == (events["n"] > 0).sum()


def test_one_seed_is_drawn_and_says_so(tables):
    alone = {name: table[table["seed"] == 0] for name, table in tables.items()}
    for draw in (telemetry, subspace):
        figure, points = draw(alone)
        assert "One seed: no standard deviation" in figure.get_supxlabel()
        assert points["std"].isna().all()
    timeline(alone)


def with_beginnings(tables):
    """The tables with tickets, networks that learned something else first, and such as were harmed for a while."""
    dense = tables["dense"].assign(density=1.0)
    imp = concat([dense.assign(k=k, round=8, density=0.8**8) for k in (0, 100, 500)], ignore_index=True)
    rotation = {"pretraining": "rotation", "pretraining_task": "rotation", "pretraining_iterations": 400}
    whole = dense.assign(regime="base", deficit="supervised", first=0, end=0, stop=4000)
    return tables | {
        "dense": dense,
        "imp": imp,
        "pretrained_dense": dense.assign(**rotation),
        "pretrained_imp": imp.query("k == 0").assign(**rotation),
        "deficits": concat([whole, whole.assign(deficit="blur", first=100, end=200)], ignore_index=True),
        "stability": dense.assign(k=100, round=0, instability=0.01),
        "kernel": dense.assign(iteration=0, velocity=0.1),
    }


@pytest.mark.parametrize("name", ["telemetry", "timeline", "subspace"])
def test_a_figure_of_first_iterations_reads_what_it_declares(tables, name):
    check_declaration(name, with_beginnings(tables))


def test_shares_are_on_a_linear_axis_and_eigenvalues_on_a_logarithmic_one(tables):
    figure, points = subspace(tables)
    assert figure.axes[0].get_yscale() == "linear" and figure.axes[0].get_ylim() == (0, 1)
    drawn = {line.get_label() for line in figure.axes[0].get_lines()}
    assert "random_share" in set(points["curve"]) and not any("random" in label for label in drawn)
    (dots,) = [line for line in figure.axes[1].lines if line.get_marker() == "."]  # the largest of each seed
    assert (
        list(dots.get_ydata())
        == tables["curvature"].sort_values(["seed", "iteration"])["eigenvalue_1"].tolist()
    )
    assert figure.axes[1].get_yscale() == "log"


def test_bars_of_the_timeline_may_go_on_below_0(tables):
    assert "goes on below 0" not in timeline(tables)[0].get_supxlabel()
    tables["telemetry"]["iteration"] = tables["telemetry"]["iteration"].where(
        tables["telemetry"]["seed"] < SEEDS - 1, 20 * tables["telemetry"]["iteration"]
    )  # one seed is much later than the others
    figure, events = timeline(tables)
    found = events[events["n"] > 0]
    lows = found["mean"] - found["std"].fillna(0)
    assert (lows < 0).any()
    assert "A bar without an end on the left goes on below 0" in figure.get_supxlabel()
    below = figure.axes[1]
    drawn = [bars.lines[2][0].get_segments()[0][0][0] for bars in below.containers]
    assert drawn == pytest.approx(lows.tolist())
    figure.draw_without_rendering()
    edge = below.get_window_extent().x0
    assert all(text.get_window_extent().x0 >= edge for text in below.texts)
