"""What jobs ask a scheduler for: enough for what was measured, and in proportion to the work."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from earlyphase.core import training
from earlyphase.core.networks import network
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.work import LAYERS, work_of
from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.study import demand
from earlyphase.study.configuration import overlaid, read_files
from earlyphase.study.rules import read_rules
from earlyphase.study.signatures import registered
from earlyphase.study.study import Study

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "config.schema.yaml"
PAPER = {"dataset": "cifar10", "model": "resnet20", "seed": "0", "task": "supervised"}


def study(*presets, **settings):
    paths = [ROOT / "config.yaml", *(ROOT / f"presets/{name}.yaml" for name in presets)]
    config = overlaid(read_files(paths), settings)
    return Study(config, yaml.safe_load(SCHEMA.read_text()), read_rules(ROOT / "rules"))


ARGUMENTS = [
    ("resnet", {"depth": 8, "width": 4}, 8, 3), ("resnet", {"depth": 20}, 32, 3),
    ("resnet", {"depth": 14, "width": 8}, 27, 1), ("resnet18", {"width": 8}, 16, 3),
    ("resnet18", {"width": 8, "stem": "imagenet"}, 33, 3), ("vgg", {"depth": 11, "width": 4}, 32, 3),
    ("vgg", {"depth": 13, "width": 4}, 9, 3), ("wide_resnet", {"depth": 16, "widen": 2}, 16, 3),
    ("wide_resnet", {"depth": 10}, 16, 1), ("lenet_300_100", {"size": 28}, 28, 1),
    ("conv", {"depth": 2, "width": 4, "size": 32}, 32, 3), ("conv", {"depth": 6, "width": 4, "size": 9}, 9, 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "size", "channels"), ARGUMENTS)
def test_the_work_of_a_network_is_what_its_layers_do(name, arguments, size, channels):
    counted = []

    def count(layer, _inputs, output):
        counted.append((layer.weight[0].numel() * output[0].numel(), output[0].numel()))

    built = network[name](channels, 10, **arguments)
    for layer in built.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    built(torch.zeros(2, channels, size, size))
    operations, outputs = zip(*counted, strict=True)
    stated = work_of({"function": name, **arguments}, size, channels)
    assert (stated.layers, stated.multiply_adds) == (len(counted), sum(operations))
    assert (stated.outputs, stated.largest) == (sum(outputs), max(outputs))


def test_every_network_of_the_package_states_its_work():
    assert set(LAYERS) == set(network) == {name for name, *_ in ARGUMENTS}


def test_work_that_a_network_of_ones_own_states_badly_is_refused():
    with pytest.raises(
        InvalidInput, match=r"network mine states work=.*; it must have the whole numbers layers"
    ):
        work_of({"function": "mine"}, 8, 3, {"layers": 3})
    stated = {"layers": 3, "multiply_adds": 10, "outputs": 4, "largest": 2}
    assert work_of({"function": "mine"}, 8, 3, stated).multiply_adds == 10
    assert work_of({"function": "mine"}, 8, 3) is None


@pytest.mark.parametrize("name", ["photo_digits", "digits", "synthetic"])
def test_what_a_data_set_says_of_its_images_is_so(name):
    said, made = demand.images_of({"function": name}), dataset[name]()
    channels, height, _ = made.train_images.shape[1:]
    assert said == {
        "train": len(made.train_images), "test": len(made.test_images), "size": height, "channels": channels,
    }  # fmt: skip


def test_evaluation_batches_are_counted_as_they_are():
    assert training.EVALUATION_BATCH == demand.EVALUATED_AT_ONCE
    assert set(registered("datasets")) == set(dataset)


def test_configured_sizes_count_and_a_folder_has_a_guess():
    assert demand.images_of({"function": "synthetic", "train": 9, "size": 5}) == {
        "train": 9, "test": 128, "size": 5, "channels": 3,
    }  # fmt: skip
    assert demand.images_of({"function": "imagefolder", "path": "x", "size": 64, "flip": True})["size"] == 64


@pytest.mark.parametrize(
    ("data", "model", "images_a_second"),
    [("cifar10", "resnet20", 220), ("photo_digits", "resnet8", 3050)],  # measured, one core
)
def test_time_asked_for_is_more_than_was_measured_but_not_absurdly(data, model, images_a_second):
    of = study(runs=[{"dataset": data, "model": model}])
    iterations = 1000
    measured = iterations * of.run({"dataset": data, "model": model}).training["batch_size"] / images_a_second
    asked = demand.training_seconds(of, data, model, iterations, gpu=False)
    assert 1.2 * measured < asked < 6 * measured


@pytest.mark.parametrize("gpu", [False, True])
def test_each_kind_of_statistics_is_an_eigen_solve_more(gpu):
    one, two = (
        demand.curvature_seconds(
            study("paper", curvature={"statistics": kinds}), "cifar10", "resnet20", gpu=gpu
        )
        for kinds in (["sample"], ["sample", "running"])
    )
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("data", "model", "measured"),
    [("cifar10", "resnet20", 10.3), ("photo_digits", "resnet8", 1.1)],  # seconds, one core
)
def test_time_asked_for_the_fisher_information_is_more_than_was_measured(data, model, measured):
    of = study(runs=[{"dataset": data, "model": model}], fisher={"sample": 200})
    asked = demand.fisher_seconds(of, data, model, gpu=False)
    assert 1.2 * measured < asked < 12 * measured
    named = {"dataset": data, "model": model}
    assert demand.minutes(of, "fisher", named, 1, gpu=False) == demand.START + 1
    more = study(runs=[named], fisher={"sample": 400})
    assert demand.fisher_seconds(more, data, model, gpu=False) == pytest.approx(2 * asked)


def test_time_asked_for_a_line_is_more_than_was_measured_and_comes_on_top_of_training():
    chosen = {"dense": [0], "points": 30, "sample": 1000}
    named = {"dataset": "photo_digits", "model": "resnet8", "seed": "0", "task": "supervised", "k": "100"}
    of = study(runs=[{"dataset": "photo_digits", "model": "resnet8"}], stability=chosen)
    asked = demand.line_seconds(of, "photo_digits", "resnet8", gpu=False)
    assert 1.2 * 3.1 < asked < 12 * 3.1  # seconds of one core
    more = study(runs=of.config["runs"], stability=chosen | {"points": 3000})
    assert demand.line_seconds(more, "photo_digits", "resnet8", gpu=False) == pytest.approx(100 * asked)
    one, hundred = (demand.minutes(each, "stability", named, 1, gpu=False) for each in (of, more))
    assert hundred - one == pytest.approx(99 * asked / 60, abs=1)


def test_time_asked_for_counts_the_operations_of_a_training():
    """Those of a step, forward and back, as torch counts them; of each evaluation, forward alone."""
    images, iterations = 16, 100
    network = resnet(3, 10, depth=8, width=4)  # as resnet8 and photo_digits are configured
    with FlopCounterMode(display=False) as step:
        network(torch.zeros(images, 3, 16, 16)).sum().backward()
    with FlopCounterMode(display=False) as forward:
        network(torch.zeros(images, 3, 16, 16))
    seconds = {}
    for every in (10, 50):
        training_settings = {"batch_size": 64, "evaluate_every": every}
        of = study(runs=[{"dataset": "photo_digits", "model": "resnet8"}], training=training_settings)
        asked = demand.training_seconds(of, "photo_digits", "resnet8", iterations, gpu=False)
        seconds[every] = asked - iterations * demand.CPU_STEP
    tested = demand.images_of({"function": "photo_digits"})["test"]
    evaluation = forward.get_total_flops() / 2 / images * tested / demand.CPU_RATE
    assert seconds[10] - seconds[50] == pytest.approx(8 * evaluation, rel=0.01)
    steps = step.get_total_flops() / 2 / images * 64 * iterations / demand.CPU_RATE
    assert seconds[50] - 2 * evaluation == pytest.approx(steps, rel=0.1)  # the images need no gradient


@pytest.mark.parametrize("gpu", [False, True])
def test_time_asked_for_an_eigen_solve_is_that_of_its_products(gpu):
    """Each goes three times forward and back through the sample, as `HESSIAN_PRODUCTS` assumes."""
    seconds = [
        demand.curvature_seconds(
            study(curvature={"sample": size, "statistics": ["running"]}), "photo_digits", "resnet8", gpu=gpu
        )
        for size in (500, 1500)
    ]
    rate = demand.GPU_RATE if gpu else demand.CPU_RATE
    operations = (
        3
        * 3
        * work_of({"function": "resnet", "depth": 8, "width": 4}, 16, 3).multiply_adds
        * 1000
        * demand.HESSIAN_PRODUCTS
    )
    assert seconds[1] - seconds[0] == pytest.approx(operations / rate)
    launching = demand.HESSIAN_PRODUCTS * 9 * demand.GPU_LAYER_STEP * 10 if gpu else 0
    assert seconds[0] == pytest.approx(operations / rate / 2 + launching)


def test_a_gpu_asks_for_less_time_and_a_longer_training_for_more():
    of = study("paper")
    cpu, gpu = (demand.minutes(of, "dense", PAPER, 1, gpu=used) for used in (False, True))
    assert gpu < cpu / 10
    late = demand.minutes(of, "imp_round", PAPER | {"k": "4000"}, 1, gpu=False)
    assert late < demand.minutes(of, "imp_round", PAPER | {"k": "0"}, 1, gpu=False) == cpu
    half = study("paper", training={"iterations": 50000}, critical_periods=[])
    assert demand.minutes(half, "dense", PAPER, 1, gpu=False) < cpu


def test_a_mini_batch_that_a_task_makes_larger_is_asked_time_and_memory_for():
    """All four turns of each image in the first phase, and none in what follows it."""
    drawn, all_turns = (
        study("paper", tasks={"rotation": {"function": "rotation", "copies": copies}})
        for copies in ("drawn", "all")
    )
    names = PAPER | {"pretraining": "rotation", "iterations": "15640"}
    first = [demand.minutes(of, "pretrain", names, 1, gpu=True) - demand.START for of in (drawn, all_turns)]
    launching = 15640 * demand.GPU_LAYER_STEP * 22 / 60
    forward = (
        work_of({"function": "resnet", "depth": 20}, 32, 3).multiply_adds / demand.GPU_RATE / 60
    )  # minutes of an image
    run = drawn.run(PAPER)
    tested = 15640 / run.training["evaluate_every"] * 10_000 * forward
    steps = 15640 * run.training["batch_size"] * 3 * forward
    assert first == pytest.approx([launching + tested + steps, launching + tested + 4 * steps], abs=1)
    assert first[1] - first[0] >= 3
    later = [
        demand.minutes(of, "train_ticket", names | {"task": "rotation-15640"}, 1, gpu=True)
        for of in (drawn, all_turns)
    ]
    assert later[0] == later[1]
    usual, larger = (demand.megabytes(of, names, 1, gpu=False) for of in (drawn, all_turns))
    outputs = work_of({"function": "resnet", "depth": 20}, 32, 3).outputs
    kept = demand.KEPT * outputs * run.training["batch_size"] * 4 / 1e6  # of the layers of one mini-batch
    assert larger - usual == pytest.approx(3 * kept, abs=500)


def test_mini_batches_of_a_deficit_are_larger_in_its_window_alone():
    of = study(tasks={"rotation_all": {"function": "rotation", "copies": "all"}})
    names = {
        "dataset": "photo_digits",
        "model": "resnet8",
        "seed": "0",
        "regime": "base",
        "deficit": "rotation_all",
    }
    window = names | {"first": "10", "end": "40", "stop": "100"}
    assert demand.mini_batches(of, "deficit", window, range(100)) == 70 + 4 * 30
    assert demand.mini_batches(of, "deficit", window, range(20, 30)) == 4 * 10
    assert demand.mini_batches(of, "deficit", window, range(50, 90)) == 40


def test_memory_asked_for_a_deficit_covers_its_own_images():
    large = {"function": "synthetic", "train": 200_000, "test": 1_000, "size": 32, "flip": False}
    of = study(datasets={"many": large}, runs=[{"dataset": "many", "model": "resnet8"}])
    names = {"dataset": "many", "model": "resnet8", "seed": "0", "regime": "base", "stop": "100"}
    none = names | {"deficit": "supervised", "first": "0", "end": "0"}
    some = names | {"deficit": "blur", "first": "0", "end": "80"}
    without, given = (demand.megabytes(of, one, 1, gpu=False) for one in (none, some))
    own = 200_000 * 3 * 32**2 / 1e6  # of the images, and as much again with a margin around each
    assert given - without == pytest.approx(2 * own, abs=500)


def test_a_checkpoint_asks_for_the_training_it_may_have_to_make_up():
    of = study("paper")
    end, zero, late = (
        demand.minutes(of, "checkpoint", PAPER | {"k": k}, 1, gpu=True) for k in ("62560", "0", "4000")
    )
    assert end == zero == 1 < late < demand.minutes(of, "dense", PAPER, 1, gpu=True)


def test_every_attempt_asks_for_more():
    of = study("paper")
    times = [demand.minutes(of, "dense", PAPER, attempt, gpu=True) for attempt in (1, 2, 3)]
    assert times == [times[0], 2 * times[0], 3 * times[0]]
    sizes = [demand.megabytes(of, PAPER, attempt, gpu=True) for attempt in (1, 2)]
    assert sizes[1] == 2 * sizes[0]


@pytest.mark.parametrize(
    ("data", "model", "measured"), [("cifar10", "resnet20", 1631), ("photo_digits", "resnet8", 599)]
)
def test_memory_asked_for_covers_what_was_measured(data, model, measured):
    of = study("paper", runs=[{"dataset": data, "model": model}])
    asked = demand.megabytes(of, PAPER | {"dataset": data, "model": model}, 1, gpu=False)
    assert measured * 1.2 < asked < 3 * measured
