from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earlyphase.core.branches import (
    Ticket,
    apply,
    batch_norm_from_0,
    branch,
    combine,
    constant,
    effective_std,
    gaussian_noise,
    matched_noise,
    permute_channels,
    rewind,
    rewind_layers_to_0,
    rewind_to_0,
    shuffle,
    shuffle_magnitudes,
    size_of_change,
)
from earlyphase.core.initial import draw_initial, initial_std
from earlyphase.core.masks import full_mask, gather_kept, prune_by_magnitude
from earlyphase.core.networks.lenet import conv, lenet_300_100
from earlyphase.core.networks.resnet import resnet, resnet18
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.networks.vgg import vgg
from earlyphase.errors import InvalidInput
from earlyphase.study.signatures import registered

SHAPES = {"conv": (4, 3, 3, 3), "shortcut": (8, 4, 1, 1), "fc": (5, 8)}
SCOPES = ["global", "layer", "filter", "kernel", "incoming", "outgoing"]
STATES = ["k", "0", "fresh"]
FIXED = [("rewind", {}), ("rewind_to_0", {}), ("batch_norm_from_0", {})]
FIXED += [("combine", {"signs": signs, "magnitudes": size}) for signs in "k0" for size in "k0"]
FIXED += [("constant", {"signs": signs}) for signs in "k0"]
FIXED += [("rewind_layers_to_0", {"layers": layers}) for layers in ([2], [1, 3])]
FIXED += [("one_shot", {"criterion": name}) for name in ("magnitude", "magnitude_at_k", "movement")]
RANDOM = [("shuffle", {"scope": scope, "keep_signs": keep}) for scope in SCOPES for keep in (False, True)]
RANDOM += [("shuffle_magnitudes", {"scope": "kernel"}), ("shuffle_magnitudes", {})]
RANDOM += [
    ("combine", {"signs": "fresh", "magnitudes": "k"}),
    ("combine", {"signs": "k", "magnitudes": "fresh"}),
]
RANDOM += [("constant", {"signs": "fresh"}), ("shuffle_mask", {}), ("shuffle_mask", {"scope": "kernel"})]
RANDOM += [
    ("gaussian_noise", {"scale": 0.5}),
    ("matched_noise", {"scope": "kernel"}),
    ("permute_channels", {}),
    ("change_one_weight", {"scale": 1}),
]
SEEDS = st.integers(0, 2**32 - 1)
DENSITIES = st.floats(0, 1)


def draw_mask(rng, shapes, density):
    return {name: rng.random(shape) < density for name, shape in shapes.items()}


def draw_ticket(seed, density=0.5, shapes=SHAPES):
    """A ticket of a few tensors, whose kept weights hold a zero, and one that is not prunable."""
    rng = np.random.default_rng(seed)
    weights, initial = (
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        | {"bn": rng.standard_normal(4).astype(np.float32)}
        for _ in range(2)
    )
    for name in shapes:
        weights[name].flat[0] = 0
    return Ticket(weights, initial, weights, draw_mask(rng, shapes, density), 40, 6)


def network_ticket(model, seed=0, density=0.5):
    """A ticket of a network that has seen data: nothing of its state is at a default."""
    rng = np.random.default_rng(seed)
    initial, names = initial_state(model, seed), prunable_names(model)
    moved = {
        name: rng.normal(0, 0.05, tensor.shape) if name in names else rng.uniform(0.1, 1.5, tensor.shape)
        for name, tensor in initial.items()
    }
    moved |= {name: 9 for name in initial if name.endswith("num_batches_tracked")}
    weights = {name: np.asarray(tensor + moved[name], tensor.dtype) for name, tensor in initial.items()}
    mask = draw_mask(rng, {name: initial[name].shape for name in names}, density)
    return Ticket(weights, initial, weights, mask, 40, 6)


def perturb(ticket, name, arguments, seed=0):
    return branch.named(name)(ticket, seed, **arguments)


def groups_of(kept, scope):
    """Index arrays of the groups of one layer, by loops: an independent reading of a scope."""
    axes = {"layer": [], "filter": [0], "kernel": [0, 1], "incoming": [0], "outgoing": [1]}[scope]
    groups = {}
    for position in np.argwhere(kept):
        groups.setdefault(tuple(position[axes]), []).append(tuple(position))
    return [tuple(np.array(positions).T) for positions in groups.values()]


def states_equal(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


# configured branches


def test_configured_branches_apply_one_after_the_other():
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    noise, shuffled = {"function": "gaussian_noise", "scale": 0.5}, {"function": "shuffle", "scope": "layer"}
    after = apply([noise, shuffled], ticket, 3)
    by_hand = shuffle(gaussian_noise(ticket, 3, scale=0.5), 3, scope="layer")
    assert states_equal(after.weights, by_hand.weights)
    assert not states_equal(after.weights, apply([shuffled, noise], ticket, 3).weights)
    assert apply([], ticket, 3) is ticket


def test_the_size_of_a_change_is_measured_against_the_ticket_before_it():
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    assert size_of_change(ticket, rewind(ticket, 0)) == (0, 0)
    after = combine(ticket, 0, signs="0", magnitudes="0")
    change = np.concatenate(
        [(ticket.initial[n] - ticket.weights[n])[kept] for n, kept in ticket.mask.items()]
    )
    assert size_of_change(ticket, after) == pytest.approx((change.mean(), change.std()), rel=1e-5)


def test_renaming_channels_is_no_change_of_any_size_before_or_after_another():
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    renamed = permute_channels(ticket, 0)
    assert size_of_change(ticket, renamed) == (0, 0)
    after = gaussian_noise(renamed, 0, scale=1.0)
    wanted = effective_std(renamed.weights, after.weights, renamed.mask)
    assert size_of_change(ticket, after) == wanted
    assert size_of_change(ticket, permute_channels(after, 1)) == pytest.approx(wanted)


# what holds for every perturbation


@pytest.mark.parametrize(("name", "arguments"), FIXED + RANDOM)
def test_only_kept_weights_change_pruned_ones_are_zero_and_the_clock_is_as_declared(name, arguments):
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    before = {
        part: {k: v.copy() for k, v in getattr(ticket, part).items()}
        for part in ("weights", "initial", "mask")
    }
    after = perturb(ticket, name, arguments)
    for part, tensors in before.items():
        assert states_equal(tensors, getattr(ticket, part)), "the ticket that was passed in changed"
    assert list(after.weights) == list(ticket.weights)
    for tensor, old in zip(after.weights.values(), ticket.weights.values(), strict=True):
        assert tensor.dtype == old.dtype
        assert tensor.flags.c_contiguous
    assert all(not after.weights[layer][~kept].any() for layer, kept in after.mask.items())
    assert after.iteration == registered("perturbations")[name].facts.get("clock", ticket.iteration)
    assert (name == "rewind_to_0") == (after.iteration == 0) and after.round == ticket.round
    if name != "permute_channels":
        assert states_equal(after.mask, ticket.mask) == (name not in ("shuffle_mask", "one_shot"))
        assert states_equal(after.initial, ticket.initial)
        source = ticket.initial if name in ("rewind_to_0", "batch_norm_from_0") else ticket.weights
        for other in ticket.weights.keys() - ticket.mask.keys():
            assert np.array_equal(after.weights[other], source[other])


@pytest.mark.parametrize(("name", "arguments"), FIXED + RANDOM)
def test_a_replicate_repeats_itself_and_differs_from_the_next(name, arguments):
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    once = perturb(ticket, name, arguments, seed=3).weights
    assert states_equal(once, perturb(ticket, name, arguments, seed=3).weights)
    other = perturb(ticket, name, arguments, seed=4).weights
    assert states_equal(once, other) == ((name, arguments) in FIXED)


def test_every_registered_perturbation_is_tested_above():
    assert {name for name, _ in FIXED + RANDOM} == set(branch)


def test_a_layer_that_keeps_nothing_is_no_fault():
    ticket = draw_ticket(0)
    ticket.mask["shortcut"][:] = False
    for name, arguments in FIXED + RANDOM:
        if name not in ("permute_channels", "one_shot"):
            with np.errstate(all="raise"):
                assert not perturb(ticket, name, arguments).weights["shortcut"].any()


def test_a_kept_weight_of_zero_takes_part():
    ticket = draw_ticket(0, density=1.0)
    assert gaussian_noise(ticket, 0, scale=1.0).weights["conv"].flat[0] != 0
    assert shuffle(ticket, 0, scope="layer").weights["conv"].flat[0] != 0
    mixed = combine(ticket, 0, signs="k", magnitudes="0").weights["conv"]
    assert mixed.flat[0] == abs(ticket.initial["conv"].flat[0])


def test_every_layer_draws_numbers_of_its_own():
    ticket = draw_ticket(0, density=1.0, shapes={"one": (4, 3), "two": (4, 3)})
    alike = replace(ticket, weights=ticket.weights | {"two": ticket.weights["one"]})
    for after in (
        gaussian_noise(alike, 0, scale=1.0),
        combine(alike, 0, signs="fresh", magnitudes="fresh"),
        shuffle(alike, 0, scope="layer"),
    ):
        assert not np.isclose(after.weights["one"], after.weights["two"]).all()


# which state


def test_rewinding_takes_the_state_of_k_or_of_0():
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    assert states_equal(rewind(ticket, 0).weights, masked(ticket.weights, ticket.mask))
    assert states_equal(rewind_to_0(ticket, 0).weights, masked(ticket.initial, ticket.mask))
    some = rewind_layers_to_0(ticket, 0, layers=[1, 4])
    of_0 = {name: ticket.initial[name] for name in ("conv.weight", "blocks.1.conv1.weight")}
    assert states_equal(some.weights, masked(ticket.weights | of_0, ticket.mask))
    with pytest.raises(InvalidInput, match="layers has 11, but the network has 10 layers"):
        rewind_layers_to_0(ticket, 0, layers=[11])
    of_k = {name: ticket.weights[name] for name in ticket.mask}
    mixed = batch_norm_from_0(ticket, 0).weights
    assert states_equal(mixed, masked(ticket.initial | of_k, ticket.mask))


def masked(state, mask):
    return {name: tensor * mask[name] if name in mask else tensor for name, tensor in state.items()}


# signs and magnitudes


@pytest.mark.parametrize("signs", STATES)
@pytest.mark.parametrize("magnitudes", STATES)
def test_combine_takes_signs_from_one_state_and_magnitudes_from_another(signs, magnitudes):
    ticket, seed = draw_ticket(1), 5
    fresh = {name: draw_initial(name, shape, seed, "perturb fresh") for name, shape in SHAPES.items()}
    states = {"k": ticket.weights, "0": ticket.initial, "fresh": fresh}
    after = combine(ticket, seed, signs=signs, magnitudes=magnitudes).weights
    for name, kept in ticket.mask.items():
        assert np.array_equal(abs(after[name][kept]), abs(states[magnitudes][name][kept]))
        assert np.array_equal(np.signbit(after[name][kept]), np.signbit(states[signs][name][kept]))


def test_a_fresh_draw_is_not_the_initial_one_and_has_its_law():
    model = resnet(3, 10, depth=20)
    initial = initial_state(model, 7)
    ticket = Ticket(initial, initial, initial, full_mask(initial, prunable_names(model)), 40, 6)
    fresh = combine(ticket, 7, signs="fresh", magnitudes="fresh").weights
    for name, kept in ticket.mask.items():
        assert abs(np.corrcoef(fresh[name].ravel(), initial[name].ravel())[0, 1]) < 5 / np.sqrt(kept.size)
        assert fresh[name].std() == pytest.approx(initial_std(kept.shape), rel=5 / np.sqrt(2 * kept.size))


@given(SEEDS, DENSITIES)
def test_constant_is_the_initial_std_of_the_layer(seed, density):
    ticket = draw_ticket(seed, density)
    after = constant(ticket, seed, signs="0").weights
    for name, kept in ticket.mask.items():
        assert np.array_equal(
            abs(after[name][kept]), np.full(kept.sum(), np.float32(initial_std(kept.shape)))
        )
        assert np.array_equal(after[name][kept] < 0, ticket.initial[name][kept] < 0)


@pytest.mark.parametrize(
    ("keeps", "drops"),
    [
        (partial(combine, signs="0", magnitudes="0"), partial(combine, signs="fresh", magnitudes="0")),
        (
            partial(combine, signs="0", magnitudes="fresh"),
            partial(combine, signs="fresh", magnitudes="fresh"),
        ),
        (partial(shuffle_magnitudes, signs="0"), partial(shuffle, scope="layer")),
        (partial(constant, signs="0"), partial(constant, signs="fresh")),
    ],
    ids=["original", "fresh", "reshuffled", "constant"],
)
def test_the_starting_weights_of_zhou_with_and_without_their_signs(keeps, drops):
    ticket = draw_ticket(3, density=1.0)
    ticket = replace(ticket, weights=ticket.initial)  # k = 0
    initial, with_signs, without = (
        gather_kept(one.weights, ticket.mask) for one in (ticket, keeps(ticket, 0), drops(ticket, 0))
    )
    assert np.array_equal(np.sign(with_signs), np.sign(initial))
    assert 0.3 < (without * initial > 0).mean() < 0.7
    if drops.func is not shuffle:  # both variants have the same magnitudes
        assert np.array_equal(abs(with_signs), abs(without))


# shuffles


@given(SEEDS, DENSITIES, st.sampled_from(SCOPES), st.booleans())
def test_a_shuffle_only_moves_weights_within_its_scope(seed, density, scope, keep_signs):
    ticket = draw_ticket(seed, density)
    after = shuffle(ticket, seed, scope=scope, keep_signs=keep_signs).weights
    values, moved = (np.sort(gather_kept(state, ticket.mask)) for state in (ticket.weights, after))
    assert np.array_equal(values, moved)
    for name, kept in ticket.mask.items():
        for group in groups_of(kept, scope) if scope != "global" else ():
            assert np.array_equal(np.sort(ticket.weights[name][group]), np.sort(after[name][group]))
        if keep_signs:
            assert np.array_equal(ticket.weights[name][kept] < 0, after[name][kept] < 0)


@given(SEEDS, DENSITIES, st.sampled_from(SCOPES[1:]), st.sampled_from(STATES))
def test_shuffled_magnitudes_stay_in_scope_under_the_signs_of_a_state(seed, density, scope, signs):
    ticket = draw_ticket(seed, density)
    after = shuffle_magnitudes(ticket, seed, scope=scope, signs=signs).weights
    source = combine(ticket, seed, signs=signs, magnitudes="fresh").weights
    for name, kept in ticket.mask.items():
        for group in groups_of(kept, scope):
            assert np.array_equal(np.sort(abs(ticket.weights[name][group])), np.sort(abs(after[name][group])))
        assert np.array_equal(np.signbit(after[name][kept]), np.signbit(source[name][kept]))


def test_scopes_that_hold_one_weight_move_nothing():
    ticket = draw_ticket(0)
    before, after = rewind(ticket, 0).weights, shuffle(ticket, 0, scope="kernel").weights
    assert np.array_equal(after["shortcut"], before["shortcut"])
    assert np.array_equal(after["fc"], before["fc"])
    assert not np.array_equal(after["conv"], before["conv"])


def test_every_permutation_is_equally_likely():
    weights = {"w": np.array([[1, 2, 3, 9]], np.float32)}
    ticket = Ticket(weights, weights, weights, {"w": np.array([[True, True, True, False]])}, 40, 6)
    drawn = [tuple(shuffle(ticket, seed, scope="layer").weights["w"][0]) for seed in range(1200)]
    counts = [drawn.count(order) for order in set(drawn)]
    assert len(counts) == 6
    assert sum((count - 200) ** 2 / 200 for count in counts) < 20.5  # chi-squared, 5 degrees: p = 0.001


@pytest.mark.parametrize("scope", ["layer", "kernel"])
def test_a_shuffle_moves_weights_as_far_as_the_closed_form_says(scope):
    """E[(w_pi(i) - w_i)^2] = 2 s^2 (1 - 1/n) with s^2 the sample variance of n values."""
    ticket = draw_ticket(0, density=0.6)
    kept = ticket.mask["conv"]
    groups = [ticket.weights["conv"][group] for group in groups_of(kept, scope)]
    expected = sum(2 * g.var(ddof=1) * (1 - 1 / g.size) * g.size for g in groups if g.size > 1) / kept.sum()
    moved = [
        shuffle(ticket, seed, scope=scope).weights["conv"] - ticket.weights["conv"] for seed in range(400)
    ]
    squares = [float(np.mean(change[kept] ** 2)) for change in moved]
    assert np.mean(squares) == pytest.approx(expected, abs=5 * np.std(squares) / np.sqrt(400))


def test_a_position_is_treated_alike_under_every_mask_and_scale():
    """Contrasts between scales, scopes and rounds are paired."""
    ticket = draw_ticket(0)
    small, large = (gaussian_noise(ticket, 0, scale=scale).weights["conv"] for scale in (0.5, 1.0))
    change = rewind(ticket, 0).weights["conv"]
    assert np.allclose(2 * (small - change), large - change, atol=1e-6)
    sparser = replace(
        ticket,
        mask={
            name: kept & (kept.cumsum().reshape(kept.shape) % 2 == 0) for name, kept in ticket.mask.items()
        },
    )
    both = sparser.mask["conv"]
    assert np.array_equal(gaussian_noise(sparser, 0, scale=1.0).weights["conv"][both], large[both])


# noise


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_noise_is_scaled_by_the_initial_std_of_each_layer(scale):
    shapes = {"stem": (64, 3, 3, 3), "conv": (64, 32, 3, 3), "shortcut": (64, 32, 1, 1), "fc": (100, 64)}
    ticket = draw_ticket(0, density=0.5, shapes=shapes)
    after = gaussian_noise(ticket, 0, scale=scale).weights
    for name, kept in ticket.mask.items():
        n, sigma = int(kept.sum()), scale * initial_std(kept.shape)
        mean, std = effective_std(ticket.weights, after, {name: kept})
        assert std == pytest.approx(sigma, rel=5 / np.sqrt(2 * n))
        assert mean == pytest.approx(0, abs=5 * sigma / np.sqrt(n))


@pytest.mark.parametrize(
    ("scope", "keep_signs"), [("global", False), ("layer", True), ("kernel", False), ("outgoing", True)]
)
def test_matched_noise_is_as_large_as_its_shuffle_in_every_layer(scope, keep_signs):
    shapes = {"stem": (64, 3, 3, 3), "conv": (64, 32, 3, 3), "shortcut": (64, 32, 1, 1), "fc": (100, 64)}
    ticket = draw_ticket(0, density=0.5, shapes=shapes)
    shuffled = shuffle(ticket, 0, scope=scope, keep_signs=keep_signs).weights
    noisy = matched_noise(ticket, 0, scope=scope, keep_signs=keep_signs).weights
    for name, kept in ticket.mask.items():
        target, std = (effective_std(ticket.weights, state, {name: kept})[1] for state in (shuffled, noisy))
        assert std == pytest.approx(target, rel=5 / np.sqrt(2 * kept.sum()))
        if scope == "kernel" and name in ("shortcut", "fc"):
            assert std == 0


def test_the_effective_std_pools_the_kept_weights_of_all_layers():
    before = {"a": np.zeros(4, np.float32), "b": np.zeros(2, np.float32)}
    after = {"a": np.array([1, 2, 99, 99], np.float32), "b": np.array([3, 99], np.float32)}
    mask = {"a": np.array([True, True, False, False]), "b": np.array([True, False])}
    assert effective_std(before, after, mask) == (2.0, pytest.approx(np.sqrt(2 / 3)))
    assert effective_std(before, after, {"b": np.zeros(2, bool)}) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [  # effective std by layer, filter, kernel; then the same with signs kept
        (0.0, (0.130, 0.129, 0.091, 0.079, 0.077, 0.046)),
        (0.5, (0.146, 0.145, 0.105, 0.086, 0.084, 0.051)),
        (1.0, (0.189, 0.187, 0.139, 0.064, 0.063, 0.037)),
    ],
)
def test_effective_stds_of_an_untrained_resnet20_equal_those_of_a_separate_simulation(rho, expected):
    """Round 6; the weights that choose the mask correlate at rho with those at the start."""
    model = resnet(3, 10, depth=20)
    start = initial_state(model, 0)
    names = prunable_names(model)
    trained = {
        name: (rho * start[name] + np.sqrt(1 - rho**2) * draw_initial(name, start[name].shape, 1)).astype(
            np.float32
        )
        for name in names
    }
    mask = prune_by_magnitude(trained, full_mask(trained, names), 1 - 0.8**6)
    ticket = Ticket(start, start, start, mask, 40, 6)
    found = [
        effective_std(start, shuffle(ticket, 0, scope=scope, keep_signs=keep_signs).weights, mask)
        for keep_signs in (False, True)
        for scope in ("layer", "filter", "kernel")
    ]
    assert [std for _, std in found] == pytest.approx(expected, abs=0.002)
    assert max(abs(mean) for mean, _ in found) < 1e-6
    for scale in (0.5, 1, 2, 3):
        noise = effective_std(start, gaussian_noise(ticket, 0, scale=scale).weights, mask)[1]
        assert noise == pytest.approx(0.0925 * scale, rel=0.03)


# permuted channels


def outputs(model, state, images, training):
    load_state(model, state)
    model.train(training)
    with torch.no_grad():
        return model(images)


NETWORKS = {
    "resnet": lambda: resnet(3, 10, depth=14, width=8),
    "resnet18": lambda: resnet18(3, 10, width=8),
    "vgg": lambda: vgg(3, 10, depth=13, width=8),
    "conv": lambda: conv(3, 10, depth=4, width=8, size=16),
    "lenet_300_100": lambda: lenet_300_100(3, 10, size=16),
}


def test_every_network_whose_channels_are_known_is_tested():
    assert registered("perturbations")["permute_channels"].facts["networks"] == tuple(NETWORKS)


@pytest.mark.parametrize("part", ["weights", "initial"])
@pytest.mark.parametrize("network", NETWORKS)
def test_permuted_channels_are_the_same_function(network, part):
    """In either mode of batch norm: so they train alike, up to rounding."""
    model = NETWORKS[network]()
    ticket = network_ticket(model, density=0.4)
    renamed = permute_channels(ticket, 1)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for training in (False, True):
        before, after = (
            outputs(model, masked(getattr(one, part), one.mask), images, training)
            for one in (ticket, renamed)
        )
        assert before.std() > 0.01
        assert torch.allclose(before, after, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_permuted_channels_move_every_tensor_with_hidden_channels(network):
    model = NETWORKS[network]()
    ticket, last = network_ticket(model), list(dict(model.named_parameters()))[-1]
    renamed = permute_channels(ticket, 1)
    for name, tensor in rewind(ticket, 1).weights.items():
        assert np.array_equal(np.sort(tensor, axis=None), np.sort(renamed.weights[name], axis=None))
        fixed = name == last or name.endswith("num_batches_tracked")
        assert np.array_equal(tensor, renamed.weights[name]) == fixed
    for name, kept in ticket.mask.items():
        assert renamed.mask[name].sum() == kept.sum()
        assert not np.array_equal(renamed.mask[name], kept)


def test_channels_of_an_unknown_network_are_refused():
    ticket = network_ticket(resnet(3, 10, depth=8, width=4))
    with pytest.raises(InvalidInput, match=r"does not know the channels of 'features.0.weight'"):
        permute_channels(replace(ticket, weights=ticket.weights | {"features.0.weight": np.zeros((4, 4))}), 0)
    with pytest.raises(InvalidInput, match=r"'fc.weight' of shape \(10, 30\) reads 16 channels"):
        permute_channels(replace(ticket, weights=ticket.weights | {"fc.weight": np.zeros((10, 30))}), 0)
    with pytest.raises(InvalidInput, match=r"'bn.bias' of shape \(5,\) stands beside 4 channels"):
        permute_channels(replace(ticket, weights=ticket.weights | {"bn.bias": np.zeros(5)}), 0)


# what a configuration may get wrong


def test_unknown_names_are_refused():
    ticket = draw_ticket(0)
    with pytest.raises(InvalidInput, match=r"unknown scope 'layers' \(known: global, layer, filter"):
        shuffle(ticket, 0, scope="layers")
    with pytest.raises(InvalidInput, match="come from k, 0 or fresh, not from 'init'"):
        combine(ticket, 0, signs="init", magnitudes="k")
    with pytest.raises(InvalidInput, match="unknown perturbation 'shufle'; did you mean 'shuffle'"):
        branch.named("shufle")
