import numpy as np
import pytest
from pandas import DataFrame, concat

from earlyphase.results.claims import of_network
from earlyphase.results.claims.claim import ANOTHER_NETWORK, NOT_AT_SCALE, NOT_CONFIGURED, UNDECIDABLE, NotRun
from earlyphase.results.claims.first_iterations import at_iteration, proportional_edges
from earlyphase.results.claims.judging import assess
from test_claims import KNOWN, Recording, judged, verdict

FIRST_ITERATIONS = [name for name in KNOWN if name[0] == "S"] + ["C1"]
GOOD, BAD, UNSURE = "reproduced", "not reproduced", "inconclusive"
FULL, SHORT = {"full": True, "paper_until": 62560}, {"paper_until": 0}
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
    *, signs=0.03, gradient=gradient_at, late=0.09, share=0.7, start=0.1, end=91.5, accuracy=None, sped=False,
    spread=0.01, statistics=("running",),
):  # fmt: skip
    """Tables of a dense run that the paper would recognise, with a spread of 1 % between seeds."""
    jitter = 1 + spread * np.array([-1.0, 0.5, 1.0, -0.5, 0.0])
    edges, moved = [0, 10, 500, 2000, 4000], [0, 0.01, 2, 20, 60] if sped else [0, 3, 18, 23, 25]
    evaluated = np.array([0, 100, 200, EPOCH, 400, 500, 1000, 2000, 3000, 4000])
    state, evaluations, curvature, pairs, dense = [], [], [], [], []
    for seed in range(SEEDS):
        name = NETWORK | {"seed": seed}
        times = TIMES * (1 + MOVED * seed)
        noisy = gradient(times) * jitter[seed]
        distance = np.interp(times, edges, moved)
        changes = signs * np.interp(times, edges, [0, 1, 6, 7, 7.3])
        levels = accuracy or [10, 55, 60, 79, 83]
        percent = np.interp(evaluated * (1 + MOVED * seed / 10), [0, 400, 500, 2000, 4000], levels)
        for at, time in enumerate(TIMES):
            state.append(name | {
                "iteration": time, "layer": "all", "learning_rate": 0.1, "gradient_norm": noisy[at],
                "distance_initial": distance[at] * jitter[seed], "sign_changes": changes[at] * jitter[seed],
                "mean_magnitude": 0.05 + time / 4e5 * jitter[seed],
            })  # fmt: skip
        for time, value in zip(evaluated, percent, strict=True):
            value = (value + 100 * (jitter[seed] - 1)) / 100
            course = {"iteration": time, "epochs": time / EPOCH, "accuracy": value, "loss": 1.0}
            evaluations.append(name | course)
        for time in (0, 100, 700, 1000, 2000):
            in_it = (share if time >= 700 else start) * jitter[seed]
            for kind in statistics:
                curvature.append(name | {
                    "iteration": time, "statistics": kind, "gradient_share": in_it, "minibatch_share": in_it / 10,
                })  # fmt: skip
        pairs.append(name | {"earlier": 500, "later": 2000, "sign_changes": late * jitter[seed]})
        last = end / 100 + (jitter[seed] - 1) / 100
        dense.append(name | {"iteration": 62_560, "accuracy": last, "loss": 0.3})
    tables = {
        "telemetry": state, "evaluations": evaluations, "curvature": curvature, "pairs": pairs, "dense": dense,
    }  # fmt: skip
    return {stage: DataFrame(rows) for stage, rows in tables.items()}


def test_the_papers_own_numbers_are_reproduced_in_its_own_training():
    found = {claim: verdict(claim, study(), FULL) for claim in FIRST_ITERATIONS}
    assert found == dict.fromkeys(FIRST_ITERATIONS, GOOD)


def test_a_number_is_asked_of_a_training_that_is_the_papers_up_to_its_iteration():
    """However it goes on: only the accuracy at the end needs all of it."""
    found = {claim: verdict(claim, study(), {"paper_until": 4000}) for claim in FIRST_ITERATIONS}
    assert found == dict.fromkeys(FIRST_ITERATIONS, GOOD) | {"S1": NOT_AT_SCALE}
    early = {claim: verdict(claim, study(), {"paper_until": 978}) for claim in ("S2", "S3", "S4", "S8")}
    assert early == {"S2": GOOD, "S3": NOT_AT_SCALE, "S4": GOOD, "S8": NOT_AT_SCALE}
    another = {claim: verdict(claim, study(), SHORT) for claim in ("S1", "S3", "S8")}
    assert set(another.values()) == {ANOTHER_NETWORK}
    assert "this training is the same for 978" in judged("S3", study(), {"paper_until": 978})["test"]


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
        ("C1", {"share": 0.7, "start": 0.9}),  # it lies there, and has not moved there
    ],
)
def test_another_truth_is_not_reproduced(claim, truth):
    said = verdict(claim, study(**truth), FULL)
    assert said == BAD or (claim == "S5" and said == UNSURE)  # without a minimum there is no interval


@pytest.mark.parametrize(
    ("claim", "truth"),
    [("S2", {"accuracy": [10, 30, 60, 79, 83]}), ("S4", {"gradient": rising}), ("S6", {"sped": True}),
     ("C1", {"share": 0.3})],
)  # fmt: skip
def test_in_another_network_claims_without_the_papers_numbers_are_judged(claim, truth):
    assert (verdict(claim, study(), SHORT), verdict(claim, study(**truth), SHORT)) == (GOOD, BAD)


def test_half_way_after_an_epoch_says_nothing_where_an_epoch_is_much_of_training():
    tables = study()
    assert verdict("S2", tables, SHORT) == GOOD
    tables["dense"]["iteration"] = 400
    row = judged("S2", tables, SHORT)
    assert row["verdict"] == NOT_AT_SCALE and "an epoch is 98% of this training" in row["test"]


def test_a_gradient_that_is_smallest_at_the_start_in_all_seeds_has_no_fall_to_test():
    row = judged("S5", study(gradient=rising), SHORT)
    assert (row["verdict"], row["measured"]) == (UNSURE, "start over the minimum, less 1")
    assert "all seeds have the same value" in row["test"]


def test_magnitudes_that_shrink_are_not_reproduced():
    tables = study()
    tables["telemetry"]["mean_magnitude"] = 0.1 - tables["telemetry"]["iteration"] / 1e5
    tables["telemetry"]["mean_magnitude"] += tables["telemetry"]["seed"] / 1e4
    assert verdict("S7", tables, SHORT) == BAD


@pytest.mark.parametrize("stage", ["telemetry", "evaluations", "curvature", "pairs"])
def test_what_was_not_measured_is_said_to_be_missing(stage):
    tables = study()
    del tables[stage]
    rows = {claim: judged(claim, tables, FULL) for claim in FIRST_ITERATIONS}
    missing = [row for row in rows.values() if row["verdict"] == NOT_CONFIGURED]
    assert missing and all(row["ours"] == "" for row in missing)
    assert [claim for claim, row in rows.items() if row["verdict"] in UNDECIDABLE] == [
        claim for claim in FIRST_ITERATIONS if stage in KNOWN[claim].reads
    ]


def test_a_diverged_seed_is_left_out_and_counted():
    tables = study()
    late = (tables["telemetry"]["seed"] == 3) & (tables["telemetry"]["iteration"] > 900)
    columns = ["gradient_norm", "distance_initial", "sign_changes", "mean_magnitude"]
    tables["telemetry"].loc[late, columns] = np.nan
    tables["curvature"].loc[tables["curvature"]["seed"] == 3, "gradient_share"] = np.nan
    for claim in ("S4", "S6", "S7", "C1"):
        row = judged(claim, tables, SHORT)
        assert row["n"] == 4 and "1 of 5 seeds left out" in row["test"], claim
    assert judged("S5", tables, SHORT)["n"] == 4


def values(claim, tables, facts=SHORT, **numbers):
    """What a claim measures: name -> values by seed."""
    network = of_network(tables, "cifar10", "resnet20", facts)
    reading = {"reading": KNOWN[claim].readings[0]} if KNOWN[claim].readings[0] else {}
    measured = KNOWN[claim].measure(network, **{**KNOWN[claim].numbers, **numbers, **reading})
    return {one.name: one.values for one in measured.quantities}


def test_noise_alone_is_no_rise_to_a_plateau(rng):
    """The minimum of each curve lies below its mean; where others have theirs, it does not on average."""

    def flat(times):
        return 1 + 0.2 * rng.standard_normal(len(times))

    rises = []
    for _ in range(20):
        rises.append(values("S5", study(gradient=flat))["plateau over the minimum, less 1"].mean())
    assert abs(np.mean(rises)) < 3 * np.std(rises) / np.sqrt(20) + 1


def test_contrasts_by_hand():
    tables = study(spread=0)
    growth = values("S7", tables)["growth from iteration 0 to 4,000"]
    assert growth.iloc[0] == pytest.approx(100 * 4000 / 4e5 / 0.05)
    burst = values("S4", tables)[
        "growth of the distance from the start, first 10 iterations over the rest, less 1"
    ]
    assert burst.iloc[0] == pytest.approx(100 * ((3 / 10) / (22 / 3990) - 1))
    slower = values("S6", tables, FULL)["distance from the start: loss of speed in iterations 500 to 2,000"]
    assert slower.iloc[0] == pytest.approx(100 * (18 / 500 - 5 / 1500) / (25 / 4000))
    state = tables["telemetry"]  # growth is from start to end and not a slope
    state["mean_magnitude"] = 0.05 + 0.01 * np.sqrt(state["iteration"] / 4000)
    assert values("S7", tables)["growth from iteration 0 to 4,000"].iloc[0] == pytest.approx(20)


def test_a_contrast_at_an_iteration_is_within_1_percent_of_it_and_says_where():
    measured = DataFrame({0: [1.0, 2.0, 3.0]}, index=[0, 1985, 2100])
    assert at_iteration(measured, 2000).name == 1985
    with pytest.raises(NotRun, match="within 1% of iteration 2,079; the nearest is 2,100"):
        at_iteration(measured, 2079)
    with pytest.raises(NotRun):
        at_iteration(measured, 10)  # iteration 0 is near, but not within 0.1 of it
    tables = study()
    tables["evaluations"]["iteration"] = tables["evaluations"]["iteration"].replace({2000: 1985})
    assert verdict("S3", tables, FULL) == GOOD
    tables["evaluations"]["iteration"] = tables["evaluations"]["iteration"].replace({1985: 1900})
    assert "the nearest is 1,900" in judged("S3", tables, FULL)["test"]


SHARES = KNOWN["S6"].numbers["shares"]


def test_the_spans_of_a_short_study_end_where_everything_was_measured():
    state = DataFrame({0: 0.0}, index=[0, 1, 2, 30, 31, 120, 125, 240])
    evaluated = DataFrame({0: 0.0}, index=[0, 31, 125, 200, 240, 320])
    assert proportional_edges([state, evaluated], SHARES) == [0, 31, 125, 240]
    for evaluations, why in (
        (evaluated.loc[[0, 240]], "too few"),
        (evaluated.loc[[200, 320]], "no iteration has both"),
    ):
        with pytest.raises(NotRun, match=why):
            proportional_edges([state, evaluations], SHARES)


def test_the_subspace_is_judged_under_the_samples_statistics_and_for_each_gradient():
    """Running statistics belong to no network that trains; and the images that made the Hessian share its noise."""
    tables = study(statistics=("running", "sample"))
    curvature = tables["curvature"]
    curvature.loc[curvature["statistics"] == "running", "gradient_share"] /= 3
    own, other = KNOWN["C1"].readings
    assert (verdict("C1", tables, SHORT, own), verdict("C1", tables, SHORT, other)) == (GOOD, BAD)
    assert judged("C1", tables, SHORT, other)["ours"] == "+7.00 %"
    tables["curvature"] = curvature[curvature["statistics"] == "running"]
    assert verdict("C1", tables, SHORT, own) == BAD


def test_signs_between_two_times_count_each_seed_once():
    """`pairs` has a row for each kind of batch statistics, with the same signs."""
    tables = study()
    once, pairs = judged("S8", tables, FULL), tables["pairs"]
    tables["pairs"] = concat([pairs.assign(statistics=kind) for kind in ("running", "sample")])
    assert once["n"] == SEEDS and judged("S8", tables, FULL) == once


def test_means_over_an_uneven_window_are_means_in_time():
    """A gradient of 1 but for the first ten iterations, sampled at every one of them, is 1 on average."""
    tables = study(gradient=lambda times: np.where(times < 10, 3.0, 1.0), spread=0)
    ratio = values("S4", tables)["gradient norm, first 10 iterations over the rest, less 1"]
    assert ratio.iloc[0] == pytest.approx(200)


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
    for ends, expected in ((inside, GOOD), (outside, BAD)):
        for value in ends:
            assert verdict(claim, study(spread=1e-4, **truth(value)), FULL) == expected


@pytest.mark.parametrize("claim", FIRST_ITERATIONS)
def test_a_claim_names_the_tables_that_it_reads(claim):
    network = of_network(study(), "cifar10", "resnet20")
    network.tables = Recording(network.tables)
    for network.facts in (FULL, SHORT):
        assess(network, KNOWN[claim], KNOWN[claim].readings[0])
    assert network.tables.read == set(KNOWN[claim].reads)


def test_half_of_the_final_accuracy_is_asked_for_after_one_epoch():
    tables = study(spread=0)
    evaluations = tables["evaluations"]
    after = evaluations.query(f"iteration == {EPOCH}").set_index("seed")["accuracy"]
    tables["evaluations"] = evaluations[evaluations["iteration"] <= 400]  # no second epoch is needed
    found = values("S2", tables)
    np.testing.assert_allclose(
        found[f"accuracy at iteration {EPOCH} minus half of the final"], 100 * after - 91.5 / 2
    )
    tables["evaluations"] = evaluations[evaluations["iteration"] < EPOCH]
    assert "whole epoch" in judged("S2", tables, SHORT)["test"]


def test_fall_and_rise_by_hand():
    """From 4 to a wide valley of 1, and up to 1.5."""

    def valley(times):
        return np.interp(np.log1p(times), np.log1p([0, 100, 1000, 1500, 4000]), [4, 1, 1, 1.5, 1.5])

    found = values("S5", study(gradient=valley, spread=0))
    np.testing.assert_allclose(found["start over the minimum, less 1"], 300)
    np.testing.assert_allclose(found["plateau over the minimum, less 1"], 50)
