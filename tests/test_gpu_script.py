"""The script for GPUs, as far as it goes without one: its order, its time, its rows, and one training on a CPU."""

import csv
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from earlyphase.core.networks.resnet import resnet
from earlyphase.runtime.storage import save_tensors

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu  # noqa: E402
import shared  # noqa: E402

QUICK = ["gpu.py", "--device", "cpu", "--quick"]
EVERYTHING = set(itertools.product(gpu.MODES, gpu.PRECISIONS, (1, 4, 8)))


def test_all_is_measured_once_and_how_jobs_train_first():
    order = gpu.in_order((1, 4, 8))
    assert (
        len(order) == len(EVERYTHING) and {(mode, name, count) for mode, name, count in order} == EVERYTHING
    )
    assert [(mode, count) for mode, _, count in order[:6]] == [("jobs", 1)] * 3 + [("jobs", 8)] * 3


@pytest.fixture
def rehearsed(monkeypatch, tmp_path):
    """Run the script with measurements that take no time; returns its rows."""
    rates = {"float32": 100.0, "tf32": 200.0, "bfloat16": 400.0}

    def ours(count, seconds, network, device, precision, mode, environment):
        assert environment["OMP_NUM_THREADS"] == "1"
        if mode == "compile" and count > 1:
            raise ChildProcessError("a training process ended early")
        return count * rates[precision]

    monkeypatch.setattr(gpu, "ours", ours)
    monkeypatch.setattr(gpu, "product", lambda seconds, device, name, size: 1e12)
    monkeypatch.setattr(gpu, "after_an_epoch", lambda args, precision: (50.0, 1.0))

    def run(*words):
        out = tmp_path / "gpu.csv"
        monkeypatch.setattr(sys, "argv", [*QUICK, "--out", str(out), *words])
        gpu.main()
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    return run


def multiply_adds(case):
    """Of one image forward, counted where they are done."""
    counted = []
    network = resnet(3, 10, depth=case.depth, width=case.width)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(
                lambda layer, _, output: counted.append(layer.weight[0].numel() * output.numel())
            )
    network(torch.zeros(1, 3, case.size, case.size))
    return sum(counted)


def test_rows_say_how_fast_and_why_not(rehearsed):
    rows = {(row["mode"], row["precision"], int(row["jobs"])): row for row in rehearsed()}
    assert len(rows) == 3 * 3 * 2
    both = rows["eager", "bfloat16", 2]
    assert float(both["images_a_second"]) == 800
    assert float(both["iterations_a_second"]) == 800 / 32
    operations = (
        3 * 2 * 208_000
    )  # forward and back, about three times the multiply-adds of ResNet-8, twice each
    assert float(both["share_of_product"]) == pytest.approx(800 * operations / 1e12, rel=0.1)
    assert rows["compile", "tf32", 2]["note"] == "a training process ended early"
    assert not rows["compile", "tf32", 1]["note"]


def test_the_mps_of_a_gpu_is_started_where_it_is_asked_for(rehearsed, capsys):
    rehearsed("--minutes", "0", "--mps")
    assert "NVIDIA's MPS is not started, because networks are trained on the CPU" in capsys.readouterr().out


def test_what_does_not_fit_into_the_time_is_named(rehearsed):
    rows = rehearsed("--minutes", "0")
    assert {row["note"] for row in rows} == {"no time left"}
    assert not any(row["images_a_second"] for row in rows)


def test_one_training_on_a_processor_is_measured():
    assert gpu.ours(1, 0.2, "default", "cpu", "float32", "eager") > 10


def test_a_network_learns_for_one_epoch(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    labels = np.arange(640) % 10
    images = (25 * labels[:, None, None, None] + draw.integers(0, 5, (640, 3, 16, 16))).astype(np.uint8)
    level = np.full(3, 0.5, np.float32)
    parts = {f"{part}_images": images for part in ("train", "test")}
    parts |= {f"{part}_labels": labels for part in ("train", "test")} | {"mean": level, "std": level}
    save_tensors(tmp_path / "data", "data set", parts, classes=list("0123456789"))
    monkeypatch.setattr(sys, "argv", [*QUICK, "--data", str(tmp_path / "data")])
    counted, trained = [], gpu.train

    def counting(*words):
        for iteration in trained(*words):
            counted.append(iteration)
            yield iteration

    monkeypatch.setattr(gpu, "train", counting)
    accuracy, seconds = gpu.after_an_epoch(gpu.parsed(), "float32")
    assert counted[-1] == 640 / shared.CASES["default"].batch == 20
    assert 0 <= accuracy <= 100 and seconds > 0
