from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas import DataFrame, Series, concat

from earlyphase.results.summaries import onset
from earlyphase.results.timeline import (
    EVENTS,
    RULES,
    before_decay,
    boundaries,
    event_row,
    phase_boundaries,
    plateau_level,
    rewinding_matches,
    smoothed,
    speed,
    subspace_formed,
    timeline,
    window_means,
)

PAPER = np.array([*range(51), *range(60, 501, 10), *range(550, 4000, 50)])
SHORT = np.arange(0, 240, 2)


def gradient_curve(iterations, *, minimum, plateau, burst=5.0, level=1.1):
    """Falls from `burst` + 1 to 1 at `minimum` and rises to `level` at `plateau`: parabolas; flat then."""
    fall = np.log((iterations + 1) / (minimum + 1)) / np.log(minimum + 1)
    rise = np.log((iterations + 1) / (minimum + 1)) / np.log((plateau + 1) / (minimum + 1))
    return 1 + np.where(fall < 0, burst * fall**2, (level - 1) * np.minimum(rise, 1) ** 2)


def distance_curve(iterations, *, slow_from):
    """Moves at speed 2, then at speed 0.5 from `slow_from` on."""
    return 2.0 * np.minimum(iterations, slow_from) + 0.5 * np.maximum(iterations - slow_from, 0)


def telemetry(iterations, seeds, rng, noise=0.0):
    tables = []
    for seed in seeds:
        gradient = gradient_curve(iterations, minimum=200, plateau=500, level=2.0)
        columns = {
            "seed": seed, "layer": "all", "iteration": iterations, "learning_rate": 0.1,
            "gradient_norm": gradient * np.exp(noise * rng.standard_normal(len(iterations))),
            "distance_initial": distance_curve(iterations, slow_from=1000),
        }  # fmt: skip
        tables += [DataFrame(columns), DataFrame(columns | {"layer": "fc.weight", "gradient_norm": 0.1})]
    return concat(tables, ignore_index=True)


UNEVEN = np.array([0, 1, 3, 4, 9, 10, 30, 31, 70, 100, 300, 310, 1000])


@pytest.mark.parametrize("iterations", [PAPER, SHORT, UNEVEN])
def test_smoothing_of_a_line_is_its_value_in_the_middle_of_the_window(iterations):
    """However the samples lie; the window is a factor of e^0.25 to both sides, in iteration + 1."""
    found = smoothed(iterations, 0.3 * iterations - 2)
    whole = (iterations + 1) * np.exp(0.25) - 1 <= iterations[-1]
    middle = (iterations + 1) * np.cosh(0.25) - 1
    np.testing.assert_allclose(found[whole][1:], (0.3 * middle - 2)[whole][1:])
    assert found[0] == -2
    start = (iterations[-1] + 1) * np.exp(-0.25) - 1  # the last window is half as long
    assert found[-1] == pytest.approx(0.3 * (start + iterations[-1]) / 2 - 2)


def test_samples_count_by_the_time_they_stand_for():
    """A step from 0 to 1 between 100 and 101, sampled densely after it and hardly before."""
    iterations = np.array([0, 50, 100, *range(101, 201), 300])
    found = smoothed(iterations, (iterations > 100).astype(float))
    start, stop = 101 * np.exp(-0.25) - 1, 101 * np.exp(0.25) - 1
    assert found[2] == pytest.approx((stop - 100.5) / (stop - start))  # by samples it would be 28 of 29
    mean = window_means(iterations, (iterations > 100) * 2.0, np.array([0.0]), np.array([300.0]))
    assert mean == pytest.approx(2 * 199.5 / 300)


def test_window_means_are_integrals(rng):
    values = rng.standard_normal(len(UNEVEN))
    start, stop = np.array([0.0, 0.4, 9.5, 200.0]), np.array([1000.0, 0.6, 77.0, 205.0])
    for mean, low, high in zip(window_means(UNEVEN, values, start, stop), start, stop, strict=True):
        inner = UNEVEN[(low < UNEVEN) & (high > UNEVEN)]
        times = np.array([low, *inner, high])
        area = np.trapezoid(np.interp(times, UNEVEN, values), times)
        assert mean == pytest.approx(area / (high - low))


def test_smoothing_leaves_the_first_iteration_and_constants_alone(rng):
    values = rng.standard_normal(len(PAPER))
    assert smoothed(PAPER, values)[0] == values[0]
    np.testing.assert_allclose(smoothed(PAPER, np.full(len(PAPER), 3.0)), 3.0)


def test_smoothing_averages_two_samples_and_more_from_iteration_4_on(rng):
    noise = rng.standard_normal((400, len(PAPER)))
    std = np.std([smoothed(PAPER, row) for row in noise], axis=0)
    inner = PAPER * np.exp(0.25) < PAPER[-1]
    assert std[(PAPER >= 4) & inner].max() < 1.15 / np.sqrt(2.5)
    assert std[(PAPER >= 1000) & inner].max() < 1.15 / np.sqrt(10)


@pytest.mark.parametrize(("minimum", "plateau"), [(100, 400), (200, 500), (350, 900)])
def test_finds_the_minimum_and_the_plateau_of_the_gradient(minimum, plateau):
    gradient = gradient_curve(PAPER, minimum=minimum, plateau=plateau)
    found = phase_boundaries(PAPER, gradient, distance_curve(PAPER, slow_from=2000))
    assert found["gradient_minimum"] == pytest.approx(minimum, rel=0.15)
    assert found["plateau_start"] == pytest.approx(plateau, rel=0.2)
    assert found["gradient_minimum"] < found["plateau_start"]


def test_the_plateau_begins_after_nine_tenths_of_the_rise():
    """Flat from 100 to 400 and a line from there on, whose mean over the later half is its value at 3000."""
    iterations = np.arange(4001)
    gradient = np.interp(iterations, [0, 100, 400, 4000], [6, 1, 1, 4.6])
    found = phase_boundaries(iterations, gradient, distance_curve(iterations, slow_from=2000))
    middle = 400 + 0.9 * (3000 - 400)  # of the window in which a line is averaged
    assert found["plateau_start"] == pytest.approx((middle + 1) / np.cosh(0.25) - 1, abs=1)


def test_the_burst_ends_halfway_down():
    gradient = gradient_curve(PAPER, minimum=99, plateau=500)
    found = phase_boundaries(PAPER, gradient, distance_curve(PAPER, slow_from=2000))
    assert found["burst_end"] == pytest.approx(100 ** (1 - np.sqrt(0.5)) - 1, abs=1)


def test_a_sharp_minimum_moves_by_less_than_the_window():
    axis = np.log1p([0, 200, 500])
    gradient = np.interp(np.log1p(PAPER), axis, [6, 1, 1.1])
    found = phase_boundaries(PAPER, gradient, distance_curve(PAPER, slow_from=2000))
    assert 200 <= found["gradient_minimum"] <= 200 * np.exp(0.25)


@pytest.mark.parametrize("slow_from", [800, 2000])
def test_finds_where_the_weights_slow_down(slow_from):
    gradient = gradient_curve(PAPER, minimum=200, plateau=500)
    found = phase_boundaries(PAPER, gradient, distance_curve(PAPER, slow_from=slow_from))
    assert found["deceleration"] == pytest.approx(slow_from, rel=0.25)


def test_weights_that_are_fastest_long_after_the_minimum_slow_down_after_that():
    """Speeds of 1, of 3 between 500 and 1000, and of 0.8: half of 3 is not to be confused with half of 1."""
    gradient = gradient_curve(PAPER, minimum=100, plateau=500)
    distances = np.interp(PAPER, [0, 500, 1000, 4000], [0, 500, 2000, 4400])
    found = phase_boundaries(PAPER, gradient, distances)
    assert found["deceleration"] == pytest.approx(1000, rel=0.25)


def test_speed_is_a_slope_and_the_plateau_a_mean_in_time_over_the_later_half():
    np.testing.assert_allclose(speed(PAPER, 0.3 * PAPER + 1), 0.3)
    areas = 10 * (1 + 2) / 2 + 40 * (2 + 6) / 2
    assert plateau_level(np.array([0, 10, 50, 60, 100]), np.array([9.0, 9, 1, 2, 6])) == pytest.approx(
        areas / 50
    )


@pytest.mark.parametrize("gradient", [np.linspace(5, 1, len(PAPER)), np.linspace(1, 5, len(PAPER))])
def test_a_minimum_at_the_edge_is_none(gradient):
    found = phase_boundaries(PAPER, gradient, distance_curve(PAPER, slow_from=2000))
    assert list(found) == list(RULES) and np.isnan(list(found.values())).all()


def test_a_run_that_is_too_short_diverged_or_never_slows_down_lacks_its_boundaries():
    gradient, distances = gradient_curve(PAPER, minimum=200, plateau=500), 2.0 * PAPER
    found = phase_boundaries(PAPER, gradient, distances)
    assert np.isnan(found["deceleration"]) and found["gradient_minimum"] > 0
    for count, norms in ((0, gradient), (2, gradient), (len(PAPER), np.append(gradient[:-1], np.nan))):
        found = phase_boundaries(PAPER[:count], norms[:count], distances[:count])
        assert np.isnan(list(found.values())).all()


def test_every_seed_has_its_row_and_only_the_first_learning_rate_counts(rng):
    table = telemetry(PAPER, [0, 1, 2], rng)
    later = table[table["iteration"] == 3950].assign(
        iteration=62_560, gradient_norm=np.nan, learning_rate=0.01
    )
    found = boundaries(concat([table, later], ignore_index=True).sample(frac=1, random_state=0))
    assert list(found["seed"]) == [0, 1, 2]
    assert list(found.columns) == ["seed", *RULES]
    assert found.drop(columns="seed").drop_duplicates().shape == (1, 4)
    assert found.notna().all(axis=None)
    for until in (60, 150, 210):  # too early to tell
        early = table[table["iteration"] < until]
        assert boundaries(early).drop(columns="seed").isna().all(axis=None)


@pytest.mark.parametrize(
    ("factor", "last"),
    [
        (np.ones_like(PAPER), 3950),  # to the end, of which the gradient is known here
        (np.where(PAPER < 1000, 1.0, 0.5), 950),
        (np.minimum(PAPER / 300, 1) * np.where(PAPER < 2000, 1.0, 0.1), 1950),  # warm-up counts
        ((1 + np.cos(np.pi * PAPER / 4000)) / 2, 1950),
    ],
)
def test_the_window_ends_where_the_learning_rate_has_fallen_to_half(rng, factor, last):
    table = telemetry(PAPER, [0], rng).query("layer == 'all' and iteration <= 3950")
    table = table.assign(learning_rate=0.1 * factor[PAPER <= 3950])
    assert before_decay(table)["iteration"].tolist() == [i for i in PAPER if i <= last]


def test_a_diverged_seed_is_nan_and_the_end_of_training_which_has_no_gradient_hides_nothing(rng):
    table = telemetry(PAPER, [0, 1], rng)
    end = table[table["iteration"] == 3950].assign(iteration=4000, gradient_norm=np.nan)
    assert boundaries(concat([table, end], ignore_index=True)).equals(boundaries(table))
    table.loc[(table["seed"] == 1) & (table["iteration"] > 900), "gradient_norm"] = np.nan
    found = boundaries(table).set_index("seed")
    assert found.loc[0].notna().all() and found.loc[1].isna().all()


def test_noise_is_survived(rng):
    minima = boundaries(telemetry(PAPER, range(5), rng, noise=0.2))["gradient_minimum"]
    assert minima.between(90, 350).all()


# Other events


def curvature(shares, overlaps, times=(0, 10, 100, 1000), seed=0):
    """Tables of one seed; `overlaps` are those of each time with the next, all others are 0.9."""
    rows = DataFrame({"seed": seed, "iteration": times, "gradient_share": shares})
    following = dict(zip(pairwise(times), overlaps, strict=True))
    pairs = [
        {"seed": seed, "earlier": one, "later": other, "overlap": following.get((one, other), 0.9)}
        for one, other in combinations(times, 2)
    ]
    return rows, DataFrame(pairs)


@pytest.mark.parametrize(
    ("shares", "overlaps", "formed"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0.1, 0.3, 0.7], (10, 100)),
        ([0.9, 0.9, 0.8, 0.9], [0.1, 0.6, 0.7], (0, 10)),  # the share alone does not do
        ([0.9, 0.9, 0.8, 0.9], [0.6, 0.4, 0.7], (10, 100)),  # it must last
        ([0.9, 0.9, 0.8, 0.9], [0.6, 0.6, 0.5], (0, 0)),
        ([0.9, 0.9, 0.4, 0.9], [0.6, 0.6, 0.5], None),
        ([0.9, 0.9, 0.9, 0.9], [0.6, 0.6, 0.4], None),
        ([0.9, 0.9, np.nan, np.nan], [0.6, np.nan, np.nan], None),
    ],
)
def test_the_subspace_has_formed_once_it_holds_and_lasts(shares, overlaps, formed):
    found = subspace_formed(*curvature(shares, overlaps))
    assert found["seed"].tolist() == [0]
    low, high = found["low"].item(), found["high"].item()
    assert np.isnan([low, high]).all() if formed is None else (low, high) == formed


def test_the_sample_s_batch_statistics_are_preferred(rng):
    """Running ones say that it formed at 10, those of the sample at 100."""
    running = curvature([0.1, 0.9, 0.9, 0.9], [0.1, 0.8, 0.7])
    sample = curvature([0.1, 0.2, 0.8, 0.9], [0.1, 0.3, 0.7])
    tables = {"telemetry": telemetry(PAPER, [0], rng)}
    for name, (one, other) in zip(("curvature", "pairs"), zip(running, sample, strict=True), strict=True):
        tables[name] = concat([one.assign(statistics="running"), other.assign(statistics="sample")])
    row = timeline(tables).set_index("event").loc["subspace_formed"]
    assert (row["low"], row["high"], row["mean"], row["n"]) == (10, 100, 100, 1)


def tickets(gaps, seeds=4, density=0.168, spread=0.001):
    """Dense network at 90 %, and tickets of each k that many points below it."""
    jitter = spread * np.linspace(-1, 1, seeds)
    dense = [{"seed": s, "iteration": 9, "accuracy": 0.9 + s / 100, "loss": 1.0} for s in range(seeds)]
    imp = [
        {"seed": s, "k": k, "round": 8, "density": density, "iteration": 9, "loss": 1.0,
         "accuracy": 0.9 + s / 100 - gap / 100 + jitter[s]}
        for k, gap in gaps.items()
        for s in range(seeds)
    ]  # fmt: skip
    return DataFrame(imp), DataFrame(dense)


@pytest.mark.parametrize(
    ("gaps", "k"),
    [
        ({0: 3, 100: 0.2, 500: 0, 2000: -1}, (0, 100)),
        ({0: 3, 100: 0.2, 500: 2, 2000: 0}, (500, 2000)),  # from that k on
        ({0: 0, 100: 0, 500: 0}, (0, 0)),
        ({100: 0, 500: 0}, (0, 100)),  # nothing is known before 100
        ({0: 3, 100: 0.45}, (np.nan, np.nan)),  # not shown with these seeds
    ],
)
def test_rewinding_matches_from_the_smallest_k(gaps, k):
    np.testing.assert_equal(rewinding_matches(*tickets(gaps)), k)


def test_rewinding_that_was_not_run_so_far_matches_nowhere():
    assert np.isnan(rewinding_matches(*tickets({0: 0, 100: 0}, density=0.3))).all()
    assert np.isnan(rewinding_matches(*tickets({0: 0, 100: 0}, seeds=1))).all()
    assert np.isnan(rewinding_matches(*tickets({0: 0, 100: 0}, spread=0))).all()  # no interval, no match


def test_the_timeline_summarises_over_seeds_and_says_what_was_not_found(rng):
    tables = {"telemetry": telemetry(PAPER, [0, 1], rng)}
    parts = [
        curvature([0.1, 0.9, 0.8, 0.9], [0.1, 0.8, 0.7], seed=0),  # between 0 and 10
        curvature([0.1, 0.2, 0.8, 0.9], [0.1, 0.3, 0.7], seed=1),  # between 10 and 100
        curvature([0] * 4, [0] * 3, seed=2),
    ]
    tables["curvature"], tables["pairs"] = (concat(column) for column in zip(*parts, strict=True))
    imp, dense = tickets({0: 3, 100: 0})
    tables |= {"imp": imp, "dense": dense}
    events = timeline(tables).set_index("event")
    others = {"critical_period_over", "dense_stable", "tickets_stable", "kernel_slow"}  # in tests of these
    assert list(events.index) == [name for name in EVENTS if name not in others]
    assert events["rule"].map(len).min() > 20
    formed, matches = events.loc["subspace_formed"], events.loc["rewinding_matches"]
    assert formed[["low", "high", "mean", "n", "not_found"]].tolist() == [0, 100, 55, 2, 1]
    assert np.isnan(formed["std"])
    assert (matches["low"], matches["high"], matches["n"], matches["not_found"]) == (0, 100, 4, 0)
    assert (events.loc["gradient_minimum", "n"], events.loc["gradient_minimum", "std"]) == (2, 0)


def test_an_event_is_summarised_over_the_seeds_in_which_it_was_found():
    row = event_row("burst_end", Series([40.0, 10, np.nan, 25, 65]))
    assert row == {
        "event": "burst_end", "mean": 35, "std": pytest.approx(np.sqrt((25 + 625 + 100 + 900) / 3)), "low": 10,
        "high": 65, "n": 4, "not_found": 1,
    }  # fmt: skip


@given(st.dictionaries(st.integers(0, 50), st.booleans(), max_size=6))
def test_an_onset_is_the_first_time_from_which_all_hold(holds):
    lasting = [time for time in holds if all(holds[later] for later in holds if later >= time)]
    before = [time for time in holds if lasting and time < min(lasting)]
    expected = (max(before, default=0), min(lasting)) if lasting else (np.nan, np.nan)
    np.testing.assert_equal(onset(holds), expected)
