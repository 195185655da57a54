"""Two children trained from k: their noise, the line between them, and what is said of it."""

import copy
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pandas import DataFrame, read_csv
from torch import nn

from assigned import SMOKE, read_study
from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.stability import (
    barrier,
    distances,
    estimate_statistics,
    interpolated,
    line_between,
    second_child_seed,
)
from earlyphase.core.training import evaluate
from earlyphase.results.claims.claim import DIED, NOT_CONFIGURED
from earlyphase.results.figures import figure
from earlyphase.results.stability import stable_from, ticket_round
from earlyphase.results.summaries import with_dead
from earlyphase.results.timeline import timeline
from earlyphase.runtime.resume import ResumeFile
from earlyphase.runtime.storage import load_mask, save_mask, save_weights
from earlyphase.runtime.trajectory import kept_states
from earlyphase.stages._training import TrainingJob
from test_claims import KNOWN, SHORT
from test_claims import judged as assessed
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, job, spec  # noqa: F401 - `folder` is a fixture
from test_images import augmented
from test_timeline import telemetry

OF_DENSE = {"first": "it8", "trajectory": "trajectory"}


@pytest.fixture
def images(rng):
    pixels, labels = rng.integers(0, 256, (90, 3, 8, 8), dtype=np.uint8), np.arange(90) % 4
    half = np.full(3, 0.5, np.float32)
    return Images.from_arrays(pixels, labels, half, half, torch.device("cpu"))


@pytest.fixture
def inputs(rng):
    return torch.from_numpy(rng.normal(size=(60, 3, 8, 8)).astype(np.float32))


def network(width=2):
    return resnet(3, 4, depth=8, width=width)


def two_states():
    return [initial_state(network(), seed) for seed in (0, 1)]


def test_the_second_copy_has_an_order_and_an_augmentation_of_its_own(images):
    seen = {}
    for name, seed in (
        ("first", 3),
        ("again", 3),
        ("second", second_child_seed(3)),
        ("other", second_child_seed(4)),
    ):
        batch_at = shuffled_batches(images, seed, 16, augmented(1, True))
        seen[name] = [batch_at(iteration) for iteration in range(5)]
    for name, same in (("again", True), ("second", False), ("other", False)):
        for (one, labels), (two, other_labels) in zip(seen["first"], seen[name], strict=True):
            assert torch.equal(labels, other_labels) == same
            assert torch.equal(one, two) == same
    assert not torch.equal(seen["second"][0][1], seen["other"][0][1])
    assert second_child_seed(3) >= 2**62  # beside the seeds of all replicates


def test_the_line_begins_and_ends_at_the_copies_and_is_the_same_from_either_side():
    first, second = two_states()
    names = [name for name, _ in network().named_parameters()]
    for name in names:
        assert np.array_equal(interpolated(first, second, 0, 29, names)[name], first[name])
        assert np.array_equal(interpolated(first, second, 29, 29, names)[name], second[name])
        middle = interpolated(first, second, 7, 28, names)[name]
        assert middle == pytest.approx(0.75 * first[name] + 0.25 * second[name], rel=1e-6, abs=1e-7)
        for step in range(30):
            there = interpolated(first, second, step, 29, names)[name]
            back = interpolated(second, first, 29 - step, 29, names)[name]
            assert there.tobytes() == back.tobytes()


def test_the_ends_are_evaluated_like_the_networks_themselves(images, inputs):
    first, second = two_states()
    rows = line_between(network(), first, second, 5, inputs, images, nullcontext)
    assert [row["position"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    for row, state in ((rows[0], first), (rows[-1], second)):
        model = network()
        load_state(model, state)
        estimate_statistics(model, inputs, nullcontext)
        alone = evaluate(model, images, nullcontext)
        assert (row["error"], row["loss"]) == (1 - alone["accuracy"], alone["loss"])
    other_way = line_between(network(), second, first, 5, inputs, images, nullcontext)
    assert [row["loss"] for row in other_way[::-1]] == [row["loss"] for row in rows]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.1, 0.5, 0.2, 0.3], 0.5 - 0.2),  # the highest, over the mean of two ends that differ
        ([0.3, 0.2, 0.5, 0.1], 0.5 - 0.2),
        ([0.3, 0.1, 0.1], 0.1),  # the highest is an end: half of what the ends differ by
        ([0.2, 0.1, 0.2], 0),  # a valley between the ends is none
        ([0.25, 0.25, 0.25], 0),
        ([0.1, float("nan"), 0.1], float("nan")),
    ],
)
def test_instability_is_the_highest_error_above_the_mean_of_the_ends(errors, expected):
    assert barrier(errors) == pytest.approx(expected, nan_ok=True)


def test_two_copies_that_are_one_have_no_instability_and_no_distance(images, inputs):
    first, _ = two_states()
    errors = [row["error"] for row in line_between(network(), first, first, 4, inputs, images, nullcontext)]
    assert barrier(errors) == 0
    start = {name: array + 1 for name, array in first.items()}
    mask = full_mask(first, prunable_names(network()))
    found = distances(start, first, first, mask, list(mask))
    assert found["distance"] == found["distance_all"] == 0
    assert found["cosine_displacements"] == pytest.approx(1)
    assert found["cosine_weights"] == pytest.approx(1)


def test_distances_and_angles_against_vectors_written_by_hand():
    shape = {"a.weight": (1, 3), "b.bias": (1,)}
    start = {name: np.zeros(size, np.float32) for name, size in shape.items()}
    first = {"a.weight": np.float32([[3, 0, 100]]), "b.bias": np.float32([2])}
    second = {"a.weight": np.float32([[0, 4, -100]]), "b.bias": np.float32([14])}
    found = distances(start, first, second, {"a.weight": np.array([[True, True, False]])}, list(shape))
    assert found["distance"] == 5  # over what is kept
    assert found["distance_all"] == pytest.approx(np.sqrt(3**2 + 4**2 + 200**2 + 12**2))
    assert (found["first_displacement"], found["second_displacement"]) == (3, 4)
    assert found["cosine_displacements"] == found["cosine_weights"] == 0


def test_statistics_against_means_and_variances_taken_layer_by_layer(inputs):
    """An oracle in NumPy: two convolutions of 1x1, whose outputs are matrix products."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4)
    )
    nn.init.uniform_(model[1].weight)
    nn.init.uniform_(model[1].bias)
    before = model[1].running_mean.clone()
    estimate_statistics(model, inputs, nullcontext)
    assert not torch.equal(before, model[1].running_mean)
    assert not model.training
    assert model[1].momentum == 0.1
    values = inputs.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    for convolution, norm in ((model[0], model[1]), (model[3], model[4])):
        weight, bias = convolution.weight[:, :, 0, 0].double(), convolution.bias.double()
        values = values @ weight.detach().numpy().T + bias.detach().numpy()
        assert norm.running_mean.numpy() == pytest.approx(values.mean(axis=0), rel=1e-4, abs=1e-5)
        assert norm.running_var.numpy() == pytest.approx(values.var(axis=0, ddof=1), rel=1e-4)
        values = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + norm.eps)
        values = np.maximum(values * norm.weight.detach().numpy() + norm.bias.detach().numpy(), 0)


def test_statistics_of_several_parts_are_plain_averages_over_them(inputs, monkeypatch):
    """Of the first layer, whose inputs are the images in every part; 60 images in parts of at most 17."""
    monkeypatch.setattr("earlyphase.core.stability.EVALUATION_BATCH", 17)
    model = nn.Sequential(nn.BatchNorm2d(3))
    estimate_statistics(model, inputs, nullcontext)
    parts = [inputs[start : start + 15].double().numpy() for start in range(0, 60, 15)]
    means = np.mean([part.mean(axis=(0, 2, 3)) for part in parts], axis=0)
    variances = np.mean([part.var(axis=(0, 2, 3), ddof=1) for part in parts], axis=0)
    assert model[0].running_mean.numpy() == pytest.approx(means, rel=1e-4, abs=1e-6)
    assert model[0].running_var.numpy() == pytest.approx(variances, rel=1e-5)


def test_what_the_statistics_were_before_and_other_layers_in_training_do_not_count(inputs):
    """Two networks with other running statistics end with the same; dropout stays off."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3)).train()
    estimate_statistics(model, inputs, nullcontext)
    first = copy.deepcopy(model.state_dict())
    model[1].running_mean.fill_(1e6)
    model[1].num_batches_tracked.fill_(7)
    estimate_statistics(model, inputs, nullcontext)
    assert all(torch.equal(values, first[name]) for name, values in model.state_dict().items())
    assert model[1].running_mean.numpy() == pytest.approx(inputs.mean(dim=(0, 2, 3)).numpy(), abs=1e-6)


def test_a_convex_loss_has_no_barrier(images, inputs):
    """Of a linear network the cross-entropy is convex: nowhere above the straight line between the ends."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    states = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        weights = {"1.weight": rng.normal(size=(4, 192)), "1.bias": rng.normal(size=4)}
        states.append({name: values.astype(np.float32) for name, values in weights.items()})
    rows = line_between(model, *states, 9, inputs, images, nullcontext)
    for row in rows:
        straight = (1 - row["position"]) * rows[0]["loss"] + row["position"] * rows[-1]["loss"]
        assert row["loss"] <= straight + 1e-6


# The job


def dense(out, *kept):
    """Train for eight iterations; the states that are kept, and the end, by iteration."""
    outputs = {"trajectory": out, "metrics": f"{out}.csv", "run": f"{out}.json"}
    assert not job("dense", spec(), {}, outputs, "--keep", *kept)
    return kept_states(out)


@pytest.fixture
def trained(folder):  # noqa: F811
    """A dense run of eight iterations with k = 3 kept, and a trained ticket of round 1 at k = 3."""
    states = dense("trajectory", "0", "3")
    for k in (3, 8):
        save_weights(f"it{k}", states[k], iteration=k)
    rng = np.random.default_rng(0)
    mask = {name: rng.random(states[8][name].shape) < 0.5 for name in prunable_names(network())}
    save_mask("mask", mask)
    save_weights("ticket", {name: a * mask.get(name, np.True_) for name, a in states[8].items()}, iteration=8)
    return folder


def second_copy(out, inputs, k=3, round=0):
    described = spec(columns=NAMES | {"k": k, "round": round}, stability={"points": 5, "sample": 24})
    outputs = {"pair": f"{out}-pair.csv", "line": f"{out}-line.csv", "run": f"{out}.json"}
    return job("stability", described, {"state": f"it{k}"} | inputs, outputs)


def test_a_second_copy_of_the_dense_network(trained):
    assert not second_copy("a", OF_DENSE)
    (pair,) = read_csv("a-pair.csv").to_dict("records")
    line = read_csv("a-line.csv")
    accuracies = read_csv("trajectory.csv").set_index("iteration")["accuracy"]
    assert (pair["k"], pair["round"], pair["density"]) == (3, 0, 1)
    assert pair["first_accuracy"] == accuracies[8]
    assert pair["distance"] > 0
    assert line["position"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    for column, along in (("instability", line["error"]), ("instability_loss", line["loss"])):
        assert pair[column] == pytest.approx(along.max() - along.iloc[[0, -1]].mean())
    assert (line["sample"] == 24).all()
    assert not second_copy("b", OF_DENSE)
    for kind in ("pair", "line"):
        assert Path(f"a-{kind}.csv").read_bytes() == Path(f"b-{kind}.csv").read_bytes()


@pytest.mark.parametrize(("number", "inputs"), [(0, OF_DENSE), (1, {"first": "ticket", "mask": "mask"})])
def test_a_second_copy_that_was_killed_ends_with_the_same_bytes(trained, monkeypatch, capsys, number, inputs):
    """The dense network, whose momentum must survive too, and a ticket."""
    assert not second_copy("a", inputs, round=number)
    whole = {kind: Path(f"a-{kind}.csv").read_bytes() for kind in ("pair", "line")}
    save = ResumeFile.save

    def killed(resume, progress):
        save(resume, progress)
        if progress.iteration == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ResumeFile, "due", lambda resume: True)
        patched.setattr(ResumeFile, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            second_copy("b", inputs, round=number)
    assert Path("resume").exists() and not Path("b-pair.csv").exists()
    capsys.readouterr()
    assert not second_copy("b", inputs, round=number)
    assert "resuming at iteration 5" in capsys.readouterr().out
    assert {kind: Path(f"b-{kind}.csv").read_bytes() for kind in whole} == whole
    assert not Path("resume").exists()


def test_with_the_noise_of_the_first_copy_the_second_is_the_first(trained, monkeypatch):
    monkeypatch.setattr("earlyphase.core.stability.second_child_seed", lambda seed: seed)
    assert not second_copy("a", OF_DENSE)
    (pair,) = read_csv("a-pair.csv").to_dict("records")
    assert pair["distance_all"] == pair["instability"] == pair["instability_loss"] == 0
    assert pair["second_accuracy"] == pair["first_accuracy"]


def test_a_ticket_with_the_noise_of_its_round_is_that_ticket(trained, monkeypatch):
    """From its own round of pruning, by that job: weights, momentum and statistics of batch norm alike."""
    named = spec(
        columns=NAMES | {"k": 3, "round": 1}, criterion={"function": "magnitude"}, prune_fraction=0.5
    )
    outputs = {"mask": "m1", "weights": "w1", "metrics": "i.csv", "run": "i.json"}
    assert not job("imp_round", named, {"rewind": "it3", "weights": "it8"}, outputs)
    of_ticket = {"first": "w1", "mask": "m1"}
    assert not second_copy("a", of_ticket, round=1)
    monkeypatch.setattr("earlyphase.core.stability.second_child_seed", lambda seed: seed)
    assert not second_copy("b", of_ticket, round=1)
    (other,), (same,) = (read_csv(f"{out}-pair.csv").to_dict("records") for out in "ab")
    assert same["distance_all"] == same["instability"] == same["instability_loss"] == 0 < other["distance"]
    trained_once = read_csv("i.csv").set_index("iteration")["accuracy"][8]
    assert same["first_accuracy"] == same["second_accuracy"] == trained_once == other["first_accuracy"]


def test_a_k_that_was_not_kept_is_reached_from_the_nearest_before_it(trained):
    save_weights("it5", dense("near", "0", "3", "5")[5], iteration=5)
    assert 5 not in dense("far", "0", "3")
    for out in ("near", "far"):
        assert not second_copy(f"{out}-copy", OF_DENSE | {"trajectory": out}, k=5)
    assert Path("near-copy-pair.csv").read_bytes() == Path("far-copy-pair.csv").read_bytes()


def test_the_second_copy_of_a_ticket_keeps_its_mask_at_every_step_and_on_the_line(trained, monkeypatch):
    ends, mask = {}, load_mask("mask")

    def spying(model, first, second, *rest):
        ends["second"] = second
        names = [name for name, _ in model.named_parameters()]
        for step in range(5):
            there = interpolated(first, second, step, 4, names)
            assert all(not there[name][~kept].any() for name, kept in mask.items())
        return line_between(model, first, second, *rest)

    steps = []
    stepped = TrainingJob.train

    def watching(job, training, model, **options):
        def observe(iteration, model, *_):
            state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
            assert all(not state[name][~kept].any() for name, kept in mask.items())
            steps.append(iteration)

        ordinary = training.batch_at

        def batch_at(iteration):
            observe(iteration, model)
            return ordinary(iteration)

        return stepped(job, replace(training, batch_at=batch_at), model, **options)

    monkeypatch.setattr(TrainingJob, "train", watching)
    monkeypatch.setattr("earlyphase.core.stability.line_between", spying)
    assert not second_copy("t", {"first": "ticket", "mask": "mask"}, round=1)
    assert steps == list(range(3, 8))
    assert all(not ends["second"][name][~kept].any() for name, kept in mask.items())
    (pair,) = read_csv("t-pair.csv").to_dict("records")
    kept = sum(int(part.sum()) for part in mask.values())
    assert pair["density"] == pytest.approx(kept / sum(part.size for part in mask.values()))


def test_states_of_another_iteration_are_refused(trained, capsys):
    assert second_copy("a", OF_DENSE | {"first": "it3"})
    assert "iteration" in capsys.readouterr().err


# The study


def study(**changes):
    return read_study(SMOKE, stability=changes)


@pytest.mark.parametrize("time", [24, 25, 1.0])
def test_a_second_copy_with_nothing_to_train_for_is_left_out_with_a_note(time):
    one = study(dense=[4, time])
    assert one.runs[0].stability["dense"] == [4]
    assert any(f"stability.dense {time} is left out: the run trains for 24" in note for note in one.left_out)


def test_tickets_that_no_chain_computes_are_left_out_with_a_note():
    one = study(rewind_iterations=[4, 9], rounds=[3, 7])
    assert one.runs[0].stability["rewind_iterations"] == [4]
    assert one.runs[0].stability["rounds"] == [3]
    assert any("stability.rounds 7 is left out" in note for note in one.left_out)


# What is said of it


def pairs_of(levels, round=0, density=1.0, spread=0.002):
    rng = np.random.default_rng(0)
    return DataFrame(
        [
            {"dataset": "d", "model": "m", "task": "supervised", "seed": seed, "k": k, "round": round,
             "density": density, "instability": level + spread * rng.normal()}
            for k, level in levels.items()
            for seed in range(5)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({0: 0.3, 20: 0.1, 100: 0.01, 200: 0.001}, (20, 100)),
        ({0: 0.01, 20: 0.001}, (0, 0)),
        ({20: 0.01, 100: 0.001}, (0, 20)),  # nothing is known before 20
        ({0: 0.001, 20: 0.1, 100: 0.01}, (20, 100)),  # stable, then not: counts from the last
        ({0: 0.3, 20: 0.1}, (np.nan, np.nan)),
        ({0: 0.3, 20: 0.0199}, (np.nan, np.nan)),  # below by less than the error
    ],
)
def test_stable_is_surely_below_two_points_from_then_on(levels, expected):
    np.testing.assert_equal(stable_from(pairs_of(levels)), expected)


def test_a_pair_that_diverged_is_in_no_mean_and_one_seed_is_no_verdict():
    pairs = pairs_of({0: 0.001})
    pairs.loc[0, "instability"] = np.nan
    assert stable_from(pairs) == (0, 0)
    assert np.isnan(stable_from(pairs[pairs["seed"] == 1])).all()
    dead = with_dead({"stability": pairs.assign(first_accuracy=0.9, second_accuracy=0.1)}, 10)["stability"]
    assert np.isnan(stable_from(dead)).all()


def test_the_round_is_that_nearest_to_the_papers_density():
    pairs = DataFrame({"round": [0, 1, 2, 3], "density": [1, 0.5, 0.2, 0.1]})
    assert ticket_round(pairs) == 2
    assert ticket_round(pairs[:1]) is None


def tables():
    pairs = DataFrame(
        [
            {"dataset": "d", "model": "m", "task": "supervised", "seed": seed, "k": k, "round": number,
             "density": density, "instability": 0.2 / (1 + k) + 0.001 * seed,
             "first_accuracy": 0.9, "second_accuracy": 0.9 - (-1) ** seed * 0.05 / (1 + k)}
            for number, density in ((0, 1.0), (4, 0.17))
            for k in (0, 20, 100)
            for seed in range(3)
        ]
    )  # fmt: skip
    positions = np.linspace(0, 1, 5)
    lines = pairs[["seed", "k", "round"]].merge(
        DataFrame({"position": positions, "error": 0.1 + 0.1 * np.sin(np.pi * positions)}), how="cross"
    )
    return {"stability": pairs, "lines": lines.assign(sample=64)}


def test_the_figure_shows_instability_against_k_and_the_lines():
    drawn, points = figure["stability"](tables())
    rises = points[points["quantity"] == "instability"].set_index(["round", "k"])
    assert rises.loc[(4, 20), "mean"] == pytest.approx(0.2 / 21 + 0.001)
    assert rises.loc[(0, 0), ["std", "n"]].tolist() == pytest.approx([0.001, 3])
    assert len(points[points["quantity"] == "error"]) == 2 * 3 * 5
    assert len(drawn.axes) == 3
    assert "n = 3 seeds" in drawn.get_supxlabel()
    said = drawn.get_supxlabel().replace("\n", " ")
    assert "Dense network: from k = 20" in said
    assert (
        "points on average – Dense network: 5.0 at k = 0, 0.0 at k = 100; Tickets, 17 % of weights: 5.0"
        in said
    )
    _, again = figure["stability"]({name: table.iloc[::-1] for name, table in tables().items()})
    assert points.equals(again)


def test_the_figure_reads_what_it_declares():
    common = {"iteration": 400, "loss": 0.3, "round": 4, "density": 0.17}
    runs = [common | {"seed": s, "k": k, "accuracy": 0.9 + 0.001 * s} for k in (0, 100) for s in range(3)]
    dense = [common | {"seed": s, "accuracy": 0.9 + 0.002 * s} for s in range(3)]
    trained = {"imp": DataFrame(runs), "dense": DataFrame(dense)}
    check_declaration("stability", tables() | trained)
    _, points = figure["stability"](tables() | trained)
    assert points.set_index("quantity").loc["rewinding_matches", "k"] == 0


def test_the_timeline_tells_from_when_on_networks_are_stable(rng):
    watched = telemetry(np.arange(0, 1000, 10), [0, 1], rng)
    events = timeline({"telemetry": watched, "stability": tables()["stability"]}).set_index("event")
    assert events.loc["dense_stable", ["low", "high"]].tolist() == [0, 20]
    assert events.loc["tickets_stable", "n"] == 3
    assert "2 points" in events.loc["tickets_stable", "rule"]


def judged(accuracies, instabilities, spread=0.0002, **of_pairs):
    """C6 on five seeds; percent by k, of tickets of 16.8 % of the weights, and of the dense network at None."""
    rng = np.random.default_rng(1)
    common = {"dataset": "d", "model": "m", "task": "supervised", "iteration": 400, "loss": 0.3}
    imp = [
        common | {"seed": seed, "k": k, "round": 4, "density": 0.168,
                  "accuracy": percent / 100 + 0.001 * rng.normal()}
        for k, percent in accuracies.items() if k is not None
        for seed in range(5)
    ]  # fmt: skip
    dense = [common | {"seed": seed, "accuracy": accuracies[None] / 100} for seed in range(5)]
    pairs = pairs_of(instabilities, round=4, density=0.168, spread=spread).assign(**of_pairs)
    found = {"imp": DataFrame(imp), "dense": DataFrame(dense), "stability": pairs}
    return [assessed("C6", found, SHORT, reading) for reading in KNOWN["C6"].readings]


YES, NO, OPEN = "reproduced", "not reproduced", "inconclusive"


def test_that_stable_tickets_match_and_that_others_do_not_are_two_rows():
    unstable = {0: 0.3, 20: 0.1, 100: 0.005}
    for percents, expected in (
        ({0: 75, 20: 84, 100: 90}, [YES, YES]), ({0: 75, 20: 84, 100: 82}, [NO, YES]), ({0: 75, 20: 91, 100: 91}, [YES, NO]),
    ):  # fmt: skip
        rows = judged({None: 90} | percents, unstable)
        assert [row["verdict"] for row in rows] == expected
    assert "given that instability at k = 20 is above 2 (+10.00 points), p = " in rows[1]["test"]
    assert "k = 0 and 20" in rows[1]["statement"] and "k = 100" in rows[0]["statement"]


def test_two_dead_copies_are_no_evidence_of_stability():
    percents, levels = {None: 90, 0: 75, 100: 90}, {0: 0.3, 100: 0.0001}
    assert judged(percents, levels)[0]["verdict"] == YES
    rows = judged(percents, levels, first_accuracy=0.9, second_accuracy=0.11)
    assert [row["verdict"] for row in rows] == [DIED, DIED]


def test_where_it_is_not_sure_that_tickets_are_stable_nothing_is_decided():
    """Of five seeds, about 2 points, with a spread of 1.5."""
    for level, place in ((0.017, 0), (0.022, 1)):
        for percent in (90, 80):
            row = judged({None: 90, 0: 75, 20: percent, 100: 90}, {0: 0.3, 20: level, 100: 0.002}, 0.015)[
                place
            ]
            assert row["verdict"] == OPEN and re.search(r"p = 0\.[0-9]+$", row["test"])


def test_where_all_or_none_are_stable_one_of_the_rows_is_not_run():
    stable, unstable = judged({None: 90, 0: 75, 100: 90}, {0: 0.3, 100: 0.1})
    assert (stable["verdict"], unstable["verdict"]) == (NOT_CONFIGURED, NO)
    assert "tickets of no k are stable; instability in points is 30.0 at k = 0, 10" in stable["test"]
    assert (
        "tickets of no k are unstable"
        in judged({None: 90, 0: 90, 100: 90}, {0: 0.001, 100: 0.001})[1]["test"]
    )
