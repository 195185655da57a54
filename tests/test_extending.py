"""Adding something: a perturbation, a network, a data set, a task or a figure in one file; a stage in two."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pandas import read_csv

from earlyphase.runtime.storage import load_rows
from earlyphase.runtime.trajectory import kept_states
from test_workflow import Project

PLUGIN = '''
import torch
from earlyphase import DataSet, InvalidInput, Task, Ticket, branch, dataset, figure, generator, network, task
from dataclasses import replace
from typing import Annotated, Literal
import numpy as np


class Small(torch.nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.features = torch.nn.Conv2d(channels, width, 3, padding=1)
        self.classifier = torch.nn.Linear(width, classes)

    def forward(self, x):
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


@network
def small(channels: int, classes: int, *, width: Annotated[int, {"minimum": 1}] = 4) -> torch.nn.Module:
    """A convolution without batch norm, and a linear layer."""
    return Small(channels, classes, width)


@branch
def swap_halves(ticket: Ticket, seed: int, *, layer: Literal["features", "classifier"]) -> Ticket:
    """Exchange the kept weights of the first and second half of a layer's output channels."""
    name = f"{layer}.weight"
    half = len(ticket.weights[name]) // 2
    swapped = np.roll(ticket.weights[name], half, axis=0) * ticket.mask[name]
    return replace(ticket, weights=ticket.weights | {name: swapped.astype(np.float32)})


@branch
def halve(ticket: Ticket, seed: int) -> Ticket:
    """Halve the kept weights."""
    halved = {name: np.float32(0.5) * ticket.weights[name] * kept for name, kept in ticket.mask.items()}
    return replace(ticket, weights=ticket.weights | halved)


@task
def reversed_labels(task: Task, seed: int) -> Task:
    """Number the classes from the last to the first."""
    train, test = (replace(images, labels=task.classes - 1 - images.labels) for images in (task.train, task.test))
    return replace(task, train=train, test=test)
'''
FIGURE = '''
from earlyphase import figure
from matplotlib.figure import Figure


@figure(reads=("dense",))
def last_accuracy(tables):
    """One bar for each replicate."""
    picture = Figure()
    points = tables["dense"].groupby("seed")["accuracy"].last().reset_index()
    picture.subplots().bar(points["seed"], points["accuracy"])
    return picture, points
'''
STUDY = """
plugins: [mine/networks.py, mine/figures.py]
runs: [{dataset: synthetic, model: mine, task: reversed}]
seeds: [0]
rounds: 2
models: {mine: {function: small, width: 6}}
tasks: {reversed: {function: reversed_labels}}
perturbations:
  halves: {function: swap_halves, layer: features}
  both: [{function: halve}, {function: swap_halves, layer: features}]
perturbed:
  - {rewind_iterations: [4], rounds: [2], perturbations: [halves, both, permuted_channels]}
pretrained: []
sparse_pretraining: []
figures:
  last: {function: last_accuracy}
  shuffles: {function: perturbed, show: [halves: halves swapped, both: "halved, $x_{1"]}
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A finished study of a network, branches, a task and a figure that stand in two files beside it."""
    project = Project(tmp_path_factory.mktemp("plugins"))
    (project.folder / "mine").mkdir()
    (project.folder / "mine/networks.py").write_text(PLUGIN)
    (project.folder / "mine/figures.py").write_text(FIGURE)
    smoke = project.folder / "smoke.yaml"
    (project.folder / "study.yaml").write_text(STUDY)
    project.configuration = ["smoke.yaml", "study.yaml"]
    assert smoke.exists()
    project.printed = project.snakemake("figures", "--cores", "2")
    return project


def test_a_study_of_ones_own_needs_no_edit_of_the_package(extended):
    results = extended.folder / "results"
    chain = results / "imp/synthetic/mine/seed0/reversed/magnitude/it4"
    assert sorted(path.name for path in chain.iterdir()) == ["round1", "round2"]
    perturbed = results / "perturbed/synthetic/mine/seed0/reversed/magnitude/it4/round2"
    assert sorted(path.name for path in perturbed.glob("*.csv")) == ["both.csv", "halves.csv"]
    assert (results / "figures/synthetic/mine/last.svg").exists()
    assert (results / "figures/synthetic/mine/shuffles.png").exists()
    note = "mine on synthetic: perturbation permuted_channels is left out: permute_channels knows resnet, resnet18, vgg, conv, lenet_300_100, not small"
    assert note in extended.printed
    assert note in extended.command("status")


def test_a_task_of_ones_own_is_what_the_network_learns(extended):
    """Its weights differ from those of the usual labels by the order of the classes alone."""
    rows = load_rows(extended.folder / "results/tables/synthetic/mine/dense.csv")
    assert {row["task"] for row in rows} == {"reversed"}
    assert float(rows[-1]["accuracy"]) > 0.5  # of four classes: it has learnt what it is tested on


def test_branches_in_a_list_are_applied_one_after_the_other(extended):
    folder = extended.folder / "results/perturbed/synthetic/mine/seed0/reversed/magnitude/it4/round2"
    sizes = {
        name: float(load_rows(folder / f"{name}.csv")[0]["effective_std"]) for name in ("halves", "both")
    }
    assert sizes["both"] != sizes["halves"]
    assert sizes["both"] > 0


def test_code_of_ones_own_is_fingerprinted_like_the_packages(extended):
    assert extended.planned() == {}
    plugin = extended.folder / "mine/networks.py"
    plugin.write_text(
        PLUGIN.replace('"""Halve the kept weights."""', '"""Half."""') + "\n\ndef unused():\n    pass\n"
    )
    assert extended.planned() == {}
    plugin.write_text(PLUGIN.replace("np.float32(0.5)", "np.float32(0.25)"))
    expected = {"perturb": 1, "collect": 1, "claims": 1, "figure": 1, "figures": 1}
    assert extended.planned() == expected  # `both`, not `halves`
    assert "code: plugins.networks.halve changed" in extended.command("explain", "results/claims.csv")
    plugin.write_text(PLUGIN.replace("torch.relu", "torch.tanh"))
    assert extended.planned()["dense"] == 1
    plugin.write_text(PLUGIN)
    (extended.folder / "mine/figures.py").write_text(FIGURE.replace(".last()", ".max()"))
    assert extended.planned() == {"figure": 1, "figures": 1}
    (extended.folder / "mine/figures.py").write_text(FIGURE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width: 6", "widht: 6", "unknown key 'widht' in models.mine, did you mean 'width'"),
        ("width: 6", "width: 0", "models.mine.width is 0"),
        ("layer: features}\n  both", "layer: conv}\n  both", "perturbations.halves.layer is 'conv'"),
        ("mine/figures.py", "mine/figure.py", "mine/figure.py, which is no Python file"),
        (
            "function: halve",
            "function: halv",
            "'halv', which is not registered in perturbations, did you mean 'halve'",
        ),
    ],
)
def test_a_mistake_in_an_entry_of_ones_own_is_named_at_the_start(extended, old, new, message):
    assert old in STUDY
    (extended.folder / "study.yaml").write_text(STUDY.replace(old, new, 1))
    printed = extended.snakemake("figures", "-n", check=False)
    (extended.folder / "study.yaml").write_text(STUDY)
    assert message in printed
    assert "Traceback" not in printed


def test_a_plugin_that_cannot_be_read_is_named_with_its_line(extended):
    (extended.folder / "mine/figures.py").write_text("def broken(:\n")
    printed = extended.snakemake("figures", "-n", check=False)
    (extended.folder / "mine/figures.py").write_text(FIGURE)
    assert re.search(r"plugin .*mine/figures.py, line 1: ", printed)
    assert "Traceback" not in printed


# A stage of the package, as somebody would add it: see the folder beside this file

SHARPNESS = Path(__file__).parent / "sharpness"
SECTION = (SHARPNESS / "settings.yaml").read_text()
STAGE = "src/earlyphase/stages/sharpness.py"
FIGURE_OF_STAGE = "results/figures/synthetic/tiny/sharpness.svg"


@pytest.fixture
def sharpened(tmp_path):
    """The project with a stage more: two files, its science, a figure, and entries of the configuration."""
    project = Project(tmp_path)
    for name in ("stages", "core", "results/figures"):
        shutil.copy(
            SHARPNESS / f"{Path(name).name}.py", project.folder / f"src/earlyphase/{name}/sharpness.py"
        )
    project.append("rules/telemetry.smk", (SHARPNESS / "rule.smk").read_text())
    project.append("config.yaml", SECTION)
    project.append("src/earlyphase/catalogue/figures.yaml", "sharpness: {function: sharpness}\n")
    return project


def test_a_new_stage_is_two_files_and_all_else_follows(sharpened):
    expected = {"data": 1, "dense": 2, "checkpoint": 4, "sharpness": 4, "collect": 1, "figure": 1}
    assert sharpened.planned(FIGURE_OF_STAGE) == expected
    sharpened.snakemake(FIGURE_OF_STAGE, "--cores", "2")
    dense = sharpened.folder / "results/dense/synthetic/tiny/seed0/supervised"
    assert 2 in kept_states(dense / "trajectory.safetensors")  # which nothing else needs
    table = read_csv(sharpened.folder / "results/tables/synthetic/tiny/sharpness.csv")
    assert list(zip(table["k"], table["seed"], strict=True)) == [(2, 0), (2, 1), (24, 0), (24, 1)]
    assert (table["sharpness"] > 0).all()
    assert (sharpened.folder / FIGURE_OF_STAGE).exists()
    assert sharpened.planned(FIGURE_OF_STAGE) == {}
    assert f"jobs: {sum(expected.values())} done" in sharpened.command("status")
    assert "up to date" in sharpened.command("explain", FIGURE_OF_STAGE)
    sharpened.edit("src/earlyphase/core/sharpness.py", "max(losses)", "max(losses[1:])")
    assert sharpened.planned(FIGURE_OF_STAGE) == {"sharpness": 4, "collect": 1, "figure": 1}


LIMIT = """
from pathlib import Path
from earlyphase.stages import study_of
from earlyphase.study.configuration import read_files
from earlyphase.study.jobs import all_jobs
from earlyphase.study.limits import Clock

study = study_of(read_files([Path("config.yaml"), Path("smoke.yaml")]), Path())
print(max(Clock(study, gpu=False).minutes(job, 1) for job in all_jobs(study, rules=["sharpness"])))
"""


def asked_for(project):
    """Jobs of the new stage and their hours, as the plan has them, and the minutes that one of them may take."""
    row = re.search(r"^sharpness +(\d+) +0 +([\d.,]+) ", project.command("plan"), re.MULTILINE)
    limit = subprocess.run(
        [sys.executable, "-c", LIMIT],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(project.folder / "src")},
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(row[1]), float(row[2].replace(",", "")), int(limit.stdout)


def test_time_limits_and_the_plan_follow_what_a_stage_says_of_its_work(sharpened):
    number, hours, minutes = asked_for(sharpened)
    assert number == 4 and hours < 0.1 and minutes < 10
    sharpened.edit("config.yaml", "steps: 3", "steps: 300000")
    number, hours, minutes = asked_for(sharpened)
    assert number == 4 and hours > 1 and 60 * hours / number < minutes < 10 + 60 * hours / number


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (STAGE, "    work=work,\n", "", "missing 1 required positional argument: 'work'"),
        (STAGE, "    size=size,\n", "", "missing 1 required positional argument: 'size'"),
        ("config.yaml", "radius: 0.5", "radius: 0", "sharpness.radius is 0"),
        (
            "config.yaml",
            "radius: 0.5",
            "radios: 0.5",
            "unknown key 'radios' in sharpness, did you mean 'radius'",
        ),
        (
            "config.yaml",
            "[2, 1.0]",
            "[2, 25]",
            "of sharpness.iterations 25 is left out: the run trains for 24 iterations",
        ),
    ],
)
def test_what_is_missing_or_wrong_in_a_new_stage_is_said_at_once(sharpened, name, old, new, message):
    sharpened.edit(name, old, new)
    assert message in sharpened.snakemake("-n", check=False)
