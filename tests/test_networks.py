import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kstest

from earlyphase.core.initial import initial_std
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.errors import InvalidInput


@pytest.mark.parametrize(
    ("depth", "parameters", "prunable"), [(20, 272_474, 270_896), (56, 855_770, 851_504)]
)
def test_counts_are_those_of_the_paper(depth, parameters, prunable):
    model = resnet(3, 10, depth=depth, width=16)
    tensors = dict(model.named_parameters())
    assert sum(tensor.numel() for tensor in tensors.values()) == parameters
    assert sum(tensors[name].numel() for name in prunable_names(model)) == prunable


def test_prunable_weights_of_resnet20_by_part():
    model = resnet(3, 10, depth=20)
    sizes = {name: dict(model.named_parameters())[name].numel() for name in prunable_names(model)}
    shortcuts = {name: size for name, size in sizes.items() if "shortcut" in name}
    blocks = [name for name in sizes if name.startswith("blocks") and name not in shortcuts]
    stages = [
        sum(sizes[name] for name in blocks if int(name.split(".")[1]) // 3 == stage) for stage in range(3)
    ]
    assert sizes["conv.weight"] == 432
    assert stages == [13_824, 50_688, 202_752]
    assert sorted(shortcuts.values()) == [16 * 32, 32 * 64]
    assert sizes["fc.weight"] == 640
    unpruned = {name: t.numel() for name, t in model.named_parameters() if name not in sizes}
    assert sum(unpruned.values()) == 784 * 2 + 10


def reference_forward(state, x, blocks):
    """The network again, from its definition, on a bare state dict in eval mode."""

    def norm(x, name):
        return F.batch_norm(
            x,
            state[f"{name}.running_mean"],
            state[f"{name}.running_var"],
            state[f"{name}.weight"],
            state[f"{name}.bias"],
        )

    x = F.relu(norm(F.conv2d(x, state["conv.weight"], padding=1), "bn"))
    for index in range(3 * blocks):
        stride = 2 if index in (blocks, 2 * blocks) else 1
        name = f"blocks.{index}"
        out = F.relu(
            norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1")
        )
        out = norm(F.conv2d(out, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride == 2:
            x = norm(F.conv2d(x, state[f"{name}.shortcut.0.weight"], stride=2), f"{name}.shortcut.1")
        x = F.relu(out + x)
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def test_forward_is_the_residual_network_of_its_definition():
    model = resnet(3, 7, depth=14, width=4).eval()
    load_state(model, initial_state(model, seed=3))
    x = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = reference_forward({k: torch.from_numpy(v) for k, v in state_of(model).items()}, x, blocks=2)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


def test_initial_weights_follow_their_laws():
    model = resnet(3, 10, depth=56)
    state = initial_state(model, seed=0)
    for name in prunable_names(model):
        weights, law = state[name], initial_std(state[name].shape)
        error = 5 / np.sqrt(2 * weights.size)  # five standard errors of a standard deviation
        assert weights.std() == pytest.approx(law, rel=error), name
        assert abs(weights.mean()) < 5 * law / np.sqrt(weights.size), name
    scales = np.concatenate(
        [v for k, v in state.items() if ("bn" in k or "shortcut.1" in k) and "weight" in k]
    )
    assert scales.min() >= 0
    assert scales.max() <= 1
    assert scales.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * scales.size))
    assert not any(
        np.any(v) for k, v in state.items() if ("bn" in k or "shortcut.1" in k) and k.endswith("bias")
    )
    assert np.abs(state["fc.bias"]).max() <= 1 / np.sqrt(64)


def test_the_initial_bias_is_uniform_up_to_one_over_the_root_of_the_fan_in():
    model = resnet(3, 50, depth=8, width=4)  # the linear layer reads 16 channels
    biases = np.concatenate([initial_state(model, seed)["fc.bias"] for seed in range(40)])
    assert kstest(biases, "uniform", (-1 / 4, 1 / 2)).pvalue > 0.01
    assert 0.249 < np.abs(biases).max() <= 0.25


def test_sigma_of_resnet20_layers():
    shapes = [(16, 3, 3, 3), (16, 16, 3, 3), (32, 32, 3, 3), (64, 64, 3, 3), (32, 16, 1, 1), (10, 64)]
    expected = [0.272, 0.118, 0.083, 0.059, 0.354, 0.177]
    assert [round(initial_std(shape), 3) for shape in shapes] == expected


def test_a_seed_fixes_the_initial_state_and_seeds_differ():
    model = resnet(3, 10, depth=8, width=4)
    once, again, other = initial_state(model, 0), initial_state(model, 0), initial_state(model, 1)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert all(not np.array_equal(once[name], other[name]) for name in prunable_names(model))


def test_two_layers_of_one_shape_draw_different_weights():
    state = initial_state(resnet(3, 10, depth=14, width=4), 0)
    assert not np.array_equal(state["blocks.0.conv1.weight"], state["blocks.0.conv2.weight"])


def test_a_state_survives_the_network(rng):
    model = resnet(3, 10, depth=8, width=4)
    state = {
        name: rng.standard_normal(value.shape).astype(value.dtype) for name, value in state_of(model).items()
    }
    load_state(model, state)
    assert all(np.array_equal(value, state[name]) for name, value in state_of(model).items())


def test_a_checkpoint_of_another_network_is_refused():
    wide, narrow = resnet(3, 10, depth=8, width=8), resnet(3, 10, depth=8, width=4)
    with pytest.raises(InvalidInput, match="another network"):
        load_state(narrow, state_of(wide))
    with pytest.raises(InvalidInput, match="another network"):
        load_state(narrow, state_of(resnet(3, 10, depth=14, width=4)))


@pytest.mark.parametrize("depth", [2, 9, 18, 21])
def test_a_depth_that_is_no_resnet_is_refused(depth):
    with pytest.raises(InvalidInput, match=f"depth {depth} is not 6n"):
        resnet(3, 10, depth=depth)
