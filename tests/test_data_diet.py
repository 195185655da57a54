"""Networks that see a share of the images until k: scores, shares, jobs, figure, claims."""

import math

import numpy as np
import pytest
import torch
from pandas import DataFrame

from assigned import carry_out, read_study
from earlyphase.core.diet import el2n, shown
from earlyphase.core.images import Images
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state
from earlyphase.core.tasks import Task
from earlyphase.errors import InvalidInput
from earlyphase.results.figures.data_diet import ALL, AT_0, data_diet
from earlyphase.runtime.storage import load_tensors, load_weights, save_tensors, save_weights
from earlyphase.study.jobs import all_jobs, jobs_of_table
from test_claims import SHORT
from test_claims import verdict as assessed
from test_pretraining import COLUMNS, FIRST, GAIN, NO, OPEN, SUPERVISED, K, rows

HALF = np.full(3, 0.5, np.float32)
COUNT = 40


def image_set(rng, count=COUNT):
    pixels = rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    return pixels, np.arange(count) % 10


def network(seed):
    model = resnet(3, 10, depth=8, width=4)
    load_state(model, initial_state(model, seed))
    return model


def score_by_hand(model, pixels, label):
    """EL2N of one image, added up class by class."""
    model.eval()
    with torch.no_grad():
        logits = model((torch.from_numpy(pixels)[None].float() / 255 - 0.5) / 0.5)[0].tolist()
    total = sum(map(math.exp, logits))
    return math.sqrt(sum((math.exp(z) / total - (c == label)) ** 2 for c, z in enumerate(logits)))


# Scores and shares


def test_a_score_is_the_distance_of_the_answer_from_the_label(rng):
    pixels, labels = image_set(rng)
    images = Images.from_arrays(pixels, labels, HALF, HALF, torch.device("cpu"))
    wanted = [score_by_hand(network(3), *one) for one in zip(pixels, labels, strict=True)]
    assert el2n(network(3), images) == pytest.approx(wanted, rel=1e-5)


@pytest.fixture
def task(rng):
    images = Images.from_arrays(*image_set(rng), HALF, HALF, torch.device("cpu"))
    return Task(images, images, 10)


@pytest.mark.parametrize("chosen", ["easy", "hard"])
def test_the_lowest_or_the_highest_scores_of_each_class_are_shown_in_the_order_of_the_set(task, rng, chosen):
    scores = rng.integers(0, 4, COUNT).astype(float)  # with ties
    by_hand = sorted(range(COUNT), key=lambda i: (scores[i], i), reverse=chosen == "hard")
    wanted, seen = [], [0] * 10
    for image in by_hand:
        if seen[image % 10] < 2:
            wanted.append(image)
            seen[image % 10] += 1
    found = shown(task, 1, scores, share=0.5, chosen=chosen)
    assert torch.equal(found.train.pixels, task.train.pixels[sorted(wanted)])
    assert torch.equal(found.train.labels, task.train.labels[sorted(wanted)])
    assert found.test is task.test


def test_a_random_share_is_drawn_by_the_seed_and_keeps_the_sizes_of_classes(task):
    one, again, other = (shown(task, seed, share=0.5).train for seed in (1, 1, 2))
    assert torch.equal(one.pixels, again.pixels) and not torch.equal(one.pixels, other.pixels)
    assert torch.bincount(one.labels).tolist() == [2] * 10
    assert len({tuple(image.flatten().tolist()) for image in one.pixels}) == 20


@pytest.mark.parametrize(
    ("scores", "settings", "message"),
    [
        (None, {"share": 0.5, "chosen": "hard"}, "hard images are chosen by a score for each of 40, but there are none"),
        (np.zeros(39), {"share": 0.5, "chosen": "easy"}, "but there are 39"),
        (None, {"share": 0.03}, "a share of 0.03 of 40 training images is 0; two are the least"),
    ],
)  # fmt: skip
def test_a_share_that_cannot_be_is_refused(task, scores, settings, message):
    with pytest.raises(InvalidInput, match=message):
        shown(task, 1, scores, **settings)


# The jobs


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    save_data("data", *image_set(rng), rng)
    return tmp_path


def save_data(path, pixels, labels, rng):
    test, test_labels = image_set(np.random.default_rng(9))
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": test, "test_labels": test_labels}
    save_tensors(path, "data set", arrays | {"mean": HALF, "std": HALF}, classes=list("abcdefghij"))


def do(stage, inputs, outputs, **spec):
    spec = {
        "model": {"function": "resnet", "depth": 8, "width": 4},
        "task": SUPERVISED,
        "training": FIRST,
    } | spec
    words = ("--resume", "resume", "--resume-interval", "0")
    assert carry_out(stage, spec, inputs, outputs, *words, roots=("core.networks.resnet.resnet",)) == 0


def test_scores_are_the_mean_over_networks_of_all_seeds(folder):
    judges = [[0, 4], [0, 6], [1, 4], [1, 6]]
    for number, (_, k) in enumerate(judges):
        model = network(number)
        save_weights(f"state{number}", initial_state(model, number), k)
    columns = {name: value for name, value in COLUMNS.items() if name != "seed"}
    inputs = {"data": "data", "states": [f"state{number}" for number in range(4)]}
    do("scores", inputs, {"scores": "scores"}, columns=columns, judges=judges)
    data, _ = load_tensors("data", "data set")
    wanted = np.mean(
        [
            [score_by_hand(network(n), *one) for one in zip(data["train_images"], data["train_labels"], strict=True)]
            for n in range(4)
        ],
        axis=0,
    )  # fmt: skip
    assert load_tensors("scores", "scores")[0]["el2n"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("chosen", ["easy", "hard"])
def test_a_first_phase_on_a_share_is_one_on_a_data_set_that_has_no_other_images(folder, rng, chosen):
    scores = rng.random(COUNT)
    save_tensors("scores", "scores", {"el2n": scores}, judges=[])
    outputs = {"state": "state", "metrics": "m.csv", "run": "run.json"}
    images = {"share": 0.5, "chosen": chosen}
    do("pretrain", {"data": "data", "scores": "scores"}, outputs, columns=COLUMNS, images=images)
    data, _ = load_tensors("data", "data set")
    halves = scores.reshape(4, 10).argsort(axis=0).argsort(axis=0).ravel() >= 2  # in each class
    kept = np.flatnonzero(halves == (chosen == "hard"))
    save_data("few", data["train_images"][kept], data["train_labels"][kept], rng)
    do("pretrain", {"data": "few"}, outputs | {"state": "of_few"}, columns=COLUMNS)
    one, other = load_weights("state")[0], load_weights("of_few")[0]
    assert all(np.array_equal(one[name], other[name]) for name in one | other)


# The study

SHARES = ["random_eighth", "easy_eighth", "hard_eighth"]
DIETS = [{"pretraining": SHARES, "iterations": [20, 100], "rounds": 2}]


def test_images_are_judged_once_and_all_other_tables_stay_as_they_were():
    without = read_study()
    pretrained = [*without.config["pretrained"], *DIETS]
    study = read_study(pretrained=pretrained, scores={"iterations": [100]})
    run = study.runs[0]
    (scores,) = all_jobs(study, rules=["scores"])
    assert len(scores.inputs) == 1 + 5 and all("/it100." in path for path in scores.inputs[1:])
    for job in all_jobs(study, rules=["pretrain"]):
        chosen = job.names["pretraining"].removesuffix("_eighth") in ("easy", "hard")
        assert (scores.outputs[0] in job.inputs) == chosen
    for table in ("dense", "imp", "pretrained_dense", "pretrained_imp"):
        there = list(jobs_of_table(study, run, table))
        assert there == list(jobs_of_table(without, without.runs[0], table)) and there
    dieted = list(jobs_of_table(study, run, "diet_imp"))
    assert len(dieted) == 5 * 3 * 2 * 2
    assert all(job.names["task"] == f"{job.names['task'].split('-')[0]}-{job.names['k']}" for job in dieted)
    specs = {
        job.outputs: job.stage.spec(job)
        for job in all_jobs(study)
        if job.rule not in ("figure", "claims", "report")
    }
    for job in all_jobs(without):
        assert job.rule in ("figure", "claims", "report") or specs[job.outputs] == job.stage.spec(job)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pretrained": DIETS}, "pretraining.easy_eighth.images are chosen by `scores`, but scores.iterations is empty"),
        (
            {"pretrained": DIETS, "scores": {"iterations": [100]}, "training": {"validation": 100}},
            "which do not know the images that each seed holds out; validation must be 0",
        ),
        (
            {"sparse_pretraining": [{"pretraining": ["random_eighth"], "iterations": [20], "rewind_iterations": [60],
                                     "rounds": [1], "perturbations": ["rewind"]}]},
            "sparse_pretraining.0 has random_eighth, which shows a share of the images: only `pretrained` can",
        ),
        ({"pretraining": {"easy_eighth": {"images": {"share": 1.5}}}}, r"easy_eighth.images.share is 1\.5"),
    ],
)  # fmt: skip
def test_a_share_without_what_it_needs_is_refused_at_the_start(settings, message):
    with pytest.raises(InvalidInput, match=message):
        read_study(**settings)


# Figure and claims from tables whose answer is known


def tables(gains, ks=(20, K), to_0=90.0):
    """Tables at 26.2 %; `gains`: share -> points over tickets of all images at each k, which gain `GAIN` at the last."""
    at = {"round": 3, "density": 0.64**3}
    found = {
        "imp": rows(to_0, 0, k=0, **at),
        "dense": rows(94, 70, density=1.0),
        "diet_imp": [],
        "diet_dense": [],
    }
    for number, k in enumerate(ks):
        level = to_0 + GAIN * (k == ks[-1])
        found["imp"] += rows(level, 1 + number, k=k, **at)
        for place, (share, gained) in enumerate(gains.items()):
            began = {"pretraining": share, "pretraining_task": "supervised", "pretraining_iterations": k}
            number_of_it = 10 * (1 + place) + number
            found["diet_imp"] += rows(level + gained[number], number_of_it, k=k, **at, **began)
            found["diet_dense"] += rows(94 + gained[number], 100 + number_of_it, density=1.0, **began)
    return {name: DataFrame(table) for name, table in found.items()}


@pytest.mark.parametrize(
    ("claim", "random", "easy", "expected"),
    [
        ("D10", (0.0, 0.0), (0.0, 0.0), "reproduced"),
        ("D10", (0.0, -2.0), (0.0, 0.0), NO),
        ("D10", (3.0, 0.0), (0.0, 0.0), "reproduced"),  # better is as good, too
        ("D11", (0.0, 0.0), (1.0, 0.0), "reproduced"),
        ("D11", (1.5, 0.0), (1.0, 0.0), NO),  # than all images, not than a random share
        ("D11", (0.0, 0.0), (-1.0, 2.0), NO),  # the smallest k counts
        ("D11", (0.0, 0.0), (0.01, 0.0), OPEN),
    ],
)
def test_claims_follow_what_the_shares_give(claim, random, easy, expected):
    found = tables({"random_eighth": random, "easy_eighth": easy})
    assert assessed(claim, found, SHORT) == expected


def test_the_figure_shows_the_shares_beside_all_images():
    gains = {"random_eighth": (0.0, 0.0), "hard_eighth": (-3.0, -4.0)}
    drawn, points = data_diet(tables(gains))
    assert len(drawn.axes) == 2
    assert set(points["curve"]) == {"dense", ALL, AT_0, *gains}
    for k, to_0, level in ((20, 90.0, 90.0), (K, 90.0, 92.0)):
        of_k = points[points["k"] == k].set_index(["curve", "round"])["mean"]
        fall = dict(zip((20, K), gains["hard_eighth"], strict=True))[k]
        wanted = {
            (AT_0, 3): to_0,
            (ALL, 3): level,
            ("hard_eighth", 3): level + fall,
            ("hard_eighth", 0): 94 + fall,
        }
        for place, percent in wanted.items():
            assert 100 * of_k[place] == pytest.approx(percent)
