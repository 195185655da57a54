import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn.utils import prune

from earlyphase.core.masks import density, full_mask, gather_kept, prune_by_magnitude, scatter_kept
from earlyphase.errors import InvalidInput

SHAPES = {"conv": (4, 3, 3, 3), "shortcut": (8, 4, 1, 1), "fc": (5, 8)}


def draw_weights(rng):
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def subset(smaller, larger):
    return all(not np.any(smaller[name] & ~larger[name]) for name in larger)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.integers(1, 6))
def test_masks_nest_and_counts_are_exact(seed, fraction, rounds):
    rng = np.random.default_rng(seed)
    mask = full_mask(draw_weights(rng), list(SHAPES))
    for _ in range(rounds):
        kept = sum(int(part.sum()) for part in mask.values())
        smaller = prune_by_magnitude(draw_weights(rng), mask, fraction)
        assert subset(smaller, mask)
        assert sum(int(part.sum()) for part in smaller.values()) == kept - round(fraction * kept)
        mask = smaller


def test_density_follows_the_schedule_of_the_paper(rng):
    weights = {"w": rng.standard_normal(270_896).astype(np.float32)}
    mask = full_mask(weights, ["w"])
    for imp_round in range(1, 16):
        mask = prune_by_magnitude(weights, mask, 0.2)
        if imp_round == 1:
            assert int(mask["w"].sum()) == 270_896 - 54_179
        assert density(mask) == pytest.approx(0.8**imp_round, rel=1e-4)


def test_equals_torch_global_unstructured_over_two_rounds(rng):
    weights = draw_weights(rng)
    mask = full_mask(weights, list(SHAPES))
    modules = {name: torch.nn.Module() for name in SHAPES}
    for name, module in modules.items():
        module.weight = torch.nn.Parameter(torch.from_numpy(weights[name].copy()))
    parameters = [(module, "weight") for module in modules.values()]
    for _ in range(2):
        mask = prune_by_magnitude(weights, mask, 0.2)
        prune.global_unstructured(parameters, prune.L1Unstructured, amount=0.2)
        for name, module in modules.items():
            assert np.array_equal(module.weight_mask.bool().numpy(), mask[name])


def test_many_equal_magnitudes_go_in_the_order_of_their_positions(rng):
    """So many that a sort which is not stable exchanges some."""
    weights = {name: rng.integers(-2, 3, 3000).astype(np.float32) for name in "ab"}
    mask = prune_by_magnitude(weights, full_mask(weights, ["a", "b"]), 0.3)
    together = [abs(value) for name in "ab" for value in weights[name].tolist()]
    removed = sorted(range(6000), key=lambda position: (together[position], position))[:1800]
    assert np.flatnonzero(~gather_kept(mask, full_mask(weights, ["a", "b"]))).tolist() == sorted(removed)


def test_a_kept_weight_of_zero_is_still_kept():
    weights = {"w": np.array([0, 0, 1, 2, 3], np.float32)}
    mask = prune_by_magnitude(weights, full_mask(weights, ["w"]), 0.2)
    assert mask["w"].tolist() == [False, True, True, True, True]


@given(arrays(bool, (3, 4)), arrays(bool, (2, 2, 3)), st.integers(0, 1000))
def test_scatter_is_the_inverse_of_gather(first, second, seed):
    mask = {"first": first, "second": second}
    rng = np.random.default_rng(seed)
    weights = {name: rng.standard_normal(kept.shape) for name, kept in mask.items()}
    scattered = scatter_kept(gather_kept(weights, mask), mask)
    for name, kept in mask.items():
        assert np.array_equal(scattered[name], np.where(kept, weights[name], 0))


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must lie in"):
        prune_by_magnitude({"w": np.ones(3)}, {"w": np.ones(3, bool)}, fraction)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_of_a_diverged_run_are_refused(bad):
    weights = {"w": np.array([1.0, bad, 2.0])}
    with pytest.raises(InvalidInput, match="1 of 3 kept weights are not finite"):
        prune_by_magnitude(weights, full_mask(weights, ["w"]), 0.2)
