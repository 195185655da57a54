import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pandas import DataFrame
from pandas.testing import assert_frame_equal

from earlyphase.batches import Images, shuffled_batches
from earlyphase.errors import InvalidInput
from earlyphase.execution import Execution
from earlyphase.models import initial_state, load_state, prunable_names, resnet, state_of
from earlyphase.telemetry import (
    ALL,
    Telemetry,
    cosine,
    distance,
    gradient_sizes,
    mean_magnitude,
    sampled_iterations,
    sign_changes,
    state_rows,
    trace_rows,
    traced_weights,
)
from earlyphase.training import MaskedSGD, train

CPU = Execution(torch.device("cpu"), "float32", 1)
END = 12
SAMPLED = (0, 1, 2, 5, 8, END)


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8)
    half = np.full(3, 0.5, np.float32)
    return Images.from_arrays(pixels, rng.integers(0, 4, 70), half, half, torch.device("cpu"))


def new_model():
    model = resnet(3, 4, depth=8, width=4)
    load_state(model, initial_state(model, 0))
    return model


def run(model, images, observe, *, start=0, stop=END, velocity=None, weight_decay=1e-2):
    """Train as the dense command does; return the momentum."""
    optimizer = MaskedSGD(model, None, 0.9, weight_decay)
    if velocity is not None:
        optimizer.velocity = velocity
    batch_at = shuffled_batches(images, 0, 16, 1, True)
    for iteration in train(
        model, optimizer, batch_at, lambda _: 0.1, start=start, stop=stop, autocast=CPU.autocast
    ):
        observe(iteration)
    return optimizer.velocity


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name], equal_nan=True), name


# When


def test_the_papers_range_is_sampled_densely_at_first():
    sampled = sampled_iterations([[50, 1], [500, 10], [4000, 50]], 62_560)
    wanted = [*range(51), *range(60, 501, 10), *range(550, 4001, 50), 62_560]
    assert list(sampled) == wanted
    assert len(sampled) == 167


def test_a_float_is_a_fraction_of_training():
    assert sampled_iterations([[0.1, 1], [0.5, 0.05]], 40) == (
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        10,
        12,
        14,
        16,
        18,
        20,
        40,
    )
    assert sampled_iterations([[1.0, 0.25]], 40) == (0, 10, 20, 30, 40)
    assert sampled_iterations([[1, 1]], 40) == (0, 1, 40)
    assert sampled_iterations([[0.5, 0.001]], 4) == (0, 1, 2, 4)


def test_the_first_and_the_last_iteration_are_always_sampled():
    assert sampled_iterations([], 7) == (0, 7)
    assert sampled_iterations([[500, 3]], 7) == (0, 3, 6, 7)
    assert sampled_iterations([[50, 20], [500, 3]], 7) == (0, 7)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), max_size=4), st.integers(1, 200))
def test_sampled_iterations_rise_within_the_run(pairs, iterations):
    schedule = sorted(pairs)
    sampled = sampled_iterations(schedule, iterations)
    assert list(sampled) == sorted(set(sampled))
    assert sampled[0] == 0
    assert sampled[-1] == iterations
    assert all(until in sampled for until, every in schedule[:1] if until % every == 0 and until < iterations)


@pytest.mark.parametrize("schedule", [[[50, 0]], [[0, 1]], [[50, 1], [40, 10]], [[50, -1]], [[-0.5, 1]]])
def test_a_schedule_that_goes_back_is_refused(schedule):
    with pytest.raises(InvalidInput, match=r"telemetry schedule: .* does not follow iteration"):
        sampled_iterations(schedule, 100)


# State -> numbers


def test_numbers_by_hand():
    weights, initial = np.array([3.0, -4, 0, 2]), np.array([1.0, 2, -1, 2])
    assert mean_magnitude(weights) == 9 / 4
    assert sign_changes(weights, initial) == 2 / 4  # -4 against 2, 0 against -1
    assert sign_changes(initial, initial) == 0
    assert distance(weights, initial) == pytest.approx(np.sqrt(4 + 36 + 1))
    assert cosine(weights, initial) == pytest.approx(-1 / np.sqrt(29 * 10))
    assert cosine(weights, -2 * weights) == pytest.approx(-1)
    assert np.isnan(cosine(weights, np.zeros(4)))


def test_gradient_sizes_by_hand():
    gradients = {"a": np.array([[3.0, -4.0]]), "norm": np.array([12.0]), "b": np.array([0.0, 0, 1])}
    wanted = [[13.0384048, 20 / 6], [5, 3.5], [1, 1 / 3]]
    np.testing.assert_allclose(gradient_sizes(gradients, ["a", "b"]), wanted, rtol=1e-7)


def test_rows_of_a_run_by_hand():
    weights = np.array([[1, -1, 2, 2], [1, 1, 0, 2], [3, 3, 0, 4]], np.float32)
    gradients = np.arange(18, dtype=float).reshape(3, 3, 2)
    rows = list(state_rows((0, 5, 9), weights, gradients, {"a": 1, "b": 3}))
    assert [(row["iteration"], row["layer"]) for row in rows] == [
        (iteration, layer) for iteration in (0, 5, 9) for layer in (ALL, "a", "b")
    ]
    middle = {row["layer"]: row for row in rows if row["iteration"] == 5}
    assert middle[ALL]["mean_magnitude"] == 1
    assert middle[ALL]["sign_changes"] == 2 / 4
    assert middle[ALL]["distance_initial"] == pytest.approx(np.sqrt(4 + 4))
    assert middle[ALL]["distance_final"] == pytest.approx(np.sqrt(4 + 4 + 4))
    assert middle["a"]["sign_changes"] == 0
    assert middle["b"]["sign_changes"] == 2 / 3
    assert middle["b"]["distance_final"] == pytest.approx(np.sqrt(8))
    assert middle["b"]["cosine_final"] == pytest.approx(11 / np.sqrt(5 * 25))
    assert middle["b"]["cosine_initial"] == pytest.approx(3 / np.sqrt(5 * 9))
    assert (middle["b"]["gradient_norm"], middle["b"]["gradient_mean_abs"]) == (10, 11)
    assert rows[-3]["distance_final"] == 0
    assert rows[-3]["cosine_final"] == pytest.approx(1)


def test_squared_distances_add_up_over_layers(rng):
    weights = rng.standard_normal((2, 60)).astype(np.float32)
    rows = [
        row
        for row in state_rows((0, 1), weights, np.zeros((2, 4, 2)), {"a": 10, "b": 20, "c": 30})
        if row["iteration"] == 1
    ]
    whole, *layers = (row["distance_initial"] ** 2 for row in rows)
    assert sum(layers) == pytest.approx(whole)


# Ten weights


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


def test_traces_are_the_weights_themselves(rng):
    weights = rng.standard_normal((3, 22)).astype(np.float32)
    layers = {"a": 12, "b": 10}
    rows = list(trace_rows((0, 4, 9), weights, layers, seed=0))
    assert len(rows) == 30
    for row in rows:
        column = row["position"] + (0 if row["layer"] == "a" else 12)
        assert row["weight"] == weights[(0, 4, 9).index(row["iteration"]), column]


# A run


def test_gradients_are_those_of_plain_autograd_without_weight_decay(images):
    model = new_model()
    telemetry = Telemetry(model, SAMPLED)
    batch_at = shuffled_batches(images, 0, 16, 1, True)
    wanted = {}

    def observe(iteration):
        telemetry.observe(iteration, model)
        if iteration in SAMPLED[:-1]:
            twin = copy.deepcopy(model).train()
            for parameter in twin.parameters():
                parameter.grad = None
            inputs, labels = batch_at(iteration)
            F.cross_entropy(twin(inputs), labels).backward()
            wanted[iteration] = {name: p.grad.numpy() for name, p in twin.named_parameters()}

    run(model, images, observe, weight_decay=0.1)
    for row in telemetry.rows():
        if row["iteration"] == END:
            assert np.isnan(row["gradient_norm"])
            continue
        gradients = wanted[row["iteration"]]
        chosen = gradients.values() if row["layer"] == ALL else [gradients[row["layer"]]]
        flat = np.concatenate([gradient.ravel() for gradient in chosen])
        assert row["gradient_norm"] == pytest.approx(np.linalg.norm(flat), rel=1e-4)
        assert row["gradient_mean_abs"] == pytest.approx(np.abs(flat).mean(), rel=1e-4)


def test_weights_are_those_of_the_iteration(images):
    model = new_model()
    telemetry = Telemetry(model, SAMPLED)
    states = {}

    def observe(iteration):
        telemetry.observe(iteration, model)
        states[iteration] = state_of(model)

    run(model, images, observe)
    for row in telemetry.rows():
        names = prunable_names(model) if row["layer"] == ALL else [row["layer"]]
        now, first, last = (
            np.concatenate([states[i][name].ravel() for name in names]) for i in (row["iteration"], 0, END)
        )
        assert row["mean_magnitude"] == pytest.approx(np.abs(now).mean(), rel=1e-5)
        assert row["sign_changes"] == np.mean((now > 0) != (first > 0))
        assert row["distance_initial"] == pytest.approx(np.linalg.norm(now - first), rel=1e-5)
        assert row["distance_final"] == pytest.approx(np.linalg.norm(now - last), rel=1e-5)
    for row in telemetry.traces(seed=0):
        assert row["weight"] == states[row["iteration"]][row["layer"]].ravel()[row["position"]]


def test_observing_changes_nothing_bit_for_bit(images):
    plain, observed = new_model(), new_model()
    telemetry = Telemetry(observed, range(END + 1))
    velocity = run(plain, images, lambda _: None)
    same = run(observed, images, lambda iteration: telemetry.observe(iteration, observed))
    assert_same(state_of(plain), state_of(observed))
    assert_same(velocity, same)


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3, 6, 8, 11])
def test_a_killed_run_goes_on_to_the_same_table(images, killed_at):
    whole = Telemetry(new_model(), SAMPLED)
    model = new_model()
    run(model, images, lambda iteration: whole.observe(iteration, model))

    model = new_model()
    first = Telemetry(model, SAMPLED)
    velocity = run(model, images, lambda iteration: first.observe(iteration, model), stop=killed_at)
    saved = {name: array.copy() for name, array in first.state.items()}
    weights = state_of(model)

    model = new_model()
    load_state(model, weights)
    second = Telemetry(model, SAMPLED)
    second.state = saved

    def observe(iteration):
        if iteration != killed_at:  # that was seen before the kill
            second.observe(iteration, model)

    run(model, images, observe, start=killed_at, velocity=velocity)
    assert_same(whole.state, second.state)
    assert_frame_equal(DataFrame(whole.rows()), DataFrame(second.rows()), check_exact=True)


def test_the_kept_state_is_no_larger_than_what_was_seen(images):
    model = new_model()
    telemetry = Telemetry(model, SAMPLED)
    assert telemetry.state["weights"].shape == (0, sum(telemetry.layers.values()))
    run(model, images, lambda iteration: telemetry.observe(iteration, model), stop=5)
    assert len(telemetry.state["weights"]) == len(telemetry.state["gradients"]) == 4
    assert telemetry.state["weights"].dtype == np.float32
