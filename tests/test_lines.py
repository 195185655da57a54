"""Lines between trained networks: consecutive rounds, small changes of the weights, renamed channels, other orders."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pandas import DataFrame, read_csv

from earlyphase.core.branches import Ticket, change_one_weight, gaussian_noise
from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.initial import initial_std
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.lenet import conv, lenet_300_100
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.core.stability import distance
from earlyphase.core.symmetry import channels_of, matching_orders, renamed, reordered
from earlyphase.errors import InvalidInput
from earlyphase.results.figures import figure
from earlyphase.runtime.storage import load_tensors, load_weights, save_weights
from earlyphase.runtime.trajectory import kept_before, kept_states
from test_claims import SHORT
from test_claims import judged as assessed
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, job, spec  # noqa: F401 - `folder` is a fixture
from test_images import augmented
from test_stability import dense, network, trained  # noqa: F401 - `trained` is a fixture

POINTS = {"points": 5, "sample": 40}  # all training images, so that no order of theirs counts


def read_images(part="train"):
    data, _ = load_tensors("data", "data set")
    arrays = (data[f"{part}_images"], data[f"{part}_labels"], data["mean"], data["std"])
    return Images.from_arrays(*arrays, torch.device("cpu"))


def slow_line(first, second):
    """Errors and losses on a line, written out: one pass in training mode for statistics, one for the test set."""
    train, test = read_images(), read_images("test")
    errors, losses = [], []
    for step in range(POINTS["points"]):
        model, share = network(), step / (POINTS["points"] - 1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.from_numpy((1 - share) * first[name] + share * second[name]))
            for layer in model.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum = 1.0
            model.train()(train.normalise(train.pixels))
            logits = model.eval()(test.normalise(test.pixels))
        errors.append(float((logits.argmax(1) != test.labels).float().mean()))
        losses.append(float(F.cross_entropy(logits, test.labels)))
    return errors, losses


def rise(values):
    return max(values) - (values[0] + values[-1]) / 2


def test_the_line_between_two_rounds_against_one_that_is_written_out(trained):  # noqa: F811
    described = spec(columns=NAMES | {"k": 3, "round": 1}, stability=POINTS)
    assert not job("consecutive", described, {"first": "it8", "second": "ticket"}, {"row": "row.csv"})
    (row,) = read_csv("row.csv").to_dict("records")
    errors, losses = slow_line(load_weights("it8")[0], load_weights("ticket")[0])
    assert row["barrier"] == pytest.approx(rise(errors), abs=1e-6)
    assert row["barrier_loss"] == pytest.approx(rise(losses), abs=1e-4)
    assert (row["first_error"], row["second_error"]) == pytest.approx((errors[0], errors[-1]), abs=1e-6)
    assert job("consecutive", described, {"first": "it3", "second": "ticket"}, {"row": "row.csv"})


def changed(out, *perturbations, k=3, trajectory="trajectory"):
    described = spec(
        columns=NAMES | {"k": k, "perturbation": "mine"}, stability=POINTS, perturbation=list(perturbations)
    )
    inputs = {"state": f"it{k}", "initial": "it0", "final": "it8", "trajectory": trajectory}
    return job("butterfly", described, inputs, {"row": f"{out}.csv", "run": f"{out}.json"})


@pytest.fixture
def at_0(trained):  # noqa: F811
    """The dense run with its state at 0 in a file as well."""
    save_weights("it0", kept_states("trajectory")[0], iteration=0)
    return trained


def test_a_network_that_is_not_changed_is_the_dense_run(at_0):
    assert not changed("a", {"function": "rewind"})
    (row,) = read_csv("a.csv").to_dict("records")
    assert not any(row[name] for name in ("change", "barrier", "barrier_loss", "distance", "renamed"))
    assert not any(row[f"aligned_{name}"] for name in ("barrier", "barrier_loss", "distance"))
    assert row["second_accuracy"] == read_csv("trajectory.csv").set_index("iteration")["accuracy"][8]


def test_a_changed_network_against_plain_sgd_with_the_momentum_of_the_dense_run(at_0):
    """PyTorch's own optimiser on the same mini-batches from the changed state."""
    assert not changed("a", {"function": "gaussian_noise", "scale": 0.5})
    (row,) = read_csv("a.csv").to_dict("records")
    _, weights, state = kept_before("trajectory", 3)
    model = network()
    names = prunable_names(model)
    ticket = Ticket(weights, weights, weights, full_mask(weights, names), 3, 0)
    start = gaussian_noise(ticket, 0, scale=0.5).weights
    load_state(model, start)
    steps = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for name, parameter in model.named_parameters():
        steps.state[parameter]["momentum_buffer"] = torch.from_numpy(state[f"velocity/{name}"].copy())
    batch_at = shuffled_batches(read_images(), 0, 16, augmented(1, True))
    for iteration in range(3, 8):
        images, labels = batch_at(iteration)
        steps.zero_grad()
        F.cross_entropy(model.train()(images), labels).backward()
        steps.step()
    first, second = load_weights("it8")[0], state_of(model)
    apart = np.concatenate([(first[name] - second[name]).ravel() for name, _ in model.named_parameters()])
    assert row["distance"] == pytest.approx(np.linalg.norm(apart), rel=1e-3)
    assert row["barrier_loss"] == pytest.approx(rise(slow_line(first, second)[1]), abs=2e-3)
    moved = np.concatenate([(start[name] - weights[name]).ravel() for name in names])
    assert row["change"] == pytest.approx(np.linalg.norm(moved), rel=1e-5)
    assert row["aligned_distance"] <= row["distance"]


def test_where_channels_are_not_known_nothing_is_renamed(at_0, monkeypatch):
    def unknown(state):
        raise InvalidInput("no such network")

    monkeypatch.setattr("earlyphase.core.symmetry.channels_of", unknown)
    assert not changed("a", {"function": "change_one_weight", "scale": 1.0})
    (row,) = read_csv("a.csv").to_dict("records")
    assert row["distance"] > 0
    assert np.isnan([row["aligned_barrier"], row["aligned_distance"], row["renamed"]]).all()


def test_a_k_that_was_not_kept_has_the_same_momentum(at_0):
    save_weights("it5", dense("near", "0", "3", "5")[5], iteration=5)
    dense("far", "0", "3")
    for out in ("near", "far"):
        assert not changed(f"{out}-row", {"function": "change_one_weight", "scale": 1.0}, k=5, trajectory=out)
    one, other = (read_csv(f"{out}-row.csv") for out in ("near", "far"))
    assert one.equals(other) and one["distance"].item() > 0


@pytest.mark.parametrize("function", ["rewind_to_0", "shuffle_mask"])
def test_what_prunes_or_sets_the_clock_is_refused(at_0, monkeypatch, capsys, function):
    if function == "shuffle_mask":  # which of a whole mask makes a whole one
        monkeypatch.setattr("earlyphase.core.branches.apply", lambda entries, ticket, seed: pruned(ticket))
    assert changed("a", {"function": function})
    assert "prunes weights or sets the clock" in capsys.readouterr().err


def pruned(ticket):
    return replace(ticket, mask={name: kept & False for name, kept in ticket.mask.items()})


def test_one_kept_weight_changes_by_its_layers_initial_deviation():
    state = initial_state(network(), 0)
    rng = np.random.default_rng(0)
    mask = {name: rng.random(state[name].shape) < 0.1 for name in prunable_names(network())}
    state |= {name: state[name] * kept for name, kept in mask.items()}
    places = set()
    for seed in range(5):
        after = change_one_weight(Ticket(state, state, state, mask, 0, 1), seed, scale=0.5).weights
        ((name, place),) = [
            (name, tuple(at)) for name in state for at in np.argwhere(after[name] != state[name])
        ]
        assert mask[name][place]
        change = after[name][place] - state[name][place]
        assert change == pytest.approx(0.5 * initial_std(mask[name].shape), rel=1e-4)
        places.add((name, place))
    assert len(places) == 5


# Channels


@pytest.mark.parametrize("build", [
    lambda: resnet(3, 4, depth=14, width=8), lambda: conv(3, 4, depth=2, width=6, size=8),
    lambda: lenet_300_100(3, 4, size=8),
])  # fmt: skip
def test_renamed_channels_are_found_again_in_a_network_and_a_noisy_copy(build):
    model, rng = build(), np.random.default_rng(0)
    first = initial_state(model, 0)
    channels, names = channels_of(first), [name for name, _ in model.named_parameters()]
    noisy = first | {
        name: first[name] + 1e-3 * rng.standard_normal(first[name].shape, np.float32) for name in names
    }
    second = renamed(noisy, channels, 7)
    orders = matching_orders(first, second, channels, names)
    found = reordered(second, channels, orders)
    for name in names:
        np.testing.assert_array_equal(found[name], noisy[name], err_msg=name)
    outputs = []
    for state in (second, found):
        load_state(model, state)
        outputs.append(model.eval()(torch.ones(2, 3, 8, 8)))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)


def test_of_one_hidden_layer_no_order_is_nearer(rng):
    """Against all 120 orders."""
    shapes = {"1.weight": (5, 3), "1.bias": 5, "2.weight": (2, 5)}
    first, second = ({name: rng.normal(size=size) for name, size in shapes.items()} for _ in range(2))
    channels, names = channels_of(first), list(first)
    orders = matching_orders(first, second, channels, names)
    lengths = [
        distance(first, reordered(second, channels, {"1": np.array(order)}), names)
        for order in permutations(range(5))
    ]
    assert distance(first, reordered(second, channels, orders), names) == pytest.approx(min(lengths))
    assert min(lengths) < distance(first, second, names)


# What is said of it


def butterflies(barriers, aligned=0.01):
    """Five seeds of each change: (name, length, k) -> barrier."""
    rng = np.random.default_rng(0)
    return DataFrame(
        [
            {"dataset": "d", "model": "m", "task": "supervised", "seed": seed, "k": k, "perturbation": name,
             "change": change, "barrier": level + 0.002 * rng.normal(), "distance": 9.0,
             "aligned_barrier": aligned + 0.002 * rng.normal(), "aligned_distance": 8.0}
            for (name, change, k), level in barriers.items()
            for seed in range(5)
        ]
    )  # fmt: skip


EVERY = {("one", 0.1, 0): 0.3, ("noise", 1.0, 0): 0.4, ("one", 0.1, 100): 0.003, ("noise", 1.0, 100): 0.2}
YES, NO = "reproduced", "not reproduced"


@pytest.mark.parametrize(
    ("other", "verdict"), [({}, YES), ({("one", 0.1, 0): 0.01, ("one", 0.1, 100): 0.3}, NO)]
)
def test_small_changes_part_early_and_not_late(other, verdict):
    table = {"butterfly": butterflies(EVERY | other)}
    for reading in ("early", "late"):
        assert assessed("N3", table, SHORT, reading, change="one")["verdict"] == verdict


@pytest.mark.parametrize(("aligned", "verdict"), [(0.01, YES), (0.2, NO)])
def test_symmetry_alone_parts_where_renaming_closes_the_barrier(aligned, verdict):
    found = assessed("N4", {"butterfly": butterflies(EVERY, aligned)}, SHORT, change="one")
    assert found["verdict"] == verdict
    unknown = butterflies(EVERY, np.nan)
    assert assessed("N4", {"butterfly": unknown}, SHORT)["verdict"] == "not run: not measurable here"


def rounds(barriers, gaps):
    """Two tables of five seeds, and the dense network's, by round: barrier, and loss of accuracy in points."""
    rng = np.random.default_rng(0)
    common = {"dataset": "d", "model": "m", "task": "supervised", "iteration": 400, "loss": 0.3}
    names = [(seed, number) for number in gaps for seed in range(5)]
    imp = [
        common | {"seed": seed, "k": k, "round": number, "density": 0.64**number,
                  "accuracy": 0.9 - (gaps[number] if k else 20) / 100 + 0.0005 * rng.normal()}
        for seed, number in names for k in (0, 100)
    ]  # fmt: skip
    pairs = [
        {"dataset": "d", "model": "m", "seed": seed, "k": 100, "round": number,
         "barrier": barriers[number] + 0.001 * rng.normal()}
        for seed, number in names
    ]  # fmt: skip
    dense_rows = [common | {"seed": seed, "accuracy": 0.9 + 0.0005 * seed} for seed in range(5)]
    return {"imp": DataFrame(imp), "dense": DataFrame(dense_rows), "consecutive": DataFrame(pairs)}


@pytest.mark.parametrize(("gaps", "expected"), [
    ({1: 0, 2: 0, 3: 6}, [YES, YES]), ({1: 0, 2: 6, 3: 6}, [NO, YES]), ({1: 0, 2: 0, 3: 0}, [YES, NO]),
])  # fmt: skip
def test_rounds_match_where_no_barrier_parts_them_and_only_there(gaps, expected):
    tables = rounds({1: 0.001, 2: 0.003, 3: 0.2}, gaps)
    readings = ("rounds without a barrier match", "rounds behind a barrier do not")
    assert [assessed("N2", tables, SHORT, reading)["verdict"] for reading in readings] == expected


def children(gap, round=4, density=0.168):
    rng = np.random.default_rng(0)
    return DataFrame(
        [
            {"dataset": "d", "model": "m", "task": "supervised", "seed": seed, "k": k, "round": round,
             "density": density, "instability": 0.01, "distance_all": 3.0, "first_accuracy": 0.9,
             "second_accuracy": 0.9 + gap / 100 + 0.001 * rng.normal()}
            for k in (0, 100) for seed in range(5)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(("gap", "verdict"), [(0, YES), (-4, NO)])
def test_a_ticket_does_not_need_its_own_order_if_another_costs_nothing(gap, verdict):
    tables = rounds({1: 0}, {1: 0}) | {"stability": children(gap, 1, 0.64)}
    row = assessed("N1", tables, SHORT, "rewound late", density=0.64)
    assert row["verdict"] == verdict and float(row["ours"].split()[0]) == pytest.approx(gap, abs=0.2)


def test_the_figures_show_means_over_seeds():
    early = butterflies(EVERY)
    of_dense = children(1, 0, 1.0)
    tables = {"butterfly": early, "stability": of_dense}
    check_declaration("butterfly", tables)
    _, points = figure["butterfly"](tables)
    points = points.set_index(["quantity", "perturbation", "k"])
    one = early[(early["perturbation"] == "one") & (early["k"] == 0)]
    assert points.loc[("barrier", "one", 0), "mean"] == pytest.approx(one["barrier"].mean())
    assert points.loc[("barrier", "one", 0), "n"] == 5
    assert points.loc[("distance", "other order of the data", 100), "mean"] == 3
    assert ("aligned_barrier", "other order of the data", 0) not in points.index
    unknown = early.assign(aligned_barrier=np.nan)
    lost = early.assign(barrier=early["barrier"].where(early["seed"] > 0))
    drawn, points = figure["butterfly"]({"butterfly": unknown})
    assert len(drawn.axes) == 2 and set(points["quantity"]) == {"barrier", "distance"}
    assert "n = 5 seeds; dashed" in drawn.get_supxlabel()
    assert "4 diverged runs" in figure["butterfly"]({"butterfly": lost})[0].get_supxlabel()
    check_declaration("data_order", {"stability": of_dense})
    _, points = figure["data_order"]({"stability": of_dense})
    gaps = of_dense[of_dense["k"] == 0]["second_accuracy"] - 0.9
    assert points[["mean", "std", "n"]].iloc[0].tolist() == pytest.approx([gaps.mean(), gaps.std(), 5])
    found = rounds({1: 0.1, 2: 0.2}, {1: 1, 2: 4})
    check_declaration("consecutive", found)
    _, points = figure["consecutive"](found)
    lost = points.set_index(["quantity", "k", "round"])["mean"]
    assert lost[("loss", 100, 2)] == pytest.approx(0.04, abs=2e-3)
    assert lost[("barrier", 100, 1)] == pytest.approx(0.1, abs=2e-3)
