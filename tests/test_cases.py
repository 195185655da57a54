"""What people do to a study, through Snakemake: images that change, few images, values as a command line gives them."""

import numpy as np
import pytest
import yaml
from PIL import Image

from test_workflow import NONE_PRETRAINED, SMOKE, Project

COLOURS = {"a": (200, 30, 60), "b": (20, 160, 90)}


def write_images(folder, count=6):
    """A set of `count` noisy images in each of two classes, for training and for testing."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label, colour in COLOURS.items():
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                noise = rng.integers(-20, 20, (8, 8, 3))
                pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")


@pytest.fixture
def own(tmp_path):
    """A study of images of one's own; call it with further settings to write them down."""
    project = Project(tmp_path / "project") if (tmp_path / "project").mkdir() is None else None
    write_images(project.folder / "images")

    def configure(**settings):
        mine = {"function": "imagefolder", "path": "images", "size": 8, "flip": False}
        overlay = {
            "datasets": {"mine": mine},
            "runs": [{"dataset": "mine", "model": "tiny"}],
            **NONE_PRETRAINED,
        }
        (project.folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | overlay | settings))
        return project

    project.reconfigure = configure
    configure()
    return project


def test_what_a_folder_of_images_contains_is_an_input(own):
    """As `runtime.contents` looks at it; here, that Snakemake and `explain` see what it finds."""
    data = "results/data/mine.safetensors"
    own.snakemake(data, "--cores", "1")
    made = (own.folder / data).read_bytes()
    picture = own.folder / "images/train/a/0.png"
    for path in (own.folder / "images").rglob("*"):
        path.touch()
    (own.folder / "images/train/a/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    assert own.planned(data) == {}
    picture.write_bytes((own.folder / "images/train/b/1.png").read_bytes())
    assert own.planned("figures")["dense"] == 2  # and all that depends on it
    assert "contents from" in own.command("explain", data)
    own.snakemake(data, "--cores", "1")
    assert (own.folder / data).read_bytes() != made


def test_images_that_are_not_there_are_named_before_anything_trains(own):
    (own.folder / "images").rename(own.folder / "moved")
    printed = own.snakemake("figures", "-n", check=False)
    assert "images does not exist" in printed
    assert "Traceback" not in printed


def test_a_few_images_train_and_are_looked_at(own):
    """12 images: fewer than a batch, than the curvature sample, and one is left over in each epoch."""
    project = own.reconfigure(
        training=SMOKE["training"] | {"batch_size": 11},
        curvature={"iterations": [4], "sample": 500},
        seeds=[0],
    )
    row = "results/curvature/mine/tiny/seed0/supervised/it4.csv"
    project.snakemake(row, "--cores", "2")
    log = (project.folder / "logs/curvature/mine/tiny/seed0/supervised/it4.log").read_text()
    assert "sample: all 12 training images, where 500 were asked for" in log


def test_values_of_a_command_line_are_read_as_they_are_meant(tmp_path):
    words = ["seeds=['7']", "rounds=4.0", "execution={preload: false}", "figures={rewinding: null}"]
    planned = Project(tmp_path).planned("figures", "--config", *words)
    assert planned["dense"] == 2 and planned["imp_round"] == 2 * 4 + 2  # from 0, and pretrained


def test_the_same_key_twice_stops_before_any_job(tmp_path):
    project = Project(tmp_path)
    smoke = project.folder / "smoke.yaml"
    smoke.write_text(smoke.read_text() + "rounds: 1\n")
    printed = project.snakemake("figures", "-n", check=False)
    assert "rounds stands in line" in printed and "and again in line" in printed
    assert "Traceback" not in printed


def test_two_networks_have_all_their_jobs_and_settings_of_their_own(tmp_path):
    """Names that run into one another, other ks and lengths: Snakemake and `status` count the same jobs."""
    project = Project(tmp_path)
    synthetic = {"function": "synthetic", "flip": False}
    own = {"rewind_iterations": [0, 2], "rounds": 2, "training": {"iterations": 20}, "perturbed": []}
    own |= NONE_PRETRAINED
    project.configure(
        datasets={"mine": synthetic | {"seed": 1}, "mine_small": synthetic | {"seed": 2}},
        models={
            "small_net": {"function": "resnet", "depth": 8, "width": 2},
            "net": {"function": "resnet", "depth": 8, "width": 4},
        },
        runs=[{"dataset": "mine", "model": "small_net"}, {"dataset": "mine_small", "model": "net"} | own],
    )
    planned = project.planned("figures")
    assert planned["imp_round"] == 2 * 2 * 3 + 2 * 2 + 2 * 2 * 2  # the first has two rounds after pretraining
    assert planned["dense"] == 4 + 2
    assert planned["perturb"] == 8
    said = project.command("status")
    assert (
        f"jobs: {sum(planned.values())} missing" in said
    )  # with the report, without the rule that asks for all
    assert said.count("...\n") == 4 and said.count(" ..\n") == 4
