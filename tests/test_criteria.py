"""Criteria, one-shot pruning, random masks, layer collapse and images that are held out."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from earlyphase.core.branches import Ticket, one_shot, shuffle_mask
from earlyphase.core.criteria import Pruning, criterion, prune
from earlyphase.core.images import Images
from earlyphase.core.masks import density, empty_layers, full_mask, prune_by_magnitude
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task, hold_out, rotation
from earlyphase.core.training import Run, Training, evaluate, mean_gradient
from earlyphase.errors import InvalidInput

SHAPES = {"conv": (4, 3, 3, 3), "shortcut": (8, 4, 1, 1), "fc": (5, 8)}
SEEDS = st.integers(0, 2**32 - 1)
SPEC = {
    "iterations": 6, "batch_size": 16, "learning_rate": 0.05, "milestones": [4], "decay": 0.1,
    "momentum": 0.9, "weight_decay": 1e-4, "crop_padding": 0, "flip": False, "evaluate_every": 3,
}  # fmt: skip


def draw(seed, step=0.0):
    """Weights of three layers; with a step, rounded to its multiples, so that many are equal."""
    rng = np.random.default_rng(seed)
    drawn = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    return (
        {name: np.float32(step) * np.round(a / np.float32(step)) for name, a in drawn.items()}
        if step
        else drawn
    )


def ticket_of(mask, final, seed=0, k=0):
    return Ticket(draw(seed), draw(seed), final, mask, k, 1)


def kept(mask):
    return {name: int(part.sum()) for name, part in mask.items()}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# one-shot pruning and random masks


@given(SEEDS, st.floats(0.001, 0.999), st.sampled_from([0.0, 0.5]))
def test_one_shot_at_the_density_of_the_first_round_is_the_first_round(seed, fraction, step):
    """Many equal magnitudes too."""
    final = draw(seed, step)
    first = prune_by_magnitude(final, full_mask(final, list(SHAPES)), fraction)
    if not density(first):
        return
    assert same(one_shot(ticket_of(first, final), 0).mask, first)


@given(SEEDS, st.integers(1, 6))
def test_one_shot_keeps_as_many_as_a_later_round_and_the_largest(seed, rounds):
    final = draw(seed)
    mask = full_mask(final, list(SHAPES))
    for number in range(rounds):
        mask = prune_by_magnitude(draw((seed, number)), mask, 0.36)
    ticket = ticket_of(mask, final, seed)
    after = one_shot(ticket, 0)
    assert sum(kept(after.mask).values()) == sum(kept(mask).values())
    stays = np.concatenate([np.abs(final[name][after.mask[name]]) for name in SHAPES])
    goes = np.concatenate([np.abs(final[name][~after.mask[name]]) for name in SHAPES])
    assert goes.max() <= stays.min()
    for name, part in after.mask.items():  # the weights are those of k
        assert np.array_equal(after.weights[name], np.where(part, ticket.weights[name], 0))


def test_a_random_mask_keeps_every_position_equally_often():
    mask = full_mask(draw(0), list(SHAPES))
    mask["fc"][2:] = False  # 16 of 40
    ticket = ticket_of(mask, draw(0))
    often = sum(shuffle_mask(ticket, seed, scope="layer").mask["fc"].astype(int) for seed in range(400))
    assert often.min() > 400 * 0.4 - 5 * np.sqrt(400 * 0.24)
    assert often.max() < 400 * 0.4 + 5 * np.sqrt(400 * 0.24)


# criteria


def slow_prune(scores, mask, fraction, scope):
    """The same by sorting a list: of (score, layer, position)."""
    layers = [[name] for name in mask] if scope == "layer" else [list(mask)]
    after = {name: part.copy() for name, part in mask.items()}
    for names in layers:
        places = [
            (float(scores[name].flat[at]), list(mask).index(name), at)
            for name in names
            for at in np.flatnonzero(mask[name])
        ]
        for _, layer, at in sorted(places)[: round(fraction * len(places))]:
            after[list(mask)[layer]].flat[at] = False
    return after


SCORES = {
    "magnitude": ({}, lambda w, v, g: np.abs(v)),
    "magnitude_at_k": ({}, lambda w, v, g: np.abs(w)),
    "movement": ({}, lambda w, v, g: np.abs(v) - np.abs(w)),
    "movement towards any": ({"towards": "any"}, lambda w, v, g: np.abs(v - w)),
    "gradient_times_weight": ({"batches": 3}, lambda w, v, g: np.abs(g * w)),
}


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("name", SCORES)
def test_a_criterion_removes_the_smallest_of_its_scores(name, scope):
    arguments, score = SCORES[name]
    trained, rewound, gradient = draw(0), draw(1), draw(2)
    mask = prune_by_magnitude(draw(3), full_mask(draw(3), list(SHAPES)), 0.3)
    asked = []
    given = Pruning(trained, rewound, mask, 0.36, lambda batches: asked.append(batches) or gradient)
    after = prune({"function": name.split()[0], "scope": scope} | arguments, given, 0)
    scores = {layer: score(rewound[layer], trained[layer], gradient[layer]) for layer in SHAPES}
    assert same(after, slow_prune(scores, mask, 0.36, scope))
    assert asked == ([3] if name == "gradient_times_weight" else [])


def test_every_registered_criterion_is_tested():
    assert {name.split()[0] for name in SCORES} | {"random"} == set(criterion)


@given(SEEDS, st.floats(0.1, 0.9), st.sampled_from(["global", "layer"]))
def test_random_pruning_round_by_round_nests_and_ends_where_one_draw_would(seed, fraction, scope):
    everything, entry = full_mask(draw(0), list(SHAPES)), {"function": "random", "scope": scope}
    once, other = (prune(entry, Pruning(draw(0), draw(1), everything, fraction), seed + by) for by in (0, 1))
    assert not same(once, other)
    total = sum(kept(everything).values())
    if scope == "layer":
        assert kept(once) == {n: size - round(fraction * size) for n, size in kept(everything).items()}
    else:
        assert sum(kept(once).values()) == total - round(fraction * total)
        again = prune(entry, Pruning(draw(2), draw(3), once, 0.25), seed)
        whole = Pruning(draw(4), draw(5), everything, 1 - sum(kept(again).values()) / total)
        assert same(again, prune(entry, whole, seed))


def test_a_criterion_of_a_plugin_that_revives_weights_or_removes_all_is_refused():
    mask = prune_by_magnitude(draw(0), full_mask(draw(0), list(SHAPES)), 0.3)
    given = Pruning(draw(0), draw(1), mask, 0.2)

    @criterion
    def revives(given, seed):
        return {name: ~part for name, part in given.mask.items()}

    @criterion
    def removes_all(given, seed):
        return {name: np.zeros_like(part) for name, part in given.mask.items()}

    try:
        with pytest.raises(InvalidInput, match="revives keeps weights that were removed"):
            prune({"function": "revives"}, given, 0)
        with pytest.raises(InvalidInput, match="removes_all keeps no weight"):
            prune({"function": "removes_all"}, given, 0)
    finally:
        del criterion["revives"], criterion["removes_all"]


def test_gradient_times_weight_without_images_says_so():
    given = Pruning(draw(0), draw(1), full_mask(draw(0), list(SHAPES)), 0.2)
    with pytest.raises(InvalidInput, match="needs training images"):
        prune({"function": "gradient_times_weight"}, given, 0)


def images_of(rng, count, size=8):
    arrays = rng.integers(0, 256, (count, 3, size, size), np.uint8), rng.integers(0, 4, count)
    return Images.from_arrays(*arrays, np.full(3, 0.5), np.full(3, 0.25), torch.device("cpu"))


def test_the_gradient_is_that_of_the_loss_under_the_mask_by_finite_differences(rng):
    """In float64, along random directions; the pruned weights are zero where it is taken."""
    model = resnet(3, 4, depth=8, width=4)
    start = initial_state(model, 0)
    mask = {name: rng.random(start[name].shape) < 0.5 for name in prunable_names(model)}
    images = images_of(rng, 64)
    settings = TrainingSettings.from_spec(SPEC)
    batch_at = Task(images, images, 4).batches(0, 16, settings.augmentation_at)
    found = mean_gradient(model, Training(start, range(2, 6), batch_at, settings, mask), 3)
    parameters = [name for name, _ in model.named_parameters()]
    assert found.keys() == set(parameters)
    masked = start | {name: np.where(part, start[name], 0) for name, part in mask.items()}

    def loss(state):
        load_state(model, {name: np.asarray(array) for name, array in state.items()})
        model.double().train()
        with torch.no_grad():
            batches = [batch_at(iteration) for iteration in (2, 3, 4)]
            return float(np.mean([float(F.cross_entropy(model(x.double()), y)) for x, y in batches]))

    model.double()
    direction = {name: rng.standard_normal(start[name].shape) for name in parameters}
    step = 1e-8
    ahead, behind = (
        loss(
            {
                n: a.astype(float) + sign * step * direction[n] if n in direction else a
                for n, a in masked.items()
            }
        )
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    assert sum((found[name] * direction[name]).sum() for name in parameters) == pytest.approx(
        expected, rel=2e-3
    )


def test_pruning_in_each_layer_leaves_a_layer_its_last_weight_where_ranking_over_all_does_not():
    weights = draw(0)
    weights["shortcut"] *= 1e-3
    mask = {scope: full_mask(weights, list(SHAPES)) for scope in ("global", "layer")}
    for _ in range(20):
        mask = {
            scope: prune({"function": "magnitude", "scope": scope}, Pruning(weights, weights, part, 0.36), 0)
            for scope, part in mask.items()
        }
    assert empty_layers(mask["layer"]) == []
    assert "shortcut" in empty_layers(mask["global"])


# images that are held out


def test_held_out_images_and_the_rest_are_the_set_and_differ_between_replicates(rng):
    images = images_of(rng, 60)
    task = Task(images, images_of(rng, 10), 4)
    left, out = hold_out(task, 12, seed=3)
    assert (len(left.train), len(out)) == (48, 12)

    def labelled(part):
        return {
            (row.numpy().tobytes(), int(label)) for row, label in zip(part.pixels, part.labels, strict=True)
        }

    assert labelled(left.train) | labelled(out) == labelled(images)
    assert torch.equal(hold_out(task, 12, seed=3)[1].pixels, out.pixels)
    assert not torch.equal(hold_out(task, 12, seed=4)[1].pixels, out.pixels)
    assert hold_out(task, 0, seed=3) == (task, None)


def test_too_many_held_out_images_are_refused(rng):
    with pytest.raises(InvalidInput, match=r"training\.validation is 9, but there are 10"):
        hold_out(Task(images_of(rng, 10), images_of(rng, 4), 4), 9, seed=0)


def test_rows_carry_the_validation_loss_and_training_is_the_same_without_it(rng):
    images, test, out = images_of(rng, 64), images_of(rng, 30), images_of(rng, 20)
    settings = TrainingSettings.from_spec(SPEC)
    batch_at = Task(images, test, 4).batches(0, 16, settings.augmentation_at)
    found = {}
    for validation in (None, out):
        model = resnet(3, 4, depth=8, width=4)
        run = Run(
            Training(initial_state(model, 0), range(6), batch_at, settings),
            model,
            test,
            nullcontext,
            validation=validation,
        )
        assert list(run)[-1] == 6
        found[validation is None] = run.rows, run.progress().weights
    (plain, weights), (more, same_weights) = found[True], found[False]
    assert same(weights, same_weights)
    names = ("iteration", "accuracy", "loss", "dead_features")
    assert [list(row) for row in plain] == [list(names)] * 3
    assert [{name: row[name] for name in names} for row in more] == plain
    last = evaluate(model, out, nullcontext)
    assert (more[-1]["validation_accuracy"], more[-1]["validation_loss"]) == (last["accuracy"], last["loss"])


def test_what_a_task_makes_of_test_images_it_makes_of_held_out_ones(rng):
    task = Task(images_of(rng, 30), images_of(rng, 10), 4)
    _, out = hold_out(task, 6, seed=1)
    turned = rotation(replace(task, test=out), 1).test
    for pixels, before, turns in zip(turned.pixels, out.pixels, turned.labels, strict=True):
        assert torch.equal(pixels, torch.rot90(before, int(turns), (0, 1)))
