"""What tables of deficits become: losses within seeds, figures, claims, the end of the critical period."""

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from pandas import DataFrame, concat
from scipy import stats

from earlyphase.errors import InvalidInput
from earlyphase.results.claims import of_network
from earlyphase.results.claims.claim import NOT_CONFIGURED
from earlyphase.results.claims.critical_periods import changes, time_of_loss
from earlyphase.results.claims.judging import assess
from earlyphase.results.deficits import clean_runs, losses, period_end, shifts
from earlyphase.results.figures.critical_periods import regularisation, removal, windows
from earlyphase.results.timeline import EVENTS, timeline
from test_claims import KNOWN
from test_timeline import PAPER, telemetry

SEEDS, LENGTH = 5, 480
SHARED = 2.0 * np.array([-1.0, 0.3, 1.0, -0.8, 0.5])  # points that a seed adds to every run


def runs(
    percent,
    regime="base",
    deficit="blur",
    window=(0, 0),
    stop=LENGTH,
    *,
    model="resnet8",
    spread=0.05,
    seeds=SEEDS,
):
    """A run per seed, with an evaluation at iteration 160 that no result is taken from, and one at the end."""
    number = [*map(ord, f"{regime}{deficit}{model}"), *window, stop]
    noise = np.random.default_rng(number).standard_normal(seeds) * spread
    accuracy = (percent + SHARED[:seeds] + noise) / 100
    named = {
        "dataset": "digits", "model": model, "task": "supervised", "regime": regime, "first": window[0],
        "end": window[1], "stop": stop, "deficit": deficit if window[1] else "supervised",
        "seed": range(seeds), "density": 1.0,
    }  # fmt: skip
    return concat(
        DataFrame(named | {"iteration": at, "accuracy": values, "loss": 1 - values})
        for at, values in ((160, accuracy / 2), (stop, accuracy))
    )


def removed(percent, at, **other):
    return runs(percent, window=(0, at), stop=LENGTH + at, **other)


def within(percent, onset, length=96, **other):
    return runs(percent, window=(onset, onset + length), **other)


def table(*parts):
    return concat([runs(90.0), *parts], ignore_index=True)


PAPER_LIKE = table(
    removed(88.0, 120), removed(86.0, 240), removed(89.9, 120, regime="restarted"), removed(89.8, 240, regime="restarted"),
    within(85.0, 0), within(87.0, 96), within(89.9, 192), within(90.0, 288), within(89.9, 0, deficit="vertical_flip"),
    runs(80.0, "no_weight_decay"), runs(89.9, "no_weight_decay-240-480"), runs(80.1, "no_weight_decay-0-240"),
    runs(95.0, "augmented"), runs(94.8, "augmented-0-240"), runs(90.2, "augmented-240-480"),
)  # fmt: skip


# Losses


def test_a_loss_is_within_the_seed_and_regime():
    augmented = runs(80.0, "augmented", spread=0), removed(78.0, 60, regime="augmented", spread=0)
    regular = table(removed(85.0, 60, spread=0), *augmented)
    found = losses(regular.assign(accuracy=regular["accuracy"].round(6)))
    assert len(found) == 2 * SEEDS
    clean = clean_runs(regular).set_index(["regime", "seed"])["accuracy"]
    for _, row in found.iterrows():
        assert row["lost"] == pytest.approx(clean[row["regime"], row["seed"]] - row["accuracy"], abs=1e-5)
    augmented = found[found["regime"] == "augmented"]["lost"]
    assert 100 * augmented.mean() == pytest.approx(2.0, abs=1e-3)
    assert augmented.std() < 1e-5  # what a seed does to both is gone


def test_a_regime_of_the_schedule_alone_is_compared_with_the_base_s_clean_training():
    found = losses(table(removed(85.0, 60, regime="restarted", spread=0)))
    base = clean_runs(table()).set_index("seed")["accuracy"]
    assert (found["clean"] == found["seed"].map(base)).all()


def test_a_diverged_run_has_no_loss_and_a_diverged_clean_one_makes_none():
    whole = table(removed(85.0, 60), removed(80.0, 90))
    last = whole["iteration"] == whole["stop"]
    for end, without in ((60, {60}), (0, {60, 90})):
        lost = last & (whole["end"] == end) & (whole["seed"] == 1)
        missing = losses(whole.assign(accuracy=whole["accuracy"].mask(lost)))
        missing = missing[missing["lost"].isna()]
        assert set(missing["seed"]) == {1} and set(missing["end"]) == without
    found = losses(
        whole[(whole["end"] > 0) | (whole["seed"] > 1)]
    )  # where the clean one was not run, there is none
    assert set(found["seed"]) == {2, 3, 4}


@pytest.mark.parametrize(
    ("window", "stop", "protocol"),
    [
        ((0, 60), 540, "removal"),
        ((0, 60), 480, "window"),
        ((60, 120), 480, "window"),
        ((0, 480), 480, "window"),
    ],
)
def test_a_protocol_is_told_by_the_length_of_training(window, stop, protocol):
    found = losses(table(runs(85.0, window=window, stop=stop)))
    assert set(found["protocol"]) == {protocol}


def test_a_shift_compares_the_same_window_in_the_same_seed():
    both = removed(85.0, 60, spread=0), removed(88.0, 60, regime="restarted", spread=0)
    found = shifts(table(*both, within(80.0, 0)))
    assert 100 * found["shift"].to_numpy() == pytest.approx([-3.0] * SEEDS)


# The end of the critical period

ONSETS = (0, 96, 192, 288)


@pytest.mark.parametrize(
    ("accuracies", "low", "high"),
    [
        ((85, 87, 90, 90), 96, 192),
        ((90, 90, 90, 90), 0, 0),
        ((90, 85, 90, 90), 96, 192),  # from then on: what costs nothing before is not the end
        ((85, 87, 89, 89.3), np.nan, np.nan),
        ((85, 87, 89, 90), 192, 288),
        ((85, 99, 90, 90), 0, 96),  # a gain is no loss
    ],
)
def test_the_period_ends_where_no_later_window_costs_anything(accuracies, low, high):
    parts = [within(percent, onset) for onset, percent in zip(ONSETS, accuracies, strict=True)]
    found = period_end(table(*parts, within(50.0, 384, deficit="relabelled"), removed(50.0, 400)))
    np.testing.assert_equal((found["low"], found["high"], found["n"]), (low, high, SEEDS))


def test_the_margin_is_half_a_point_by_the_interval():
    for percent, spread in ((89.45, 0.05), (89.55, 0.05), (89.9, 1.5)):
        whole = table(within(percent, 0, spread=spread))
        lost = losses(whole)["lost"]
        bound = stats.t.interval(0.95, SEEDS - 1, lost.mean(), stats.sem(lost))[1]
        assert (period_end(whole)["high"] == 0) == (bound < 0.005)


def test_one_seed_no_window_or_a_control_ends_no_period():
    alone = concat([runs(90.0, seeds=1), within(90.0, 0, seeds=1)])
    assert np.isnan(period_end(alone)["high"])
    for part in (removed(80.0, 60), within(80.0, 0).assign(deficit="supervised")):
        nothing = period_end(table(part))
        assert np.isnan(nothing["high"]) and nothing["n"] == 0


def test_the_timeline_has_the_end_of_the_period_where_windows_were_run(rng):
    watched = telemetry(PAPER, range(SEEDS), rng)
    event = (
        timeline({"telemetry": watched, "deficits": PAPER_LIKE})
        .set_index("event")
        .loc["critical_period_over"]
    )
    assert event[["low", "mean", "high", "n", "not_found"]].tolist() == [96, 192, 192, SEEDS, 0]
    assert event["rule"] == EVENTS["critical_period_over"]
    without = timeline({"telemetry": watched, "deficits": table(removed(80.0, 60))})
    assert "critical_period_over" not in set(without["event"])
    never = timeline({"telemetry": watched, "deficits": table(within(80.0, 0))}).set_index("event")
    assert never.loc["critical_period_over", ["n", "not_found"]].tolist() == [0, SEEDS]


# Figures


def error_bars(ax):
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def heights(container):
    return container.lines[0].get_ydata()


def half_lengths(container):
    (bars,) = container.lines[2]
    return [(high - low) / 2 for (_, low), (_, high) in bars.get_segments()]


def test_removal_shows_accuracy_by_time_and_the_shift_with_its_error():
    figure, points = removal({"deficits": PAPER_LIKE})
    base, restarted, shift = figure.axes
    (curve,) = error_bars(base)
    final = PAPER_LIKE[PAPER_LIKE["iteration"] == PAPER_LIKE["stop"]]
    for place, (end, stop) in enumerate(((0, 480), (120, 600), (240, 720))):
        chosen = (final["regime"] == "base") & (final["end"] == end) & (final["stop"] == stop)
        seeds = final[chosen]["accuracy"]
        assert heights(curve)[place] == pytest.approx(100 * seeds.mean())
        assert half_lengths(curve)[place] == pytest.approx(100 * seeds.std(ddof=1))
    (moved,) = error_bars(shift)
    differences = shifts(PAPER_LIKE).query("protocol == 'removal'").groupby("end")["shift"]
    assert heights(moved) == pytest.approx(100 * differences.mean().to_numpy())
    assert half_lengths(moved) == pytest.approx(100 * differences.std().to_numpy())
    assert "iteration" in base.get_xlabel()
    assert "(%)" in base.get_ylabel()
    assert "(points)" in shift.get_ylabel()
    assert restarted.get_title(loc="left") == "resnet8: restarted"
    assert set(points["stop"]) == {480, 600, 720}
    assert f"n = {SEEDS} seeds" in figure.get_supxlabel()
    for ax in (base, restarted):  # one scale, on which every bar of both panels can be seen
        low, high = ax.get_ylim()
        assert (low, high) == base.get_ylim()
        ends = [segment[:, 1] for curve in error_bars(ax) for segment in curve.lines[2][0].get_segments()]
        assert low < np.min(ends) and np.max(ends) < high


def test_removal_compares_another_model_with_the_first():
    other = runs(70.0, model="tiny"), removed(60.0, 120, model="tiny"), removed(55.0, 999, model="tiny")
    _, points = removal({"deficits": concat([table(removed(88.0, 120)), *other])})
    shift = points[points["measure"] == "shift"]
    assert shift[["model", "regime", "end"]].values.tolist() == [["tiny", "base", 120]]
    assert 100 * shift["mean"].item() == pytest.approx(10 - 2, abs=0.2)


def test_windows_shows_what_is_lost_by_onset_with_the_trace_below_on_the_same_axis():
    traces = [
        {"seed": s, "iteration": k, "fisher_trace": 10.0 * s + k} for s in range(3) for k in (0, 100, 480)
    ]
    fisher = DataFrame(traces)
    figure, points = windows({"deficits": PAPER_LIKE, "fisher": fisher})
    above, below = figure.axes
    curves = {curve.get_label(): curve for curve in error_bars(above)}
    assert set(curves) == {"blur", "vertical flip"}
    found = losses(PAPER_LIKE).query("protocol == 'window' and deficit == 'blur'").groupby("first")["lost"]
    assert heights(curves["blur"]) == pytest.approx(100 * found.mean().to_numpy())
    assert half_lengths(curves["blur"]) == pytest.approx(100 * found.std().to_numpy())
    assert np.abs(curves["blur"].lines[0].get_xdata() - np.array(ONSETS)).max() < 0.01 * LENGTH
    assert below.lines[0].get_ydata() == pytest.approx([10, 110, 490])
    assert above.get_xlim() == below.get_xlim()
    (over,) = above.patches  # the critical period ends between these onsets
    assert (over.get_x(), over.get_x() + over.get_width()) == (96, 192)
    assert above.get_ylim()[0] > -5  # no losses are suggested that there are not
    assert points[points["measure"] == "fisher_trace"]["first"].tolist() == [0, 100, 480]
    assert len(windows({"deficits": PAPER_LIKE})[0].axes) == 1


def test_a_diverged_seed_is_marked_and_in_no_mean():
    whole = table(removed(85.0, 60), within(80.0, 0))
    broken = whole.assign(accuracy=whole["accuracy"].mask((whole["seed"] == 1) & (whole["end"] > 0)))
    for draw in (removal, windows):
        figure, points = draw({"deficits": broken})
        assert points.loc[points["end"] > 0, ["n", "diverged"]].to_numpy().tolist()[0] == [SEEDS - 1, 1]
        assert "1 diverged run" in figure.get_supxlabel()
        assert any(line.get_marker() == "x" and len(line.get_xdata()) for line in figure.axes[0].lines)


def test_regularisation_shows_until_and_from_between_never_and_always():
    figure, points = regularisation({"deficits": PAPER_LIKE})
    augmented, bare = figure.axes
    for ax, name, levels in (
        (augmented, "augmented", {"until then": 94.8, "from then on": 90.2}),
        (bare, "no weight decay", {"until then": 80.1, "from then on": 89.9}),
    ):
        assert ax.get_title(loc="left").endswith(name)
        for curve in error_bars(ax):
            level = next(value for label, value in levels.items() if label in curve.get_label())
            times = curve.lines[0].get_xdata()
            assert times == pytest.approx([0, 240, LENGTH], abs=0.01 * LENGTH)
            assert heights(curve)[1] == pytest.approx(level + SHARED.mean(), abs=0.2)
        until, onwards = (heights(curve) for curve in error_bars(ax))
        assert (until[0], until[2]) == (onwards[2], onwards[0])  # never and always
        assert until[0] == pytest.approx(90 + SHARED.mean(), abs=0.2)
    kinds = points.set_index(["regime", "curve"])["mean"]
    assert 100 * kinds["augmented", "holds always"] == pytest.approx(95 + SHARED.mean(), abs=0.2)
    assert 100 * kinds["base", "holds never"] == pytest.approx(90 + SHARED.mean(), abs=0.2)


@pytest.mark.parametrize("draw", [removal, windows, regularisation])
def test_a_figure_without_its_protocol_says_so(draw):
    with pytest.raises(InvalidInput, match="the table deficits holds no"):
        draw({"deficits": table()})


# Claims

YES, NO, UNCLEAR, NOT_RUN = "reproduced", "not reproduced", "inconclusive", NOT_CONFIGURED


def verdict(claim, deficits, reading=""):
    network = of_network({"deficits": deficits}, "digits", "resnet8")
    return assess(network, KNOWN[claim], reading or KNOWN[claim].readings[0])[0]["verdict"]


def followed(percent, first, end, regime="restarted", **other):
    """A deficit in a window, and then training of the usual length."""
    return runs(percent, regime, window=(first, end), stop=end + LENGTH, **other)


def control(percent, first, end, regime="restarted", **other):
    """The run's own task in its place: as long, with the same schedule, and clean."""
    return followed(percent, first, end, regime, deficit="supervised", **other)


EARLY = control(92.0, 0, 96), followed(88.0, 0, 96)
LATE = control(92.5, 192, 288), followed(92.4, 192, 288)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((*EARLY, *LATE), YES),
        ((*EARLY, LATE[0], followed(88.0, 192, 288)), NO),  # costs as much late
        ((EARLY[0], followed(91.9, 0, 96), *LATE), NO),
        ((EARLY[0], followed(90.0, 0, 96), *LATE), YES),  # as good as less training, and a loss all the same
        ((*EARLY, LATE[0], followed(92.4, 192, 288, spread=9.0)), UNCLEAR),
        ((EARLY[1], LATE[1]), NOT_RUN),  # nothing clean is as long
        (EARLY, NOT_RUN),
        ((*EARLY, control(92.5, 192, 300), followed(92.4, 192, 300)), NOT_RUN),  # a longer window
        ((within(85.0, 0), within(90.0, 288)), NOT_RUN),  # which leave no clean training at the first rate
        ((), NOT_RUN),
    ],
)
def test_c2_an_early_deficit_costs_and_a_late_one_does_not(parts, expected):
    assert verdict("C2", table(*parts)) == expected


def test_a_change_is_that_against_as_long_a_clean_training():
    deficits = table(*EARLY, within(85.0, 0))
    network = of_network({"deficits": deficits}, "digits", "resnet8")
    change = changes(network, "blur", "restarted", followed=True)
    assert change.columns.tolist() == [(0, 96)] and change.mean().item() == pytest.approx(-4.0, abs=0.1)
    assert changes(network, "blur", "base", followed=False).mean().item() == pytest.approx(-5.0, abs=0.1)


def lost(regime="base", *, by_120, by_240, **other):
    """A deficit that was removed at 120 and at 240, and has cost so much then."""
    return [
        each
        for end, points in ((120, by_120), (240, by_240))
        for each in (control(92.0, 0, end, regime, **other), followed(92.0 - points, 0, end, regime, **other))
    ]


BASE = lost(by_120=2.0, by_240=4.0)


@pytest.mark.parametrize(
    ("parts", "reading", "expected"),
    [
        (lost("restarted", by_120=3.9, by_240=4.0), "schedule restarted", YES),  # nearly all of it by 120
        (lost("restarted", by_120=0.1, by_240=4.0), "schedule restarted", YES),  # on either side
        (lost("restarted", by_120=4.0, by_240=8.0), "schedule restarted", NO),  # twice as deep, at the same time
        (lost("restarted", by_120=2.0, by_240=4.0, spread=3.0), "schedule restarted", UNCLEAR),
        (lost("restarted", by_120=0.0, by_240=0.1), "schedule restarted", UNCLEAR),  # no loss has no time
        (lost("restarted", by_120=3.9, by_240=4.0)[:2], "schedule restarted", NOT_RUN),  # one time of removal
        ([followed(90.0, 0, 120), followed(88.0, 0, 240)], "schedule restarted", NOT_RUN),  # without a control
        ([], "schedule restarted", NOT_RUN),
        (lost("augmented", by_120=3.9, by_240=4.0), "augmentation", YES),
        (lost("augmented", by_120=2.0, by_240=4.0), "augmentation", NO),
        ([runs(90.0, model="tiny"), *lost(by_120=3.9, by_240=4.0, model="tiny")], "architecture", YES),
        ([runs(90.0, model="tiny"), *lost(by_120=4.0, by_240=8.0, model="tiny")], "architecture", NO),
        ([runs(90.0, model="tiny")], "architecture", NOT_RUN),
        ([], "architecture", NOT_RUN),
    ],
)  # fmt: skip
def test_c3_a_factor_moves_the_time_of_the_loss_and_not_its_depth(parts, reading, expected):
    assert verdict("C3", table(*BASE, *parts), reading) == expected


def test_the_time_of_a_loss_by_hand():
    """Half of it before 120, at 60 on average, half between 120 and 240, at 180."""
    network = of_network({"deficits": table(*BASE)}, "digits", "resnet8")
    time, loses = time_of_loss(network, "blur", "base", [(0, 120), (0, 240)])
    change = -changes(network, "blur", "base", followed=True).mean()
    expected = (60 * change[0, 120] + 180 * (change[0, 240] - change[0, 120])) / change[0, 240]
    assert time.mean() == pytest.approx(expected) == pytest.approx(120, abs=2)
    assert loses.values.mean() == pytest.approx(change[0, 240])


def held(until, since, always=95.0, never=90.0):
    return table(
        runs(always, "augmented"), runs(until, "augmented-0-240"), runs(since, "augmented-240-480"),
        runs(70.0, "augmented-0-100"), runs(70.0, "augmented-100-480"),  # farther from the middle
        runs(never, "augmented-100-200"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("deficits", "expected"),
    [
        (held(94.8, 90.2), YES),
        (held(92.0, 90.2), NO),  # half of it is lost when it ends
        (held(94.8, 94.0), NO),  # it helps late, too
        (held(90.1, 90.1, always=90.1), NO),  # it does not matter at all
        (table(runs(95.0, "augmented"), runs(94.0, "augmented-0-240")), NOT_RUN),
        (table(), NOT_RUN),
    ],
)
def test_c4_augmentation_matters_early_and_little_late(deficits, expected):
    assert verdict("C4", deficits, "augmentation") == expected


@pytest.mark.parametrize(
    ("early", "late", "expected"), [(89.9, 80.1, YES), (80.1, 89.9, NO), (85.0, 80.1, NO), (89.9, 85.0, NO)]
)
def test_c4_weight_decay_is_the_training_as_it_is_and_the_regime_is_without_it(early, late, expected):
    without = {"no_weight_decay": 80.0, "no_weight_decay-240-480": early, "no_weight_decay-0-240": late}
    deficits = table(*(runs(percent, regime) for regime, percent in without.items()))
    assert verdict("C4", deficits, "weight decay") == expected


FLIP = {"deficit": "vertical_flip"}
REMOVED = control(90.0, 0, 9, "base"), removed(86.0, 9), removed(86.0, 9, **FLIP)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((within(85.0, 0), within(90.0, 0, **FLIP)), YES),
        ((within(85.0, 0), within(89.2, 0, **FLIP)), YES),  # less than one point, and than a quarter of 5
        ((within(85.0, 0), within(88.8, 0, **FLIP)), NO),
        ((within(85.0, 0), within(85.0, 0, **FLIP)), NO),
        ((within(90.0, 0), within(90.0, 0, **FLIP)), YES),  # nothing costs anything here
        ((within(85.0, 0), within(90.0, 0, **FLIP), *REMOVED), NO),
        ((within(85.0, 0), within(90.0, 0, **FLIP), within(88.0, 288), within(80.0, 288, **FLIP)), YES),
        ((within(85.0, 0), within(90.0, 96, **FLIP)), NOT_RUN),
        ((within(85.0, 0),), NOT_RUN),
    ],
)
def test_c5_a_flip_costs_nothing_that_lasts(parts, expected):
    assert verdict("C5", table(*parts)) == expected


def test_without_the_table_no_claim_is_judged():
    for claim in ("C2", "C3", "C4", "C5"):
        for reading in KNOWN[claim].readings:
            assert assess(of_network({}, "d", "m"), KNOWN[claim], reading)[0]["verdict"] == NOT_RUN
