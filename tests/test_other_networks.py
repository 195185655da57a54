"""The networks beside the CIFAR ResNets: counts, what is pruned, and a second implementation of each."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.vgg import cfgs, make_layers

from earlyphase.core.networks.lenet import conv, lenet_300_100
from earlyphase.core.networks.resnet import resnet18
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.networks.vgg import vgg
from earlyphase.core.networks.wide_resnet import wide_resnet
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_mask, save_weights
from earlyphase.runtime.tickets import load_trained
from earlyphase.runtime.trajectory import kept_states
from test_first_iterations import NAMES, folder, job, spec  # noqa: F401 - `folder` is a fixture

ALL = {
    "resnet18": (lambda: resnet18(3, 10), 11_173_962, 11_164_352),
    "resnet18, large stem": (lambda: resnet18(3, 10, stem="imagenet"), 11_181_642, None),
    "vgg13": (lambda: vgg(3, 10, depth=13), 9_416_010, 9_402_048),
    "wrn16_8": (lambda: wide_resnet(3, 10, depth=16, widen=8), 10_961_370, 10_954_160),
    "lenet_300_100": (lambda: lenet_300_100(1, 10), 266_610, 266_200),
    "conv2": (lambda: conv(3, 10, depth=2), None, 4_300_992),
    "conv4": (lambda: conv(3, 10, depth=4), None, 2_425_024),
    "conv6": (lambda: conv(3, 10, depth=6), None, 2_261_184),
}


@pytest.mark.parametrize("name", ALL)
def test_counts_are_those_of_the_papers(name):
    make, parameters, prunable = ALL[name]
    model = make()
    sizes = {key: tensor.numel() for key, tensor in model.named_parameters()}
    if parameters is not None:
        assert sum(sizes.values()) == parameters
    if prunable is not None:
        assert sum(sizes[key] for key in prunable_names(model)) == prunable


def test_the_linear_layer_of_vgg_is_not_pruned_and_those_of_others_are():
    assert "fc.weight" not in prunable_names(vgg(3, 10, depth=13, width=2))
    assert len(prunable_names(vgg(3, 10, depth=13, width=2))) == 10
    assert "fc.weight" in prunable_names(resnet18(3, 10, width=2))
    assert len(prunable_names(lenet_300_100(1, 10))) == 3


def trained_like(model):
    """A state with statistics of its own, so that batch norm does something."""
    state, rng = initial_state(model, 0), np.random.default_rng(0)
    for name, array in state.items():
        if name.endswith("running_mean"):
            state[name] = rng.normal(size=array.shape).astype(np.float32)
        elif name.endswith("running_var"):
            state[name] = rng.uniform(0.5, 2, array.shape).astype(np.float32)
    load_state(model, state)
    return model.eval(), {name: torch.from_numpy(array) for name, array in state.items()}


def images(channels=3, size=32):
    return torch.from_numpy(
        np.random.default_rng(1).normal(size=(3, channels, size, size)).astype(np.float32)
    )


def norm(state, name, x):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def same(model, expected, x):
    with torch.no_grad():
        assert torch.allclose(model(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_resnet18_is_torchvisions(stem):
    model, state = trained_like(resnet18(3, 10, stem=stem))
    other = torchvision.models.resnet18(num_classes=10)
    if stem == "cifar":
        other.conv1, other.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
    for (_, ours), (_, theirs) in zip(state.items(), other.state_dict().items(), strict=True):
        theirs.copy_(ours)
    same(model, other.eval()(images()).detach(), images())


@pytest.mark.parametrize("size", [32, 16])
def test_vgg_is_torchvisions_trunk(size):
    model, state = trained_like(vgg(3, 10, depth=13))
    trunk = make_layers(cfgs["B"], batch_norm=True).eval()  # of VGG-13
    names = [name for name in state if name.startswith("layers.")]
    for name, theirs in zip(names, trunk.state_dict().values(), strict=True):
        theirs.copy_(state[name])
    x = images(size=size)
    with torch.no_grad():
        for layer in list(trunk)[:-1]:  # the last pooling is ours to average
            if not isinstance(layer, torch.nn.MaxPool2d) or x.shape[-1] > 1:
                x = layer(x)
        expected = F.linear(x.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])
    same(model, expected, images(size=size))


def test_wide_resnet_from_its_definition():
    model, state = trained_like(wide_resnet(3, 10, depth=16, widen=2))
    x = F.conv2d(images(), state["conv.weight"], padding=1)
    for index in range(6):
        name, stride = f"blocks.{index}", 2 if index in (2, 4) else 1
        inner = F.relu(norm(state, f"{name}.bn1", x))
        out = F.conv2d(inner, state[f"{name}.conv1.weight"], stride=stride, padding=1)
        out = F.conv2d(F.relu(norm(state, f"{name}.bn2", out)), state[f"{name}.conv2.weight"], padding=1)
        shortcut = state.get(f"{name}.shortcut.weight")
        x = out + (x if shortcut is None else F.conv2d(inner, shortcut, stride=stride))
    expected = F.linear(F.relu(norm(state, "bn", x)).mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])
    same(model, expected, images())


def test_networks_without_batch_norm_from_their_definition():
    model, state = trained_like(lenet_300_100(1, 10))
    x = images(1, 28).flatten(1).numpy()
    for layer in ("1", "3", "5"):
        x = x @ state[f"{layer}.weight"].numpy().T + state[f"{layer}.bias"].numpy()
        x = np.maximum(x, 0) if layer != "5" else x
    same(model, torch.from_numpy(x), images(1, 28))
    for depth in (2, 4, 6):
        model, state = trained_like(conv(3, 10, depth=depth, width=4))
        x, weights = images(), [name[: -len(".weight")] for name in state if name.endswith(".weight")]
        for number, name in enumerate(weights):
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            if number < depth:
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
                x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5)) if number % 2 else x
            else:
                x = F.linear(x.flatten(1), weight, bias)
                x = F.relu(x) if number < len(weights) - 1 else x
        same(model, x, images())


def test_a_wide_resnet_of_another_depth_is_refused():
    with pytest.raises(InvalidInput, match=r"depth 17 is not 6n \+ 4"):
        wide_resnet(3, 10, depth=17)


@pytest.mark.parametrize(
    ("entry", "home"),
    [
        ({"function": "lenet_300_100", "size": 8}, "lenet.lenet_300_100"),
        ({"function": "conv", "depth": 2, "width": 2, "size": 8}, "lenet.conv"),
        ({"function": "vgg", "depth": 13, "width": 2}, "vgg.vgg"),
        ({"function": "resnet18", "width": 2}, "resnet.resnet18"),
        ({"function": "wide_resnet", "depth": 10}, "wide_resnet.wide_resnet"),
    ],
)
def test_each_is_trained_pruned_and_trained_again(folder, entry, home):  # noqa: F811
    """A dense run and a round of pruning as jobs; pruned weights end at zero."""
    roots = [f"core.networks.{home}"]
    outputs = {"trajectory": "trajectory", "metrics": "dense.csv", "run": "dense.json"}
    assert not job("dense", spec(model=entry), {}, outputs, "--keep", "0", "3", roots=roots)
    for k, weights in kept_states("trajectory").items():
        save_weights(f"it{k}", weights, iteration=k)
    of_round = {"columns": NAMES | {"k": 3, "round": 1}, "criterion": {"function": "magnitude"}}
    pruned = spec(model=entry, prune_fraction=0.5, **of_round)
    outputs = {"mask": "mask", "weights": "weights", "metrics": "round.csv", "run": "round.json"}
    assert not job("imp_round", pruned, {"rewind": "it3", "weights": "it8"}, outputs, roots=roots)
    mask, (weights, _) = load_mask("mask"), load_trained("weights")
    kept = sum(int(part.sum()) for part in mask.values()) / sum(part.size for part in mask.values())
    assert kept == pytest.approx(0.5, abs=0.01)
    assert all(not weights[name][~part].any() for name, part in mask.items())
