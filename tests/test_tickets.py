"""What sparsity buys: compact files, ONNX, emptied channels, sparse runtimes, timing."""

import importlib.util
import json
import re
import shutil
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from assigned import ROOT
from earlyphase.__main__ import main
from earlyphase.core.channels import without_emptied_channels
from earlyphase.core.inference import (
    RUNTIMES,
    can_be_unrolled,
    deviation,
    onnx_file,
    onnx_session,
    scipy_product,
    with_sparse_layers,
)
from earlyphase.core.networks.lenet import conv, lenet_300_100
from earlyphase.core.networks.resnet import resnet, resnet18
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_mask, load_tensors, save_mask, save_tensors, save_weights
from earlyphase.runtime.tickets import load_ticket, load_trained, pack_ticket, save_trained, unpack_ticket
from earlyphase.runtime.timing import EnergyCounters, in_turns

needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))),
    reason="pip install 'earlyphase[inference]'",
)


def trained(seed, density, depth=8, width=4, dtype=torch.float32):
    """A network in eval mode with running statistics of some batch, and `density` of its weights."""
    rng = np.random.default_rng(seed)
    model = resnet(3, 5, depth=depth, width=width)
    load_state(model, initial_state(model, seed))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.bias.copy_(torch.from_numpy(rng.standard_normal(layer.num_features) / 2))
        model.train()(torch.from_numpy(rng.standard_normal((32, 3, 8, 8)).astype(np.float32)))
        for name in prunable_names(model):
            weight = model.get_parameter(name)
            weight.mul_(torch.from_numpy(rng.random(weight.shape) < density))
    return model.to(dtype).eval()


@st.composite
def tickets(draw):
    """Weights with a mask, in any shapes; values of all kinds, among them NaN, infinities and both zeros."""
    shapes = draw(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density, odd = draw(st.floats(0, 1)), draw(st.booleans())
    weights, mask = {}, {}
    for number, shape in enumerate(shapes):
        values = rng.standard_normal(shape).astype(np.float32)
        if odd:
            values.ravel()[0] = rng.choice(np.float32([np.nan, -np.nan, np.inf, -0.0, 1e-45]))
        mask[f"layer{-number}.weight"] = kept = np.asarray(rng.random(shape) < density)
        weights[f"layer{-number}.weight"] = np.where(kept, values, np.copysign(np.float32(0), values))
    weights["bn.num_batches_tracked"] = np.array(rng.integers(0, 2**62))
    weights["bn.running_mean"] = rng.standard_normal(draw(st.integers(0, 5))).astype(np.float32)
    return weights, mask


@settings(max_examples=100, deadline=None)
@given(ticket=tickets(), iteration=st.integers(0, 10**9))
def test_a_ticket_is_read_back_bit_for_bit(tmp_path_factory, ticket, iteration):
    weights, mask = ticket
    path = tmp_path_factory.mktemp("packed") / "ticket.safetensors"
    path.write_bytes(content := pack_ticket(weights, mask, iteration))
    found, found_mask, found_iteration = unpack_ticket(path)
    assert found_iteration == iteration and found.keys() == weights.keys()
    assert list(found_mask) == list(mask)
    for name, array in weights.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        expected = (
            np.where(mask[name], array, np.float32(0)) if name in mask else array
        )  # no sign of a pruned weight
        assert found[name].tobytes() == expected.tobytes(), name
    assert all(np.array_equal(found_mask[name], mask[name]) for name in mask)
    assert content == pack_ticket(weights, mask, iteration)


def test_a_packed_ticket_is_as_small_as_its_parts(rng):
    kept = rng.random((300, 400)) < 0.05
    weights = {"w": np.where(kept, rng.standard_normal(kept.shape), 0).astype(np.float32)}
    size = len(pack_ticket(weights, {"w": kept}, 1))
    assert kept.size / 8 + 4 * kept.sum() < size < kept.size / 8 + 4 * kept.sum() + 800


def test_weights_that_the_mask_prunes_must_be_zero():
    with pytest.raises(InvalidInput, match="1 of the 2 weights that the mask prunes are not zero"):
        pack_ticket({"w": np.float32([1, 0, 3])}, {"w": np.array([True, False, False])}, 1)


def test_a_damaged_compact_file_is_refused(tmp_path):
    content = bytearray(pack_ticket({"w": np.float32([1, 0])}, {"w": np.array([True, False])}, 1))
    content[-1] ^= 1
    (tmp_path / "ticket").write_bytes(content)
    with pytest.raises(InvalidInput, match="checksum"):
        unpack_ticket(tmp_path / "ticket")


@pytest.fixture
def folder(tmp_path):
    """The folder of a round among results."""
    place = tmp_path / "results/imp/mine/net/seed0/supervised/magnitude/it4/round3"
    model = trained(0, 0.2)
    weights = state_of(model)
    mask = {name: weights[name] != 0 for name in prunable_names(model)}
    save_mask(place / "mask.safetensors", mask)
    save_trained(place / "weights.safetensors", weights, mask, 24)
    spec = {"model": {"function": "resnet", "depth": 8, "width": 4}, "columns": {"dataset": "mine"}}
    (place / "run.json").write_text(json.dumps({"spec": spec}))
    images = np.random.default_rng(1).integers(0, 256, (9, 3, 8, 8)).astype(np.uint8)
    arrays = {"test_images": images, "test_labels": np.zeros(9, np.int64)}
    arrays |= {"mean": np.full(3, 0.5, np.float32), "std": np.full(3, 0.25, np.float32)}
    save_tensors(tmp_path / "results/data/mine.safetensors", "data set", arrays)
    return place


# A ticket in a network of one's own


class Stored(nn.Module):
    """The layers of a network of the package under other names."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x):
        return self.inner(x)


def test_a_ticket_is_loaded_into_the_network_of_its_study_and_into_one_of_ones_own(folder):
    x = torch.randn(5, 3, 8, 8)
    expected = trained(0, 0.2)(x)
    assert torch.equal(load_ticket(folder).eval()(x), expected)
    own = Stored(resnet(3, 5, depth=8, width=4))
    names = dict(zip(load_ticket(folder).state_dict(), own.state_dict(), strict=True))
    assert load_ticket(folder, own, names=names) is own
    assert torch.equal(own.eval()(x), expected)
    with pytest.raises(InvalidInput, match="another network"):
        load_ticket(folder, own)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "RMSprop"])
def test_pruned_weights_stay_zero_in_any_training_and_the_others_move(folder, optimizer):
    """Beside a training of the same steps in which the whole gradient and the weights are masked by hand."""
    options = {"lr": 0.01, "weight_decay": 0.1} | ({"momentum": 0.9} if optimizer != "AdamW" else {})
    held, plain = load_ticket(folder), trained(0, 0.2)
    mask = {name: torch.from_numpy(kept) for name, kept in load_mask(folder / "mask.safetensors").items()}
    for model, by_hand in ((held, False), (plain, True)):
        torch.manual_seed(0)
        steps = getattr(torch.optim, optimizer)(model.parameters(), **options)
        for _ in range(4):
            steps.zero_grad()
            model.train()(torch.randn(16, 3, 8, 8)).square().mean().backward()
            for name, kept in mask.items() if by_hand else ():
                model.get_parameter(name).grad *= kept
            steps.step()
    for name, kept in mask.items():
        weight, before = held.get_parameter(name), trained(0, 0.2).get_parameter(name)
        assert not weight[~kept].any() and (weight[kept] != before[kept]).all()
        assert torch.equal(weight, plain.get_parameter(name))


def test_a_ticket_is_loaded_as_it_began(folder, tmp_path):
    """The state at k of the dense network, in the same results, under the mask; a copied folder has none."""
    at_k, mask = state_of(trained(7, 1)), load_mask(folder / "mask.safetensors")
    save_weights(tmp_path / "results/dense/mine/net/seed0/supervised/it4.safetensors", at_k, iteration=4)
    found = state_of(load_ticket(folder, rewound=True))
    for name, array in found.items():
        np.testing.assert_array_equal(array, at_k[name] * mask.get(name, np.True_), err_msg=name)
    (tmp_path / "copy").mkdir()
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / "copy")
    load_ticket(tmp_path / "copy")
    with pytest.raises(InvalidInput, match="no folder of results"):
        load_ticket(tmp_path / "copy", rewound=True)


@pytest.mark.parametrize(("build", "channels", "options"), [
    (lenet_300_100, 3, {"size": 8}), (conv, 1, {"depth": 2, "width": 3, "size": 8}),
])  # fmt: skip
def test_the_network_of_a_study_is_told_from_its_tickets_tensors(folder, build, channels, options):
    model = build(channels, 7, **options)
    weights = state_of(model)
    mask = {name: weights[name] > 0 for name in prunable_names(model)}
    save_mask(folder / "mask.safetensors", mask)
    save_trained(
        folder / "weights.safetensors", {n: a * mask.get(n, np.True_) for n, a in weights.items()}, mask, 1
    )
    spec = {"model": {"function": build.__name__} | options}
    (folder / "run.json").write_text(json.dumps({"spec": spec}))
    assert load_ticket(folder)(torch.zeros(2, channels, 8, 8)).shape == (2, 7)


def test_the_snippets_of_the_documentation_run(tmp_path, monkeypatch):
    """On ResNet-18 of one's own in the place of the study's: the same outputs, and zeros that stay."""
    place = tmp_path / "results/imp/cifar10/resnet18/seed0/supervised/magnitude/it500/round8"
    model = resnet18(3, 10)
    load_state(model, initial_state(model, 0))
    weights = state_of(model)
    mask = {
        name: np.abs(weights[name]) > np.quantile(np.abs(weights[name]), 0.8)
        for name in prunable_names(model)
    }
    kept = {name: array * mask.get(name, np.True_) for name, array in weights.items()}
    save_mask(place / "mask.safetensors", mask)
    save_trained(place / "weights.safetensors", kept, mask, 24)
    (place / "run.json").write_text(json.dumps({"spec": {"model": {"function": "resnet18"}}}))
    x, y = torch.randn(4, 3, 16, 16), torch.arange(4)
    monkeypatch.chdir(tmp_path)
    pages = [path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]]
    snippets = [
        code
        for page in pages
        for code in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
        if "load_ticket" in code
    ]
    assert snippets
    for code in snippets:
        code = re.sub(r"results/imp/[^\"]*", str(place.relative_to(tmp_path)), code)
        namespace = {"images": x, "labels": y}
        exec(code, namespace)
        found = namespace["model"]
        before = found.eval()(x).detach()
        torch.testing.assert_close(before, load_ticket(place).eval()(x))
        optimizer = torch.optim.SGD(found.parameters(), lr=0.1, momentum=0.9)
        F.cross_entropy(found.train()(x), y).backward()
        optimizer.step()
        assert not torch.equal(found.eval()(x), before)
        zeros = sum(int((parameter == 0).sum()) for parameter in found.parameters() if parameter.ndim > 1)
        assert zeros == sum(int((~part).sum()) for part in mask.values())


def test_export_writes_the_whole_state_and_the_mask(folder, tmp_path):
    assert main(["export", str(folder), "--out", str(tmp_path / "plain")]) == 0
    stored, _ = load_trained(folder / "weights.safetensors")
    plain, header = load_tensors(tmp_path / "plain/weights.safetensors", "checkpoint")
    assert header["iteration"] == 24 and plain.keys() == stored.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(array, stored[name], err_msg=name)
    mask = load_mask(tmp_path / "plain/mask.safetensors")
    assert all((plain[name][~kept] == 0).all() for name, kept in mask.items())
    assert (folder / "weights.safetensors").stat().st_size < (
        tmp_path / "plain/weights.safetensors"
    ).stat().st_size


def test_export_says_what_it_needs(folder, capsys):
    assert main(["export", str(folder)]) == 1
    assert "earlyphase export: nothing to write" in capsys.readouterr().err


def test_a_ticket_that_diverged_is_kept_whole(tmp_path):
    weights = {"w": np.float32([np.nan, np.nan, 3]), "b": np.float32([1])}
    save_trained(tmp_path / "ticket", weights, {"w": np.array([True, False, True])}, 7)
    found, iteration = load_trained(tmp_path / "ticket")
    assert iteration == 7 and found["w"].tobytes() == weights["w"].tobytes()


@needs_onnx
def test_export_to_onnx_is_checked_on_images(folder, tmp_path, capsys):
    import onnx

    path = tmp_path / "network.onnx"
    assert main(["export", str(folder), "--onnx", str(path)]) == 0
    onnx.checker.check_model(onnx.load(path))
    assert "on 9 images within" in capsys.readouterr().out


@pytest.mark.parametrize("runtime", ["torch_csr", "scipy", "onnxruntime"])
@pytest.mark.parametrize("density", [1, 0.1])
def test_every_runtime_gives_the_outputs_of_torch(runtime, density, rng):
    if runtime.startswith("onnx"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    model = trained(3, density)
    images = torch.from_numpy(rng.standard_normal((7, 3, 8, 8)).astype(np.float32))
    forward = onnx_session(onnx_file(model, images)) if runtime == "onnxruntime" else RUNTIMES[runtime](model)
    assert deviation(forward, model, images) < 1e-5
    assert deviation(forward, model, images[:1]) < 1e-5
    wrong = trained(4, density)
    assert deviation(forward, wrong, images) > 0.01


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        nn.Conv2d(3, 4, 1, bias=False),
        nn.Conv2d(3, 6, 3, groups=3, padding=1),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
    ],
)
def test_convolutions_of_any_kind_are_unrolled_or_left(layer, rng):
    model = nn.Sequential(layer, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * layer.out_channels, 2))
    images = torch.from_numpy(rng.standard_normal((3, 3, 7, 9)).astype(np.float32))
    changed = with_sparse_layers(model, scipy_product)
    assert isinstance(changed[0], nn.Conv2d) != can_be_unrolled(layer)
    assert deviation(changed, model, images) < 1e-5


# Emptied channels


def channels_of(model):
    return {name: layer.out_channels for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


@pytest.mark.parametrize("depth", [8, 14])
@pytest.mark.parametrize("density", [0.1, 0.06, 0.03])
def test_a_network_without_its_emptied_channels_has_the_same_outputs(depth, density, rng):
    removed = 0
    for seed in range(5):
        model = trained(seed, density, depth, dtype=torch.float64)
        images = torch.from_numpy(rng.standard_normal((6, 3, 8, 8)))
        narrow = without_emptied_channels(model)
        assert deviation(narrow, model, images) < 1e-6
        assert deviation(narrow, model, images[:, :, :5, :7]) < 1e-6  # other margins
        assert (
            deviation(without_emptied_channels(trained(seed, density, depth)), model.float(), images.float())
            < 1e-6
        )
        removed += sum(channels_of(model).values()) - sum(channels_of(narrow).values())
    assert removed > 0


def test_a_dense_network_loses_nothing():
    model = trained(0, 1.0)
    assert channels_of(without_emptied_channels(model)) == channels_of(model)


def test_constant_channels_become_one_and_unread_ones_go(rng):
    model = trained(1, 1.0, dtype=torch.float64)
    block = model.blocks[1]
    with torch.no_grad():
        block.conv1.weight[[1, 2, 5]] = 0
        block.bn1.bias[[1, 2, 5]] += 3  # a constant that the nonlinearity lets pass
        block.conv2.weight[:, 7] = 0  # of eight
    narrow = without_emptied_channels(model)
    expected = channels_of(model) | {"blocks.1.conv1": 8 - 2 - 1}
    assert channels_of(narrow) == expected
    images = torch.from_numpy(rng.standard_normal((4, 3, 8, 8)))
    assert deviation(narrow, model, images) < 1e-9
    assert channels_of(without_emptied_channels(narrow)) == expected


def test_a_channel_of_the_stream_goes_only_if_no_block_writes_it(rng):
    """A network with two blocks a stage: the second adds to what an identity shortcut passes on."""
    model = trained(2, 1.0, depth=14, dtype=torch.float64)
    first, second = model.blocks[2], model.blocks[3]
    with torch.no_grad():
        for layer in (first.conv2, first.shortcut[0]):
            layer.weight[[0, 3]] = 0
    assert channels_of(without_emptied_channels(model)) == channels_of(model)
    with torch.no_grad():
        second.conv2.weight[[0, 3]] = 0
        first.bn2.bias += 2
    narrow = without_emptied_channels(model)
    assert narrow.blocks[3].conv2.out_channels == narrow.blocks[4].conv1.in_channels == 7  # two became one
    assert deviation(narrow, model, torch.from_numpy(rng.standard_normal((4, 3, 8, 8)))) < 1e-9


def test_a_network_without_any_weight_still_answers(rng):
    model = trained(0, 0.0, dtype=torch.float64)
    narrow = without_emptied_channels(model)
    assert set(channels_of(narrow).values()) == {1}
    assert deviation(narrow, model, torch.from_numpy(rng.standard_normal((2, 3, 8, 8)))) < 1e-9


# Timing


def counters(folder, microjoules, most=1000):
    for number, value in enumerate(microjoules):
        place = folder / f"intel-rapl:{number}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "energy_uj").write_text(f"{value}\n")
        (place / "max_energy_range_uj").write_text(f"{most}\n")
    part = folder / "intel-rapl:0:0"  # of the package: must not be counted again
    part.mkdir(exist_ok=True)
    (part / "energy_uj").write_text("77")


def test_energy_is_summed_over_packages_and_survives_a_counter_that_starts_anew(tmp_path):
    counters(tmp_path, [990, 5])
    energy = EnergyCounters(tmp_path)
    before = energy.read()
    counters(tmp_path, [20, 45])
    assert energy.readable
    assert energy.joules(before, energy.read()) == pytest.approx((31 + 40) / 1e6)


def test_energy_that_cannot_be_read_is_not_made_up(tmp_path):
    energy = EnergyCounters(tmp_path / "nothing")
    assert not energy.readable and energy.read() == []


def test_functions_have_their_turns_one_after_the_other(tmp_path):
    order = []

    def spin(name, seconds):
        order.append(name)
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    calls = {"short": lambda: spin("s", 0.002), "long": lambda: spin("l", 0.02)}
    timings = in_turns(calls, 3, 0.01, EnergyCounters(tmp_path))
    turns = "".join(order[4:])  # after two calls of each
    block = "s" * timings["short"].calls + "l"
    assert turns == 3 * block and 4 <= timings["short"].calls <= 6
    for name, seconds in (("short", 0.002), ("long", 0.02)):
        assert len(timings[name].seconds) == 3
        assert np.median(timings[name].processor_seconds) == pytest.approx(seconds, rel=0.3)
        assert min(timings[name].seconds) >= 0.9 * seconds
