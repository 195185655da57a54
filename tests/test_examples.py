"""The worked examples of the documentation: their files make the picture that they promise, and do what they say."""

import re
import shlex
import shutil
from contextlib import ExitStack
from runpy import run_path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import yaml
from pandas import read_csv

from test_documentation import EXAMPLES, EXTENDING, SHORT, blocks
from test_workflow import ROOT, Project

SECTIONS = {  # of the page, by the name of the example's files
    "perturbation": "A perturbation",
    "network": "A network",
    "task": "A task",
    "gratings": "A data set",
    "figure": "A figure",
}
# What overrides each example besides.
SMALLER = {
    "perturbation": {
        "rounds": 2,
        "perturbed": [
            {
                "rewind_iterations": [60],
                "rounds": [2],
                "perturbations": ["rounded_2", "rounded_8", "rounded_64", "shuffle_layers_signs_k"],
            }
        ],
    },
    "network": {"rounds": 1},
    "task": {"pretrained": [{"pretraining": ["parity", "supervised"], "iterations": [8], "rounds": 1}], "rounds": 1},
    "gratings": {"rounds": 1, "datasets": {"gratings": {"train": 512, "test": 200}}},
    "figure": {"perturbed": [], "rewind_iterations": [0, 60], "rounds": 1, "seeds": [0, 1]},
}  # fmt: skip


def command_of(name):
    """The words of the command that makes an example's picture."""
    (command,) = (code for language, code in blocks(EXTENDING, SECTIONS[name]) if language == "sh")
    return shlex.split(command)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """One folder for all examples, which share trainings."""
    project = Project(tmp_path_factory.mktemp("examples"))
    shutil.copytree(ROOT / EXAMPLES, project.folder / EXAMPLES)
    return project


@pytest.fixture(scope="module", params=SECTIONS)
def example(request, project):
    """An example, made by the command of its section at a small size."""
    program, picture, *options, name, configuration = command_of(request.param)
    assert (program, options, name) == ("snakemake", ["--cores", "all"], "--configfile")
    small = yaml.safe_dump(SHORT | SMALLER[request.param])
    (project.folder / "small.yaml").write_text(small)
    project.configuration = [configuration, "small.yaml"]
    project.snakemake(picture, "--cores", "2")
    return SimpleNamespace(name=request.param, project=project, picture=picture, options=options)


def last_accuracy(folder, file="metrics.csv"):
    """Of a run, from the table of its evaluations."""
    return read_csv(folder / file)["accuracy"].iloc[-1]


def test_the_picture_is_drawn(example):
    from matplotlib.image import imread

    drawn = imread(example.project.folder / example.picture)[..., :3].min(axis=2)
    assert min(drawn.shape) > 500
    assert 0.005 < np.mean(drawn < 0.9) < 0.5  # neither blank nor black


def test_the_picture_shows_what_the_study_found(example):
    """Against the tables of single runs, which no figure has passed through."""
    results = example.project.folder / "results"
    points = read_csv((example.project.folder / example.picture).with_suffix(".csv"))
    network = "gratings/resnet8" if example.name == "gratings" else "photo_digits/resnet8"
    chain = results / f"imp/{network}/seed0/supervised/magnitude"
    match example.name:
        case "perturbation":
            labels = {"powers of 2", "powers of 8", "powers of 64", "shuffled in layers, signs of k"}
            assert labels < set(points["curve"])
            shown = points[(points["curve"] == "powers of 8") & (points["round"] == 2)]["mean"].item()
            run = results / f"perturbed/{network}/seed0/supervised/magnitude/it60/round2"
            assert shown == last_accuracy(run, "rounded_8.csv")
        case "network" | "gratings":
            assert set(points["model"]) == (
                {"resnet8", "straight8"} if example.name == "network" else {"resnet8"}
            )
            shown = points[(points["model"] == "resnet8") & (points["k"] == 60)]["mean"].item()
            assert shown == last_accuracy(chain / "it60/round1")
        case "task":
            shown = points[(points["kind"] == "pretrained") & (points["round"] == 1)]
            assert list(shown["panel"]) == ["parity"]
            run = results / f"imp/{network}/seed0/parity-8/magnitude/it0/round1"
            assert shown["mean"].item() == last_accuracy(run)
        case "figure":
            for seed, shown in points.set_index("seed")["gain"].items():
                chain = results / f"imp/{network}/seed{seed}/supervised/magnitude"
                late, early = (last_accuracy(chain / f"it{k}/round1") for k in (60, 0))
                assert shown == pytest.approx(late - early, abs=1e-12)
            assert len(points) == 2


def test_the_command_plans_as_it_stands(example):
    """Over `config.yaml` and the example's configuration, at full size."""
    configuration = example.project.configuration[:1]
    with patch.object(example.project, "configuration", configuration):
        planned = example.project.planned(example.picture, *example.options)
    mine = yaml.safe_load((example.project.folder / configuration[0]).read_text())
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    study = default | mine
    chains = len(study["rewind_iterations"]) * len(study["runs"]) + (2 if example.name == "task" else 0)
    assert planned["imp_round"] == len(study["seeds"]) * chains * study["rounds"]
    assert planned["figure"] == 1
    assert planned.get("perturb", 0) == (len(study["seeds"]) * 2 * 4 if example.name == "perturbation" else 0)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_shows_its_picture(name):
    assert re.search(rf"!\[[^]]{{20,}}\]\(examples/{name}\.png\)", (ROOT / EXTENDING).read_text())
    assert (ROOT / EXAMPLES / f"{name}.png").stat().st_size < 150_000


@pytest.fixture
def defined():
    """What the plugin of an example defines; other tests do not find it registered."""
    from earlyphase import registry

    with ExitStack() as stack:
        for known in vars(registry).values():
            if isinstance(known, registry.Registry):
                stack.enter_context(patch.dict(known))
        yield lambda name: run_path(str(ROOT / EXAMPLES / f"{name}.py"))


@pytest.mark.parametrize("base", [2, 8, 64])
def test_the_perturbation_rounds_to_the_nearest_power_and_keeps_signs(defined, base):
    from earlyphase.core.branches import Ticket

    stream = np.random.default_rng(0)
    weights = {
        name: stream.standard_normal((6, 50)).astype(np.float32) * scale
        for name, scale in (("a", 0.1), ("b", 3), ("empty", 1), ("bias", 1))
    }
    mask = {name: stream.random((6, 50)) < 0.4 for name in ("a", "b")} | {"empty": np.zeros((6, 50), bool)}
    ticket = Ticket(weights, weights, weights, mask, 20, 3)
    changed = defined("perturbation")["rounded"](ticket, 0, base=base).weights
    for name in ("a", "b"):
        before, after = weights[name][mask[name]], changed[name][mask[name]]
        assert np.array_equal(np.sign(before), np.sign(after))
        assert np.all(
            np.abs(np.log(np.abs(before / after))) <= np.log(base) / 2 + 1e-4
        )  # the nearest in ratio
        powers = np.log(np.abs(after) / np.sqrt(np.mean(before**2))) / np.log(base)
        assert powers == pytest.approx(np.round(powers), abs=1e-4)
    assert all(
        not changed[name][~kept].any() and changed[name].dtype == np.float32 for name, kept in mask.items()
    )
    assert changed["bias"] is weights["bias"]


def test_the_network_is_resnet8_without_what_goes_past_its_convolutions(defined):
    import torch

    from earlyphase.core.networks.resnet import resnet

    torch.manual_seed(0)
    straight, whole = defined("network")["straight"](3, 10, width=4), resnet(3, 10, depth=8, width=4)
    convolutions = {name: tuple(value.shape) for name, value in straight.state_dict().items()}
    assert convolutions == {
        name: tuple(value.shape) for name, value in whole.state_dict().items() if "shortcut" not in name
    }
    images = torch.randn(4, 3, 16, 16)
    assert straight.eval()(images).shape == (4, 10)
    assert straight(images).std(dim=0).max() > 0
    torch.nn.init.zeros_(straight.blocks[1].bn2.weight)  # nothing passes these convolutions
    assert torch.equal(straight(images), straight(images).roll(1, 0))


def test_the_task_tells_even_from_odd(defined):
    import torch

    from earlyphase.core.images import Images
    from earlyphase.core.tasks import Task
    from earlyphase.errors import InvalidInput

    arrays = np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), np.float32([0.5]), np.float32([0.25])
    images = Images.from_arrays(*arrays, torch.device("cpu"))
    coarse = defined("task")["coarse"]
    made = coarse(Task(images, images, 10), 0, groups=2)
    assert made.classes == 2
    for part in (made.train, made.test):
        assert part.labels.tolist() == [0, 1] * 5
        assert part.labels.dtype == torch.int64
    with pytest.raises(InvalidInput, match="groups is 11, more than the 10 classes"):
        coarse(Task(images, images, 10), 0, groups=11)


def test_the_gratings_have_the_orientation_of_their_class(defined):
    """As their Fourier transform says, in which a grating is a pair of points across its stripes."""
    made = defined("gratings")["gratings"](contrast=20, size=32, train=400, test=100)
    assert made.test_images.shape == (100, 1, 32, 32)
    assert made.classes[:2] == ("0 degrees", "22.5 degrees")
    power = np.abs(np.fft.fft2(made.train_images[:, 0] - 128.0, (256, 256))) ** 2
    peak = power.reshape(400, -1).argmax(axis=1)
    frequencies = np.fft.fftfreq(256)
    down, across = frequencies[peak // 256], frequencies[peak % 256]
    angles = np.degrees(np.arctan2(down, across))
    off = (angles - 22.5 * made.train_labels + 90) % 180 - 90
    assert np.abs(off).max() < 8  # less than half of what tells classes apart
    assert 1 / 6.6 < np.hypot(down, across).min() < np.hypot(down, across).max() < 1 / 2.7
