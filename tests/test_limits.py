"""How long jobs take and what they may ask for: against measurements, torch's own count, and all paths of a graph."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from assigned import CONFIG, ROOT, SMOKE, read_study
from earlyphase.__main__ import main
from earlyphase.commands.plan import longest_chain
from earlyphase.core.images import Images, unaugmented
from earlyphase.core.masks import full_mask, prune_by_magnitude
from earlyphase.core.networks import network
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, prunable_names
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task, task
from earlyphase.core.work import LAYERS, work_of
from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import save_mask, save_weights
from earlyphase.runtime.tickets import save_trained
from earlyphase.runtime.trajectory import save_trajectory
from earlyphase.stages import curvature, telemetry
from earlyphase.stages._settings import evaluations_of
from earlyphase.study import limits
from earlyphase.study.jobs import Stage, all_jobs, job_of, names_of
from earlyphase.study.limits import Clock, generous_seconds

PAPER = read_study("presets/paper.yaml", seeds=[0])
PHOTO = [{"dataset": "photo_digits", "model": "resnet8"}]


@pytest.fixture(autouse=True)
def nothing_trained(tmp_path, monkeypatch):
    """A folder without any run record."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(study, rule, **names):
    """A job of the first run of a study, of seed 0."""
    return job_of(study, rule, names_of(study.runs[0]) | {"seed": 0} | names)


def minutes(study, rule, attempt=1, *, gpu=False, **names):
    return Clock(study, gpu=gpu).minutes(job(study, rule, **names), attempt)


# The work of networks

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
        numbers = layer.weight[0].numel() * output[0].numel(), output[0].numel(), layer.weight.numel()
        counted.append(numbers)

    built = network[name](channels, 10, **arguments)
    for layer in built.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    built(torch.zeros(2, channels, size, size))
    operations, outputs, weights = zip(*counted, strict=True)
    stated = work_of({"function": name, **arguments}, size, channels)
    assert (stated.layers, stated.multiply_adds) == (len(counted), sum(operations))
    assert (stated.outputs, stated.largest) == (sum(outputs), max(outputs))
    assert stated.parameters == sum(weights)


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
    study, made = read_study(datasets={"mine": {"function": name, "flip": False}}), dataset[name]()
    channels, height, _ = made.train_images.shape[1:]
    assert limits.images_of(study, "mine") == {
        "train": len(made.train_images), "test": len(made.test_images), "size": height, "channels": channels,
    }  # fmt: skip


def test_configured_sizes_count():
    study = read_study(datasets={"small": {"function": "synthetic", "train": 9, "size": 5, "flip": False}})
    assert limits.images_of(study, "small") == {"train": 9, "test": 128, "size": 5, "channels": 3}


# The work of jobs


def test_a_stage_says_what_it_computes():
    """There is no default, so that none is planned as if it took no time."""
    for name, stage in PAPER.stages.items():
        said = {part: getattr(stage, part) for part in ("jobs", "spec", "work", "size")}
        assert Stage(**said).work is stage.work, name
        with pytest.raises(TypeError, match="work"):
            Stage(**{part: value for part, value in said.items() if part != "work"})


@pytest.mark.parametrize(
    ("data", "model", "images_a_second"),
    [("cifar10", "resnet20", 220), ("photo_digits", "resnet8", 3050)],  # measured, one core
)
def test_time_asked_for_is_more_than_was_measured_but_not_absurdly(data, model, images_a_second):
    study = read_study(runs=[{"dataset": data, "model": model}])
    dense = job(study, "dense")
    measured = len(dense.span) * study.runs[0].training["batch_size"] / images_a_second
    assert 1.2 * measured < generous_seconds(dense, gpu=False) < 6 * measured


@pytest.mark.parametrize(
    ("data", "model", "measured"),
    [("cifar10", "resnet20", 10.2), ("photo_digits", "resnet8", 1.1)],  # seconds, one core
)
def test_time_asked_for_the_fisher_information_is_more_than_was_measured(data, model, measured):
    runs = [{"dataset": data, "model": model}]
    study, larger = (read_study(runs=runs, fisher={"sample": size}) for size in (200, 400))
    one, two = (generous_seconds(job(each, "fisher", k=0), gpu=False) for each in (study, larger))
    assert 1.2 * measured < limits.FIXED + one < 12 * measured
    assert minutes(study, "fisher", k=0) == limits.START + 1
    assert two == pytest.approx(2 * one)


def test_time_asked_for_a_line_is_more_than_was_measured_and_comes_on_top_of_training():
    few, many = (
        read_study(runs=PHOTO, stability={"dense": [0], "points": points, "sample": 1000})
        for points in (30, 3000)
    )
    one, hundred = (
        generous_seconds(job(study, "stability", k=0, round=0), gpu=False) for study in (few, many)
    )
    line = (hundred - one) / 99
    measured = 30 * 3000 / 128 * 0.0007  # s of one core: images through the network, 0.7 ms for 128
    assert 1.2 * measured < limits.FIXED + line < 12 * measured
    assert one - line == pytest.approx(generous_seconds(job(few, "dense"), gpu=False))
    asked = [minutes(study, "stability", k=0, round=0) for study in (few, many)]
    assert asked[1] - asked[0] == pytest.approx(99 * line / 60, abs=1)


def test_time_asked_for_counts_the_operations_of_a_training():
    """Those of a step, forward and back, as torch counts them; of each evaluation, forward alone."""
    images = 16
    model = network.bound(CONFIG["models"]["resnet8"])(3, 10)
    shape = (images, 3, 8, 8)
    with FlopCounterMode(display=False) as step:
        model(torch.zeros(shape)).sum().backward()
    with FlopCounterMode(display=False) as forward:
        model(torch.zeros(shape))
    seconds, evaluations = {}, {}
    for every in (10, 50):
        study = read_study(runs=PHOTO, training={"batch_size": 64, "evaluate_every": every})
        iterations = study.runs[0].iterations
        calls = 3 * iterations  # forward once, and back, which counts as two
        seconds[every] = generous_seconds(job(study, "dense"), gpu=False) - calls * limits.CPU_CALL
        evaluations[every] = iterations // every + 1
    tested = limits.images_of(study, "photo_digits")["test"]
    evaluation = forward.get_total_flops() / 2 / images * tested / limits.CPU_RATE
    difference = evaluations[10] - evaluations[50]
    assert seconds[10] - seconds[50] == pytest.approx(difference * evaluation, rel=0.01)
    steps = step.get_total_flops() / 2 / images * 64 * iterations / limits.CPU_RATE
    trained = seconds[50] - evaluations[50] * evaluation
    assert trained == pytest.approx(steps, rel=0.1)  # the images need no gradient


@pytest.mark.parametrize("gpu", [False, True])
def test_time_asked_for_an_eigen_solve_is_that_of_its_products(gpu):
    """Each goes three times forward and back through the sample; each kind of statistics has a solve of its own."""
    kinds = [(500, ["running"]), (1500, ["running"]), (500, ["running", "sample"])]
    small, large, two = (
        generous_seconds(
            job(read_study(curvature={"sample": size, "statistics": kind}), "curvature", k=0), gpu=gpu
        )
        for size, kind in kinds
    )
    rate = limits.GPU_RATE if gpu else limits.CPU_RATE
    forward = work_of(CONFIG["models"]["resnet8"], 8, 3)
    passes = curvature.PRODUCTS * 3 * (1 + 2)
    operations = passes * 1000 * forward.multiply_adds
    assert large - small == pytest.approx(operations / rate)
    launching = passes * (limits.GPU_LAYER_CALL * forward.layers if gpu else limits.CPU_CALL)
    assert small == pytest.approx(operations / rate / 2 + launching)
    assert two == pytest.approx(2 * small)


def test_a_mini_batch_that_a_task_makes_larger_takes_longer_and_more_memory():
    """All four turns of each image in the first phase, and none in what follows it."""
    data = dataset["synthetic"]()
    images = Images.from_arrays(
        data.train_images, data.train_labels, data.mean, data.std, torch.device("cpu")
    )
    turned = task["rotation"](Task(images, images, 2), 0, copies="all")
    larger = len(turned.batches(0, 8, unaugmented)(0)[1]) // 8
    drawn, all_turns = (
        read_study("presets/paper.yaml", tasks={"rotation": {"function": "rotation", "copies": copies}})
        for copies in ("drawn", "all")
    )
    names = {"pretraining": "rotation", "iterations": 15640}
    first = [generous_seconds(job(study, "pretrain", **names), gpu=True) for study in (drawn, all_turns)]
    forward = work_of({"function": "resnet", "depth": 20}, 32, 3)
    batch = drawn.runs[0].training["batch_size"]
    images = 15640 * batch * 3 + 50_000  # and an evaluation on the training images
    steps = images * forward.multiply_adds / limits.GPU_RATE
    assert first[1] - first[0] == pytest.approx((larger - 1) * steps)
    names |= {"k": 500, "round": 5, "perturbation": "rewind", "task": "supervised"}
    later = [generous_seconds(job(study, "train_ticket", **names), gpu=True) for study in (drawn, all_turns)]
    assert later[0] == later[1] > 0
    usual, more = (
        limits.megabytes(job(study, "pretrain", **names), 1, gpu=False) for study in (drawn, all_turns)
    )
    kept = limits.KEPT * forward.outputs * batch * 4 / 1e6  # of the layers of one mini-batch
    assert more - usual == pytest.approx((larger - 1) * kept, abs=500)


@pytest.mark.parametrize(
    ("end", "stop", "batches"), [(40, 100, 70 + 4 * 30), (140, 100, 10 + 4 * 90), (40, 5, 5)]
)
def test_mini_batches_of_a_deficit_are_larger_in_its_window_alone(end, stop, batches):
    study = read_study(tasks={"rotation_all": {"function": "rotation", "copies": "all"}})
    names = {"regime": "base", "deficit": "rotation_all", "first": 10, "end": end, "stop": stop}
    deficit, run = job(study, "deficit", **names), study.runs[0]
    tested = evaluations_of(deficit) * limits.images_of(study, run.dataset)["test"]
    work = deficit.stage.work(deficit)
    assert work.images - tested == 3 * batches * run.training["batch_size"]
    assert work.calls == 3 * stop


def test_a_gpu_asks_for_less_time_and_a_later_start_for_less_too():
    cpu, gpu = (minutes(PAPER, "dense", gpu=used) for used in (False, True))
    assert gpu < cpu / 10
    assert minutes(PAPER, "imp_round", k=4000, round=1) < minutes(PAPER, "imp_round", k=0, round=1) == cpu


def test_a_checkpoint_asks_for_the_training_it_has_to_make_up():
    """Of k = 4000 nothing, where the dense run is to keep it or kept it; else from the nearest state before it."""
    one = job(PAPER, "checkpoint", k=4000)
    assert one.span == range(4000, 4000) and minutes(PAPER, "checkpoint", k=4000) == limits.START
    for kept, span in (([0, 4000], range(4000, 4000)), ([0, 2000, 8000], range(2000, 4000))):
        save_trajectory(one.path("dense", "trajectory"), {k: ({}, {}) for k in kept})
        assert job(PAPER, "checkpoint", k=4000).span == span
    assert limits.START < minutes(PAPER, "checkpoint", k=4000) < minutes(PAPER, "dense")


# Memory


@pytest.mark.parametrize(
    ("data", "model", "measured"), [("cifar10", "resnet20", 1631), ("photo_digits", "resnet8", 599)]
)
def test_memory_asked_for_covers_what_was_measured(data, model, measured):
    study = read_study("presets/paper.yaml", runs=[{"dataset": data, "model": model}])
    asked = limits.megabytes(job(study, "dense"), 1, gpu=False)
    assert measured * 1.2 < asked < 3 * measured
    assert limits.megabytes(job(study, "dense"), 2, gpu=False) == 2 * asked


def test_memory_asked_for_a_deficit_covers_its_own_images():
    large = {"function": "synthetic", "train": 200_000, "test": 1_000, "size": 32, "flip": False}
    study = read_study(datasets={"many": large}, runs=[{"dataset": "many", "model": "resnet8"}])
    windows = ("supervised", 0, 0), ("blur", 0, 80)
    without, given = (
        limits.megabytes(
            job(study, "deficit", regime="base", deficit=name, first=first, end=end, stop=100), 1, gpu=False
        )
        for name, first, end in windows
    )
    own = 200_000 * 3 * 32**2 / 1e6  # of the images, and as much again with a margin around each
    assert given - without == pytest.approx(2 * own, abs=500)


# The clock


def record(of, seconds, device="cpu"):
    """Write a run record as a finished training leaves it."""
    Path(of.record).parent.mkdir(parents=True, exist_ok=True)
    Path(of.record).write_text(
        seconds if isinstance(seconds, str) else json.dumps({"device": device, "seconds": seconds})
    )


@pytest.fixture
def two():
    """A study of two networks."""
    return read_study(SMOKE, models={"wide": {"function": "resnet", "depth": 8, "width": 16}},
                      runs=[{"dataset": "synthetic", "model": model} for model in ("tiny", "wide")])  # fmt: skip


def test_finished_trainings_of_a_network_set_the_clock_for_its_jobs_alone(two):
    tiny, wide = two.runs
    dense, rounds = job(two, "dense"), job(two, "imp_round", k=0, round=1)
    for of, share in ((dense, 0.2), (rounds, 0.1), (job(two, "dense", seed=1), 0.3)):
        record(of, share * generous_seconds(of, gpu=False))
    clock = Clock(two, gpu=False)
    assert clock.measured(tiny) == pytest.approx(0.2)  # the median
    assert clock.measured(wide) is None
    for rule in ("perturb", "curvature"):
        one = job(two, rule, k=4, round=1, perturbation="rewind")
        assert clock.seconds(one) == pytest.approx(limits.FIXED + 0.2 * generous_seconds(one, gpu=False))
    other = job_of(two, "dense", names_of(wide) | {"seed": 0})
    assert clock.seconds(other) == pytest.approx(limits.FIXED + generous_seconds(other, gpu=False))
    assert Clock(two, gpu=True).measured(tiny) is None
    record(dense, 1.0, device="cuda")
    assert Clock(two, gpu=True).measured(tiny) is not None
    assert clock.seconds(job(two, "collect", table="dense")) == limits.FIXED


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.1, 0.1 * limits.MEASURED_MARGIN), (0.9, 1.0), (5.0, 1.0)],
    ids=["fast", "as expected", "slow"],
)
def test_time_limits_follow_what_was_measured_with_a_margin(share, expected):
    """The first request is never more than the generous one: a machine may be busy once."""
    first = job(PAPER, "dense")
    before, work = minutes(PAPER, "dense"), generous_seconds(first, gpu=False)
    record(first, share * work)
    assert before == limits.START + math.ceil(work / 60)
    assert minutes(PAPER, "dense") == limits.START + math.ceil(expected * work / 60)
    assert minutes(PAPER, "dense", 3) == 3 * minutes(PAPER, "dense")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"device": "cpu"}', '{"device": "cpu", "seconds": "12"}', "\x00"]
)
def test_a_damaged_record_is_ignored(two, content):
    dense, other = job(two, "dense"), job(two, "dense", seed=1)
    record(dense, content)
    assert Clock(two, gpu=False).measured(two.runs[0]) is None
    record(other, 0.5 * generous_seconds(other, gpu=False))
    assert Clock(two, gpu=False).measured(two.runs[0]) == pytest.approx(0.5)


# Evaluations


def test_evaluations_are_those_that_the_loop_makes():
    """Of every training of two studies, by asking at each iteration whether to evaluate there."""
    for study in (read_study(SMOKE), read_study("presets/digits.yaml", seeds=[0])):
        seen = set()
        for one in all_jobs(study):
            if (
                one.rule in ("telemetry", "stability", "butterfly", "layerwise", "checkpoint") or not one.span
            ):  # at times of their own
                continue
            settings = TrainingSettings.from_spec(one.stage.spec(one)["training"])
            kind = one.rule, one.span, settings.iterations
            if kind not in seen:
                expected = sum(map(settings.evaluates_at, range(one.span.start, one.span.stop + 1)))
                assert evaluations_of(one) == expected, one
                seen.add(kind)
        assert len(seen) > 5


def test_telemetry_is_evaluated_at_its_own_times():
    often, seldom = (
        job(read_study(SMOKE, telemetry={"evaluations": [[12, every]]}), "telemetry") for every in (4, 12)
    )
    assert telemetry.times(often, "evaluations") == (0, 4, 8, 12)
    tested = limits.images_of(often.study, "synthetic")["test"]
    assert telemetry.work(often).images - telemetry.work(seldom).images == 2 * tested


# Bytes


def test_bytes_are_those_of_files_as_they_are_written(tmp_path):
    model = resnet(3, 10, depth=20, width=16)
    state = initial_state(model, 0)
    momentum = {name: state[name] for name, _ in model.named_parameters()}
    kept = [*PAPER.kept_iterations(PAPER.runs[0]), PAPER.runs[0].iterations]
    save_trajectory(tmp_path / "trajectory", dict.fromkeys(kept, (state, momentum)))
    save_weights(tmp_path / "weights", state, 0)
    mask = full_mask(state, prunable_names(model))
    for _ in range(5):
        mask = prune_by_magnitude(state, mask, 0.2)
    ticket = state | {name: np.where(kept, state[name], np.float32(0)) for name, kept in mask.items()}
    save_trained(tmp_path / "ticket", ticket, mask, 0)
    save_mask(tmp_path / "mask", mask)
    size = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    for rule, names, expected in (
        ("dense", {}, size["trajectory"]),
        ("checkpoint", {"k": 0}, size["weights"]),
        ("imp_round", {"k": 0, "round": 5}, size["ticket"] + size["mask"]),
        ("curvature", {"k": 100}, 2 * 10 * 4 * sum(array.size for array in momentum.values())),
    ):
        one = job(PAPER, rule, **names)
        assert one.stage.size(one) == pytest.approx(expected, rel=0.04), rule


# The longest chain


def in_resnet20():
    """The paper's preset, of ResNet-20 alone."""
    return read_study("presets/paper.yaml", runs=PAPER.config["runs"][:1], seeds=[0])


@pytest.mark.parametrize(
    ("study", "rules", "steps"),
    [
        (in_resnet20, ["dense", "checkpoint", *["imp_round"] * 15, "pretrain_ticket", "train_ticket"],
         62_560 + 15 * (62_560 - 500) + 15_640 + 62_560),
        (lambda: PAPER, ["pretrain", "dense", "checkpoint", *["imp_round"] * 15], 31_280 + 125_120 + 15 * 125_120),
    ],
    ids=["a ticket of k = 500 that is pretrained", "rounds of VGG-13 after its longest pretraining"],
)  # fmt: skip
def test_the_longest_chain_of_the_paper(study, rules, steps):
    """Counted by hand; a seed's iterations alone, so that every step takes as long."""
    study = study()
    chain = longest_chain({one: float(len(one.span)) + 1e-3 for one in all_jobs(study)})
    assert [one.rule for one in chain][:-2] == ["data", *rules, "collect"]  # then figure or claims
    assert chain[-1].rule == "report"
    assert sum(len(one.span) for one in chain) == steps


# The command


def options(configuration):
    """Of a study on a CPU."""
    Path("here.yaml").write_text("execution: {device: cpu}\n")
    return ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / configuration), "here.yaml"]


def test_the_paper_is_planned_in_a_minute(nothing_trained):
    """Seconds and memory of a process of its own, as the kernel counts them.

    VmHWM, since the largest size in `getrusage` may be that of the process that this one was forked from.
    """
    program = (
        "import json, re, resource, sys; from earlyphase.__main__ import main; status = main(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "most = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024; "
        "print(json.dumps([status, used.ru_utime + used.ru_stime, most]))"
    )
    command = [sys.executable, "-c", program, "plan", *options("presets/paper.yaml"), "--jobs", "8"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    status, seconds, megabytes = json.loads(said.splitlines()[-1])
    assert status == 0
    assert seconds < 60 and megabytes < 900
    total = re.search(r"^all +([\d,]+) +([\d,]+) +([\d,.]+) +([\d,.]+)$", said, re.M)
    number, iterations = (int(text.replace(",", "")) for text in total.groups()[:2])
    paper = read_study("presets/paper.yaml")
    everything = list(all_jobs(paper))
    assert number == len(everything)
    assert iterations == sum(len(one.span) for one in everything)
    clock = Clock(paper, gpu=False)
    work = sum(map(clock.seconds, everything)) / 3600
    assert float(total[3].replace(",", "")) == pytest.approx(work, abs=0.01)
    least = float(re.search(r"8 jobs at a time: about ([\d.]+) h", said)[1])
    assert least == pytest.approx(work / 8, rel=0.01)


def test_a_plan_says_what_is_done_and_whose_time_it_reckons_with(capsys):
    study = read_study(SMOKE)
    for one in all_jobs(study, rules=["dense"]):
        for path in one.outputs:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
    assert main(["plan", *options(SMOKE)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^4 of \d+ jobs are done; .* of work are left$", said, re.M)
    assert "tiny on synthetic: nothing is trained yet" in said
    record(job(study, "dense"), 1.0)
    assert main(["plan", *options(SMOKE)]) == 0
    assert "tiny on synthetic: times are those of its finished trainings here" in capsys.readouterr().out


def test_no_jobs_at_a_time_are_refused(capsys):
    assert main(["plan", *options(SMOKE), "--jobs", "0"]) == 1
    assert "--jobs is 0; it must be at least 1" in capsys.readouterr().err
