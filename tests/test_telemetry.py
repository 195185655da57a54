import copy
import os
import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pandas import DataFrame
from pandas.testing import assert_frame_equal

from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.telemetry import (
    ALL,
    MEASURES,
    Telemetry,
    check_same,
    cosine,
    gradient_measures,
    sign_changes,
    traced_weights,
    weight_measures,
)
from earlyphase.core.training import Run, Training
from earlyphase.errors import InvalidInput
from earlyphase.runtime.resume import ResumeFile, finish

END = 12
SAMPLED = (0, 1, 2, 3, 6, 9)
SETTINGS = TrainingSettings.from_spec(
    {
        "iterations": END, "batch_size": 16, "learning_rate": 0.1, "milestones": [8], "decay": 0.1,
        "momentum": 0.9, "weight_decay": 0.1, "crop_padding": 1, "flip": True, "evaluate_every": 100,
    }
)  # fmt: skip


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    half = np.full(3, 0.5, np.float32)
    return Images.from_arrays(pixels, rng.integers(0, 4, 40), half, half, torch.device("cpu"))


def new_model():
    model = resnet(3, 4, depth=8, width=2)
    load_state(model, initial_state(model, 0))
    return model


def run(images, tmp_path, *, observer=None, model=None, keep=(), resume=None):
    """Train to the end; the finished progress."""
    model = model or new_model()
    batch_at = shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at)
    training = Training(state_of(model), range(SETTINGS.iterations), batch_at, SETTINGS)
    watched = Run(
        training, model, images, nullcontext, keep=keep, observer=observer, evaluates_at=lambda _: False
    )
    return finish(watched, resume or ResumeFile(tmp_path / "resume", "same", 3600))


@pytest.fixture
def states(images, tmp_path):
    """Every state of the dense run: iteration -> state dict."""
    progress = run(images, tmp_path, keep=range(END + 1))
    return {iteration: weights for iteration, (weights, _) in progress.states.items()}


def assert_same(some, others):
    assert some.keys() == others.keys()
    for name in some:
        np.testing.assert_array_equal(some[name], others[name])


# When


def test_the_paper_samples():
    found = sampled_iterations([[50, 1], [500, 10], [4000, 50]], 62_560)
    assert found == (*range(51), *range(60, 501, 10), *range(550, 4001, 50))
    assert len(found) == 166


def test_fractions_are_of_training():
    assert sampled_iterations([[0.1, 1], [0.5, 0.1]], 40) == (0, 1, 2, 3, 4, 8, 12, 16, 20)
    assert sampled_iterations([[1.0, 2]], 6) == (0, 2, 4, 6)
    assert sampled_iterations([[1, 1]], 6) == (0, 1)  # an integer is iterations


def test_fractions_of_a_short_training_may_fall_on_one_iteration():
    assert sampled_iterations([[0.01, 1], [0.1, 1], [0.12, 1], [0.5, 2]], 10) == (0, 1, 3, 5)


def test_what_lies_past_the_end_is_left_out():
    assert sampled_iterations([[50, 4], [500, 10]], 9) == (0, 4, 8)


@given(until=st.integers(1, 200), every=st.integers(1, 50), end=st.integers(1, 300))
def test_a_schedule_starts_at_0_rises_and_keeps_its_distance(until, every, end):
    found = sampled_iterations([[until, every]], end)
    assert found == tuple(range(0, min(until, end) + 1, every))


@pytest.mark.parametrize("schedule", [[[50, 0]], [[0, 1]], [[50, 1], [40, 10]], [[50, -1]], [[-0.5, 1]]])
def test_a_schedule_that_goes_back_is_refused(schedule):
    with pytest.raises(InvalidInput, match=r"telemetry.schedule: .* does not follow iteration"):
        sampled_iterations(schedule, 100, "telemetry.schedule")


# State -> numbers


def test_numbers_by_hand():
    weights, initial = np.array([3.0, -4, 0, 2]), np.array([1.0, 2, -1, 2])
    found = weight_measures(weights, initial, np.array([3.0, -4, 0, 0]))
    wanted = (9 / 4, 2 / 4, np.sqrt(4 + 36 + 1), 2, -1 / np.sqrt(29 * 10), 25 / np.sqrt(29 * 25))
    np.testing.assert_allclose(found, wanted)
    assert sign_changes(initial, initial) == 0
    assert cosine(weights, -2 * weights) == pytest.approx(-1)
    assert np.isnan(cosine(weights, np.zeros(4)))
    np.testing.assert_allclose(gradient_measures(np.array([3.0, -4, 12, 0])), (13, 19 / 4))


def test_a_weight_without_a_sign_is_no_sign_change():
    assert np.isnan(sign_changes(np.array([1.0, np.nan]), np.array([1.0, 1.0])))
    assert np.isnan(sign_changes(np.array([1.0, np.inf]), np.array([1.0, 1.0])))


def test_ten_weights_are_spread_over_layers_once_per_seed():
    model = resnet(3, 10, depth=20)
    layers = {name: dict(model.named_parameters())[name].numel() for name in prunable_names(model)}
    chosen = traced_weights(layers, seed=0)
    assert len({layer for layer, _ in chosen}) == 10
    assert chosen == traced_weights(layers, seed=0)
    assert chosen != traced_weights(layers, seed=1)
    assert all(0 <= position < layers[layer] for layer, position in chosen)


def test_two_weights_of_one_layer_are_different():
    for seed in range(20):
        chosen = traced_weights({"a": 5, "b": 7}, seed)
        assert len(set(chosen)) == 10
        assert sum(layer == "a" for layer, _ in chosen) == 5


# A run


def test_every_number_is_that_of_a_slow_oracle(images, states, tmp_path):
    """From all states of the run, and gradients by plain autograd on a copy of the network."""
    telemetry = Telemetry(new_model(), SAMPLED, {END: states[END]}, seed=0)
    run(images, tmp_path, observer=telemetry, model=new_model())
    batch_at = shuffled_batches(images, 0, 16, SETTINGS.augmentation_at)
    rows = {(row["iteration"], row["layer"]): row for row in telemetry.rows()}
    names = prunable_names(new_model())
    assert list(rows) == [(iteration, layer) for iteration in SAMPLED for layer in (ALL, *names)]
    for iteration in SAMPLED:
        twin = new_model()
        load_state(twin, states[iteration])
        inputs, labels = batch_at(iteration)
        F.cross_entropy(twin.train()(inputs), labels).backward()
        gradients = {name: p.grad.double().numpy().ravel() for name, p in twin.named_parameters()}
        for layer in (ALL, *names):
            row, chosen = rows[iteration, layer], names if layer == ALL else [layer]
            now, first, last = (
                np.concatenate([states[at][name].ravel() for name in chosen]).astype(float)
                for at in (iteration, 0, END)
            )
            gradient = np.concatenate(list(gradients.values())) if layer == ALL else gradients[layer]
            wanted = {
                "mean_magnitude": np.mean(abs(now)),
                "sign_changes": np.mean((now > 0) != (first > 0)),
                "distance_initial": np.sqrt(np.sum((now - first) ** 2)),
                "distance_final": np.sqrt(np.sum((now - last) ** 2)),
                "cosine_initial": np.sum(now * first) / np.sqrt(np.sum(now**2) * np.sum(first**2)),
                "cosine_final": np.sum(now * last) / np.sqrt(np.sum(now**2) * np.sum(last**2)),
                "gradient_norm": np.sqrt(np.sum(gradient**2)),
                "gradient_mean_abs": np.mean(abs(gradient)),
            }
            assert wanted.keys() == set(MEASURES)
            for name, value in wanted.items():
                assert row[name] == pytest.approx(value, rel=1e-4, abs=1e-7), (iteration, layer, name)
    for row in telemetry.traces():
        assert row["weight"] == states[row["iteration"]][row["layer"]].ravel()[row["position"]]


def test_the_end_of_training_has_no_gradient(images, states, tmp_path):
    telemetry = Telemetry(new_model(), (0, END), {END: states[END]}, seed=0)
    run(images, tmp_path, observer=telemetry, model=new_model())
    ends = [row for row in telemetry.rows() if row["layer"] == ALL]
    assert np.isfinite(ends[0]["gradient_norm"])
    assert np.isnan(ends[1]["gradient_norm"])
    assert ends[1]["distance_final"] == 0


def test_watching_changes_nothing_bit_for_bit(images, states, tmp_path):
    telemetry = Telemetry(new_model(), range(END), states, seed=0)
    watched = run(images, tmp_path, observer=telemetry, model=new_model())
    plain = run(images, tmp_path)
    assert_same(plain.weights, watched.weights)
    assert_same(plain.optimizer_state, watched.optimizer_state)


@pytest.mark.parametrize("killed_at", [0, 3, 11])
def test_a_killed_replay_goes_on_to_the_same_tables(images, states, tmp_path, killed_at):
    whole = Telemetry(new_model(), SAMPLED, states, seed=0)
    run(images, tmp_path, observer=whole, model=new_model())

    class Killed(Telemetry):
        def observe(self, iteration, model):
            super().observe(iteration, model)
            if iteration == killed_at:
                os.kill(os.getpid(), signal.SIGTERM)

    first = Killed(new_model(), SAMPLED, states, seed=0)
    with pytest.raises(SystemExit):
        run(images, tmp_path, observer=first, model=new_model())
    second = Telemetry(new_model(), SAMPLED, states, seed=0)
    seen = []
    observe = second.observe
    second.observe = lambda iteration, model: (seen.append(iteration), observe(iteration, model))
    run(images, tmp_path, observer=second, model=new_model())
    assert seen == list(range(killed_at + 1, END + 1))
    assert_same(whole.state, second.state)
    assert_frame_equal(DataFrame(whole.rows()), DataFrame(second.rows()), check_exact=True)


def test_a_replay_of_another_run_is_refused(images, states, tmp_path):
    other = {name: array + (name == "fc.bias") * np.float32(1e-6) for name, array in states[6].items()}
    telemetry = Telemetry(new_model(), SAMPLED, states | {6: other}, seed=0)
    with pytest.raises(InvalidInput, match=r"differs from the dense run at iteration 6, by up to 1e-06"):
        run(images, tmp_path, observer=telemetry, model=new_model())


def test_where_results_vary_a_difference_is_a_warning(states, capsys):
    other = {name: array + (name == "fc.bias") * np.float32(0.5) for name, array in states[6].items()}
    check_same(6, states[6], other, exact=False)
    assert "warning: at iteration 6 the replay differs by up to 0.5" in capsys.readouterr().out
    check_same(6, states[6], copy.deepcopy(states[6]), exact=False)
    assert not capsys.readouterr().out


def test_a_diverged_run_is_watched_to_its_end_as_nan(images, tmp_path):
    def broken():
        model = new_model()
        with torch.no_grad():
            model.fc.weight[0, 0] = float("nan")
        return model

    end = run(images, tmp_path, model=broken(), keep=[0, END]).states
    telemetry = Telemetry(broken(), SAMPLED, {at: weights for at, (weights, _) in end.items()}, seed=0)
    run(images, tmp_path, observer=telemetry, model=broken())
    whole = [row for row in telemetry.rows() if row["layer"] == ALL]
    assert len(whole) == len(SAMPLED)
    assert all(np.isnan(row[name]) for row in whole for name in MEASURES)
