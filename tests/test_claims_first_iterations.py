import numpy as np
import pytest
from pandas import DataFrame, concat

from earlyphase.results.claims import judge
from earlyphase.results.claims.first_iterations import (
    accuracy_after_an_epoch,
    accuracy_minus,
    at_iteration,
    burst,
    fall_and_rise,
    growth_of_magnitude,
    means_in_time,
    proportional_edges,
    slowing,
)
from earlyphase.results.claims.judging import NotRun
from test_claims import CLAIMS, ENTRIES, Recording
from test_claims import verdict as assessed

FIRST_ITERATIONS = [name for name in CLAIMS if name[0] == "S"] + ["C1"]
FULL, SHORT = {"full_scale": True}, {"full_scale": False}
NETWORK = {"dataset": "cifar10", "model": "resnet20", "task": "supervised"}
TIMES = np.array([*range(51), *range(60, 501, 10), *range(550, 4001, 50)])
EPOCH = 391
SEEDS = 5
MOVED = 0.05  # how much earlier each seed is than the one before


def gradient_at(times, minimum=200, plateau=500, level=1.1):
    """Falls from 4 to 1 at the minimum, rises to `level` at the plateau, stays."""
    axis = np.log1p([0, minimum, plateau, 4000])
    return np.interp(np.log1p(times), axis, [4, 1, level, level])


def study(
    *,
    signs=0.03,
    gradient=gradient_at,
    late=0.09,
    share=0.7,
    end=91.5,
    accuracy=None,
    sped=False,
    spread=0.01,
    statistics=("running",),
):
    """Tables of a dense run that the paper would recognise, with a spread of 1 % between seeds."""
    jitter = 1 + spread * np.array([-1.0, 0.5, 1.0, -0.5, 0.0])
    edges, moved = [0, 10, 500, 2000, 4000], [0, 0.01, 2, 20, 60] if sped else [0, 3, 12, 20, 25]
    evaluated = np.array([0, 100, 200, EPOCH, 400, 500, 1000, 2000, 3000, 4000])
    state, evaluations, curvature, pairs, dense = [], [], [], [], []
    for seed in range(SEEDS):
        name = NETWORK | {"seed": seed}
        times = TIMES * (1 + MOVED * seed)
        noisy = gradient(times) * jitter[seed]
        distance = np.interp(times, edges, moved)
        changes = signs * np.interp(times, edges, [0, 1, 4, 6, 7])
        percent = np.interp(
            evaluated * (1 + MOVED * seed / 10), [0, 400, 500, 2000, 4000], accuracy or [10, 55, 60, 79, 83]
        )
        for at, time in enumerate(TIMES):
            state.append(name | {
                "iteration": time, "layer": "all", "learning_rate": 0.1, "gradient_norm": noisy[at],
                "distance_initial": distance[at] * jitter[seed], "sign_changes": changes[at] * jitter[seed],
                "mean_magnitude": 0.05 + time / 4e5 * jitter[seed],
            })  # fmt: skip
        for time, value in zip(evaluated, percent, strict=True):
            value = (value + 100 * (jitter[seed] - 1)) / 100
            evaluations.append(
                name | {"iteration": time, "epochs": time / EPOCH, "accuracy": value, "loss": 1.0}
            )
        for time in (0, 100, 700, 1000, 2000):
            in_it = share * jitter[seed] if time >= 700 else 0.1
            for kind in statistics:
                curvature.append(name | {"iteration": time, "statistics": kind, "gradient_share": in_it})
        pairs.append(name | {"earlier": 500, "later": 2000, "sign_changes": late * jitter[seed]})
        dense.append(
            name | {"iteration": 62_560, "accuracy": end / 100 + (jitter[seed] - 1) / 100, "loss": 0.3}
        )
    tables = {
        "telemetry": state, "evaluations": evaluations, "curvature": curvature, "pairs": pairs, "dense": dense,
    }  # fmt: skip
    return {stage: DataFrame(rows) for stage, rows in tables.items()}


def verdicts(tables, scale):
    table = judge(tables, scale)
    first = table.drop_duplicates("id").set_index("id")
    return first.loc[FIRST_ITERATIONS]


def test_the_papers_own_numbers_are_reproduced_at_full_scale():
    assert set(verdicts(study(), FULL)["verdict"]) == {"reproduced"}
    assert list(verdicts(study(), FULL).index) == ["S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "C1"]


def rising(times):
    return np.interp(times, [0, 4000], [1, 4])


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        ("S1", {"end": 90.5}),
        ("S2", {"accuracy": [10, 40, 60, 79, 83]}),
        ("S3", {"accuracy": [10, 55, 60, 70, 83]}),
        ("S4", {"signs": 0.09}),
        ("S4", {"gradient": rising}),
        ("S5", {"gradient": lambda times: gradient_at(times, minimum=900, plateau=1500)}),
        ("S5", {"gradient": lambda times: gradient_at(times, level=0.99)}),
        ("S6", {"sped": True}),
        ("S8", {"late": 0.2}),
        ("C1", {"share": 0.3}),
    ],
)
def test_another_truth_is_not_reproduced_at_full_scale(claim, truth):
    assert verdicts(study(**truth), FULL).loc[claim, "verdict"] in ("not reproduced", "inconclusive")
    if claim != "S5":  # without a minimum there is no interval
        assert verdicts(study(**truth), FULL).loc[claim, "verdict"] == "not reproduced"


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        ("S2", {"accuracy": [10, 30, 60, 79, 83]}),
        ("S4", {"gradient": rising}),
        ("S6", {"sped": True}),
        ("C1", {"share": 0.3}),
    ],
)
def test_short_verdicts_rest_on_signs(claim, truth):
    assert verdicts(study(), SHORT).loc[claim, "verdict"] == "reproduced"
    assert verdicts(study(**truth), SHORT).loc[claim, "verdict"] == "not reproduced"


def test_a_gradient_that_is_smallest_at_the_start_in_all_seeds_has_no_fall_to_test():
    row = verdicts(study(gradient=rising), SHORT).loc["S5"]
    assert row["verdict"] == "inconclusive"
    assert "start over the minimum, less 1: all seeds have the same value" in row["test"]


def test_what_has_no_counterpart_in_a_short_study_is_not_run_there():
    found = verdicts(study(), SHORT)["verdict"]
    assert list(found[found == "not run at this scale"].index) == ["S1", "S3", "S8"]


def test_magnitudes_that_shrink_are_not_reproduced():
    tables = study()
    tables["telemetry"]["mean_magnitude"] = 0.1 - tables["telemetry"]["iteration"] / 1e5
    tables["telemetry"]["mean_magnitude"] += tables["telemetry"]["seed"] / 1e4
    assert verdicts(tables, SHORT).loc["S7", "verdict"] == "not reproduced"


@pytest.mark.parametrize("stage", ["telemetry", "evaluations", "curvature", "pairs"])
def test_what_was_not_measured_is_said_to_be_missing(stage):
    tables = study()
    del tables[stage]
    for scale in (FULL, SHORT):
        found = verdicts(tables, scale)
        assert "not run at this scale" in set(found["verdict"])
        assert found.loc[found["verdict"] == "not run at this scale", "ours"].eq("").all()


def test_a_diverged_seed_is_left_out_and_counted():
    tables = study()
    late = (tables["telemetry"]["seed"] == 3) & (tables["telemetry"]["iteration"] > 900)
    tables["telemetry"].loc[late, ["gradient_norm", "distance_initial", "sign_changes", "mean_magnitude"]] = (
        np.nan
    )
    tables["curvature"].loc[tables["curvature"]["seed"] == 3, "gradient_share"] = np.nan
    found = verdicts(tables, SHORT)
    for claim in ("S4", "S6", "S7", "C1"):
        assert found.loc[claim, "n"] == 4, claim
        assert "1 of 5 seeds left out, a run diverged" in found.loc[claim, "test"], claim
    assert found.loc["S5", "n"] == 4


def test_noise_alone_is_no_rise_to_a_plateau(rng):
    """The minimum of each curve lies below its mean; where others have theirs, it does not on average."""

    def flat(times):
        return 1 + 0.2 * rng.standard_normal(len(times))

    rises = []
    for _ in range(20):
        found = fall_and_rise(study(gradient=flat))
        rises.append(found["plateau over the minimum, less 1"].mean())
    assert abs(np.mean(rises)) < 3 * np.std(rises) / np.sqrt(20) + 1


def test_contrasts_by_hand():
    tables = study(spread=0)
    grown = growth_of_magnitude(tables)
    assert grown["growth from iteration 0 to 4,000"].iloc[0] == pytest.approx(100 * 4000 / 4e5 / 0.05)
    speeds = burst(tables, first=10)["speed from the start, first 10 iterations over the rest"]
    assert speeds.iloc[0] == pytest.approx(100 * ((3 / 10) / (22 / 3990) - 1))
    slower = slowing(tables, edges=[0, 500, 2000, 4000])
    wanted = 100 * (12 / 500 - 8 / 1500) / (25 / 4000)
    assert slower["distance: loss of speed in iterations 500 to 2,000"].iloc[0] == pytest.approx(wanted)


def test_growth_is_from_start_to_end_and_not_a_slope():
    tables = study(spread=0)
    state = tables["telemetry"]
    state["mean_magnitude"] = 0.05 + 0.01 * np.sqrt(state["iteration"] / 4000)  # steep at first
    assert growth_of_magnitude(tables).iloc[0, 0] == pytest.approx(20)


def test_a_contrast_at_an_iteration_is_within_1_percent_of_it_and_says_where():
    values = DataFrame({0: [1.0, 2.0, 3.0]}, index=[0, 1985, 2100])
    assert at_iteration(values, 2000).name == 1985
    with pytest.raises(NotRun, match="within 1% of iteration 2,079; the nearest is 2,100"):
        at_iteration(values, 2079)
    with pytest.raises(NotRun):
        at_iteration(values, 10)  # iteration 0 is near, but not within 0.1 of it
    tables = study()
    tables["evaluations"]["iteration"] = tables["evaluations"]["iteration"].replace({2000: 1985})
    assert list(accuracy_minus(tables, iteration=2000, percent=80)) == [
        "accuracy at iteration 1,985 minus 80 %"
    ]
    tables["evaluations"]["iteration"] = tables["evaluations"]["iteration"].replace({1985: 1900})
    row = verdicts(tables, FULL).loc["S3"]
    assert row["verdict"] == "not run at this scale"
    assert "the nearest is 1,900" in row["test"]


SHARES = ENTRIES["S6"]["short"]["measure"]["shares"]


def test_the_spans_of_a_short_study_end_where_everything_was_measured():
    state = DataFrame({0: 0.0}, index=[0, 1, 2, 30, 31, 120, 125, 240])
    evaluated = DataFrame({0: 0.0}, index=[0, 31, 125, 200, 240, 320])
    assert proportional_edges([state, evaluated], SHARES) == [0, 31, 125, 240]
    with pytest.raises(NotRun, match="too few"):
        proportional_edges([state, evaluated.loc[[0, 240]]], SHARES)


def test_the_subspace_is_judged_for_each_kind_of_batch_statistics():
    """Running statistics belong to no network that trains: one kind says nothing of the other."""
    tables = study(statistics=("running", "sample"))
    curvature = tables["curvature"]
    curvature.loc[curvature["statistics"] == "running", "gradient_share"] /= 3
    rows = judge(tables, SHORT).query("id == 'C1'").set_index("reading")
    assert list(rows.index) == ["running statistics", "sample statistics"]
    assert list(rows["verdict"]) == ["not reproduced", "reproduced"]
    tables["curvature"] = curvature[curvature["statistics"] == "running"]
    row = judge(tables, SHORT).query("id == 'C1'").set_index("reading").loc["sample statistics"]
    assert row["verdict"] == "not run at this scale"
    assert "not computed with sample statistics" in row["test"]


def test_signs_between_two_times_count_each_seed_once():
    """`pairs` has a row for each kind of batch statistics, with the same signs."""
    tables = study()
    once = verdicts(tables, FULL).loc["S8"]
    pairs = tables["pairs"]
    tables["pairs"] = concat([pairs.assign(statistics=kind) for kind in ("running", "sample")])
    twice = verdicts(tables, FULL).loc["S8"]
    assert once["n"] == SEEDS
    assert twice.equals(once)


def test_means_over_an_uneven_window_are_means_in_time():
    """A gradient of 1 but for the first ten iterations, sampled at every one of them, is 1 on average."""
    tables = study(gradient=lambda times: np.where(times < 10, 3.0, 1.0), spread=0)
    ratio = burst(tables, first=10)["gradient norm, first 10 iterations over the rest"]
    assert ratio.iloc[0] == pytest.approx(200)


def verdict(claim, tables, scale):
    """What is said of a claim in its first reading; `verdicts` takes all claims."""
    return assessed(claim, tables, scale)["verdict"]


@pytest.mark.parametrize(
    ("claim", "truth", "inside", "outside"),
    [
        ("S1", lambda at: {"end": at}, (91.14, 91.86), (91.06, 91.94)),
        ("S2", lambda at: {"accuracy": [10, at, at, 79, 83]}, (48.2, 61.8), (47.8, 62.2)),
        ("S3", lambda at: {"accuracy": [10, 55, 60, at, at]}, (75.2, 84.8), (74.8, 85.2)),
        ("S4", lambda at: {"signs": at}, (0.0103, 0.058), (0.0097, 0.061)),
        ("S8", lambda at: {"late": at}, (0.051, 0.129), (0.049, 0.131)),
        ("C1", lambda at: {"share": at}, (0.51,), (0.49,)),
    ],
)
def test_targets_end_where_their_rules_say(claim, truth, inside, outside):
    for values, expected in ((inside, "reproduced"), (outside, "not reproduced")):
        for value in values:
            assert verdict(claim, study(spread=1e-4, **truth(value)), FULL) == expected


def test_growth_of_any_size_is_growth():
    tables = study()
    state = tables["telemetry"]
    state["mean_magnitude"] = 0.05 * (1 + 0.005 * state["iteration"] / 4000 * (1 + state["seed"] / 10))
    assert verdict("S7", tables, FULL) == verdict("S7", tables, SHORT) == "reproduced"


@pytest.mark.parametrize("claim", FIRST_ITERATIONS)
def test_a_claim_names_the_tables_that_it_reads(claim):
    tables = Recording(study())
    for scale in (FULL, SHORT):
        assessed(claim, tables, scale)
    assert tables.read == set(CLAIMS[claim].tables)


def test_quantities_are_said_in_their_units():
    """Of S5 the minimum is in iterations, the fall and the rise in %."""
    full, short = (verdicts(study(), scale)["ours"].str.partition(" ")[2] for scale in (FULL, SHORT))
    percent = dict.fromkeys(("S4", "S6", "S7", "S8", "C1"), "%")
    assert full.drop("S5").to_dict() == dict.fromkeys(("S1", "S2", "S3"), "points") | percent
    assert full["S5"] in ("iterations", "%")
    assert short[["S4", "S5", "S6", "S7", "C1"]].eq("%").all()


def test_half_of_the_final_accuracy_is_asked_for_after_one_epoch():
    tables = study(spread=0)
    evaluations = tables["evaluations"]
    after = evaluations.query(f"iteration == {EPOCH}").set_index("seed")["accuracy"]
    tables["evaluations"] = evaluations[evaluations["iteration"] <= 400]  # no second epoch is needed
    found = accuracy_after_an_epoch(tables)
    assert list(found) == [f"accuracy at iteration {EPOCH} minus half of the final"]
    np.testing.assert_allclose(found.iloc[:, 0], 100 * after - 91.5 / 2)
    tables["evaluations"] = evaluations[evaluations["iteration"] < EPOCH]
    with pytest.raises(NotRun, match="whole epoch"):
        accuracy_after_an_epoch(tables)


def test_fall_and_rise_by_hand():
    """From 4 to a wide valley of 1, and up to 1.5."""

    def valley(times):
        return np.interp(np.log1p(times), np.log1p([0, 100, 1000, 1500, 4000]), [4, 1, 1, 1.5, 1.5])

    found = fall_and_rise(study(gradient=valley, spread=0))
    np.testing.assert_allclose(found["start over the minimum, less 1"], 300)
    np.testing.assert_allclose(found["plateau over the minimum, less 1"], 50)


def test_means_in_time_need_two_samples():
    values = DataFrame({0: [1.0, 3.0]}, index=[0, 4])
    assert means_in_time(values)[0] == 2
    with pytest.raises(NotRun, match="too few samples"):
        means_in_time(values[:1])


def test_curves_without_a_common_iteration_have_no_spans():
    state, evaluated = DataFrame({0: 0.0}, index=[0, 1, 2]), DataFrame({0: 0.0}, index=[3, 5])
    with pytest.raises(NotRun, match="no iteration has both"):
        proportional_edges([state, evaluated], SHARES)
