"""Networks and tickets that learned something else first: states, clocks, masks, figures, claims."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pandas import DataFrame, concat, read_csv
from scipy.stats import entropy

from assigned import CONFIG, carry_out, read_study
from earlyphase.core.branches import Ticket, branch
from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import density, full_mask, gather_kept, prune_by_magnitude
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.pretraining import NEW_OUTPUT, fitting, moved, output_names
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task, all_at, apply
from earlyphase.core.training import Run, Training
from earlyphase.errors import InvalidInput
from earlyphase.results.claims import judge
from earlyphase.results.claims.claim import ANOTHER_NETWORK, DIED, NOT_CONFIGURED, NOT_LEARNED, NOT_MEASURABLE
from earlyphase.results.claims.evidence import SHARE
from earlyphase.results.figures import figure
from earlyphase.results.pretraining import LOST, matching_durations
from earlyphase.runtime.resume import ResumeFile
from earlyphase.runtime.storage import (
    load_mask,
    load_tensors,
    load_weights,
    save_mask,
    save_tensors,
    save_weights,
)
from earlyphase.runtime.tickets import load_trained
from earlyphase.runtime.trajectory import kept_before, kept_states
from earlyphase.stages import dense
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import all_jobs, job_of, names_of
from test_claims import FULL, KNOWN, SHORT, judged
from test_claims import verdict as assessed
from test_training import pruned_weights_are_zero

OUTPUT = {"fc.weight", "fc.bias"}


def build(classes):
    return resnet(3, classes, depth=8, width=4)


def same(one, other, names=None):
    assert names is not None or one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in names or one)


# From one task to another


def test_the_output_layer_is_found_by_its_shape():
    assert set(output_names(build, 10)) == OUTPUT

    def without_linear(classes):  # one whose classes are channels, not the last layer by name
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, classes, 1), torch.nn.BatchNorm2d(4)
        )

    assert set(output_names(without_linear, 10)) == {"1.weight", "1.bias"}


@pytest.mark.parametrize(
    ("before", "redraw", "new"), [(4, False, True), (4, True, True), (10, False, False), (10, True, True)]
)
def test_all_but_the_output_layer_is_carried_over(before, redraw, new):
    trained, fresh = initial_state(build(before), 1), initial_state(build(10), 2)
    trained |= {name: np.full_like(a, 7) for name, a in trained.items() if "running" in name}
    state = moved(trained, fresh, OUTPUT, redraw=redraw)
    assert same(state, trained, trained.keys() - OUTPUT)
    assert same(state, fresh if new else trained, OUTPUT)
    assert {name: a.shape for name, a in state.items()} == {name: a.shape for name, a in fresh.items()}


def test_a_new_output_layer_is_no_draw_that_pretraining_began_with():
    """One drawn from the stream of iteration 0 would be what the first phase adapted to."""
    first, later = initial_state(build(10), 3), initial_state(build(10), 3, NEW_OUTPUT)
    assert same(first, initial_state(build(10), 3))
    assert not np.intersect1d(first["fc.weight"], later["fc.weight"]).size
    assert later["fc.weight"].std() == pytest.approx(np.sqrt(2 / 16), rel=0.15)


# Tickets


@pytest.fixture
def ticket():
    weights, initial, final = (initial_state(build(10), seed) for seed in (5, 6, 7))
    mask = prune_by_magnitude(weights, full_mask(weights, prunable_names(build(10))), 0.7)
    return Ticket(weights, initial, final, mask, iteration=4, round=2)


@pytest.mark.parametrize("scope", ["layer", "kernel", "global"])
def test_a_shuffled_mask_keeps_as_many_weights_in_each_group(ticket, scope):
    shuffled = branch["shuffle_mask"](ticket, 0, scope=scope)
    assert density(shuffled.mask) == density(ticket.mask)
    moved_somewhere = False
    for name, kept in ticket.mask.items():
        new = shuffled.mask[name]
        axes = {"layer": None, "kernel": tuple(range(2, kept.ndim)), "global": ()}[scope]
        if axes != ():
            assert np.array_equal(new.sum(axis=axes), kept.sum(axis=axes))
        moved_somewhere |= not np.array_equal(new, kept)
        assert np.array_equal(shuffled.weights[name], np.where(new, ticket.weights[name], 0))
    assert moved_somewhere
    if scope == "global":  # layers no longer have what they had
        assert any(new.sum() != ticket.mask[name].sum() for name, new in shuffled.mask.items())


def test_every_weight_is_as_likely_to_be_kept(ticket):
    """Over many seeds each position is kept as often as the layer's density says."""
    name, draws = "blocks.0.conv1.weight", 400
    often = sum(branch["shuffle_mask"](ticket, seed).mask[name].astype(int) for seed in range(draws)) / draws
    p = ticket.mask[name].mean()
    assert abs(often - p).max() < 4.5 * np.sqrt(p * (1 - p) / draws)


def test_a_random_mask_may_start_from_0(ticket):
    mask = branch["shuffle_mask"](ticket, 0)
    start = branch["rewind_to_0"](mask, 0)
    assert start.iteration == 0
    for name, kept in mask.mask.items():
        assert np.array_equal(start.weights[name], np.where(kept, ticket.initial[name], 0))


def test_the_mask_of_an_output_layer_is_left_out_where_it_does_not_fit(ticket):
    four, ten = initial_state(build(4), 0), initial_state(build(10), 0)
    assert ticket.mask.keys() - fitting(ticket.mask, four).keys() == {"fc.weight"}
    assert fitting(ticket.mask, ten) == ticket.mask


def noise_images(classes, size=8, count=40):
    rng = np.random.default_rng(classes)
    half = np.full(3, 0.5, np.float32)
    pixels = rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return Images.from_arrays(pixels, np.arange(count) % classes, half, half, torch.device("cpu"))


TRAINING = {
    "iterations": 8, "batch_size": 16, "learning_rate": 0.1, "milestones": [4, 6], "decay": 0.1, "momentum": 0.9,
    "weight_decay": 1e-3, "crop_padding": 1, "flip": True, "evaluate_every": 4,
}  # fmt: skip


def test_pruned_weights_are_zero_at_every_yield_of_both_phases(ticket):
    """Also across the change from four classes to ten, whose new output layer has the ticket's mask."""
    settings = TrainingSettings.from_spec(TRAINING)
    state, ticket = ticket.weights, replace(ticket, weights=ticket.weights)
    seen = 0
    for classes, purpose in ((4, "initial"), (10, NEW_OUTPUT)):
        images, model = noise_images(classes), build(classes)
        start = moved(state, initial_state(model, 0, purpose), OUTPUT)
        mask = fitting(ticket.mask, start)
        batch_at = shuffled_batches(images, 0, 16, settings.augmentation_at)
        run = Run(Training(start, range(8), batch_at, settings, mask), model, images, nullcontext)
        for _ in run:
            state = run.progress().weights
            assert pruned_weights_are_zero(state, mask)
            assert all(np.all(state[name][kept] != 0) for name, kept in mask.items())
            seen += 1
        if classes == 4:
            assert np.all(state["fc.weight"] != 0)  # dense
    assert seen == 18 and pruned_weights_are_zero(state, ticket.mask) and mask.keys() == ticket.mask.keys()


# The jobs

COLUMNS = {"dataset": "d", "model": "m", "seed": 0, "task": "supervised"}
ROTATION, SUPERVISED = {"function": "rotation"}, {"function": "supervised"}
FIRST = TRAINING | {"iterations": 5, "milestones": []}


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """A folder with a data set of 40 images of ten classes."""
    monkeypatch.chdir(tmp_path)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(40) % 10
    half = np.full(3, 0.5, np.float32)
    save_tensors("data", "data set", arrays | {"mean": half, "std": half}, classes=list("abcdefghij"))
    return tmp_path


def do(stage, task, training, inputs, outputs, *options, **spec):
    """Do a job on the data set of the folder."""
    of = {"model": {"function": "resnet", "depth": 8, "width": 4}, "task": task, "training": training}
    of |= {"columns": COLUMNS} | spec
    words = ("--resume", "resume", "--resume-interval", "0", *options)
    roots = ("core.networks.resnet.resnet", f"core.tasks.{task['function']}")
    assert carry_out(stage, of, {"data": "data"} | inputs, outputs, *words, roots=roots) == 0


def pretrain(task=ROTATION):
    outputs = {"state": "state", "metrics": "pretraining.csv", "run": "pretraining.json"}
    do("pretrain", task, FIRST, {}, outputs)


def second_phase(output_layer="kept", start=0, name="trajectory"):
    """The states that are kept of it, by iteration."""
    outputs = {"trajectory": name, "metrics": f"{name}.csv", "run": f"{name}.json"}
    how = {"output_layer": output_layer, "start": start}
    do("dense", SUPERVISED, TRAINING, {"start": "state"}, outputs, "--keep", str(start), second_phase=how)
    return kept_states(name)


def test_round_0_begins_with_exactly_the_pretrained_state(folder):
    pretrain()
    pretrained, iteration = load_weights("state")
    assert iteration == 5 and pretrained["fc.weight"].shape == (4, 16)
    states = second_phase()
    assert list(states) == [0, 8]
    begun = states[0]
    assert same(begun, pretrained, pretrained.keys() - OUTPUT)  # running statistics of batch norm among them
    assert same(begun, initial_state(build(10), 0, NEW_OUTPUT), OUTPUT)
    assert not any(velocity.any() for velocity in kept_before("trajectory", 0)[2].values())
    assert list(read_csv("trajectory.csv")["iteration"]) == [0, 4, 8]


@pytest.mark.parametrize("task", [{"function": "random_labels", "drawn": "independent"}, ROTATION])
def test_what_was_learned_first_is_measured_on_the_images_learned_from(folder, task):
    pretrain(task)
    *earlier, last = read_csv("pretraining.csv").to_dict("records")
    data, _ = load_tensors("data", "data set")
    half = np.full(3, 0.5, np.float32)
    given = Images.from_arrays(data["train_images"], data["train_labels"], half, half, torch.device("cpu"))
    learnt = apply([task], Task(given, given, 10), 0)
    ((inputs, labels),) = all_at(learnt, 40, 4)
    model = build(learnt.classes)
    load_state(model, load_weights("state")[0])
    loss = F.cross_entropy(model.eval()(inputs).detach().double(), labels).item()
    assert last["training_loss"] == pytest.approx(loss, rel=1e-5)
    assert last["guessing_loss"] == pytest.approx(entropy(np.bincount(labels)))
    assert all(np.isnan([row["training_loss"], row["guessing_loss"]]).all() for row in earlier)
    assert len(set(labels.tolist())) == learnt.classes and len(list(all_at(learnt, 15, 4))) == 3


def test_the_output_layer_of_as_many_classes_is_kept_or_redrawn(folder):
    pretrain(task={"function": "random_labels"})
    pretrained, _ = load_weights("state")
    assert same(second_phase()[0], pretrained)
    redrawn = second_phase(output_layer="redrawn", name="redrawn")[0]
    assert same(redrawn, pretrained, pretrained.keys() - OUTPUT)
    assert not np.intersect1d(redrawn["fc.weight"], pretrained["fc.weight"]).size


def test_pretraining_on_the_own_task_is_the_dense_run_at_its_first_rate(folder):
    """Until the rate would first fall, and while the clock runs on, it is the same run."""
    pretrain(task=SUPERVISED)
    outputs = {"trajectory": "t", "metrics": "t.csv", "run": "t.json"}
    do("dense", SUPERVISED, TRAINING | {"milestones": []}, {}, outputs, "--keep", "5")
    assert same(load_weights("state")[0], kept_states("t")[5])


def test_a_continued_clock_takes_the_batches_and_rates_from_there_on(folder, monkeypatch):
    pretrain()
    rates = []
    step = MaskedOptimizer.step

    def recorded(self, entry, learning_rate, weight_decay):
        rates.append(learning_rate)
        step(self, entry, learning_rate, weight_decay)

    monkeypatch.setattr(MaskedOptimizer, "step", recorded)
    continued = second_phase(start=5)
    assert list(continued) == [5, 8] and rates == pytest.approx([0.01, 0.001, 0.001])
    restarted = second_phase(name="restarted")
    assert rates[3:] == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    assert same(continued[5], restarted[0])


class Killed(BaseException):
    """Stands for a signal that cannot be caught."""


def ticket_files(ticket):
    for name, state, iteration in (
        ("it4", ticket.weights, 4),
        ("it0", ticket.initial, 0),
        ("it8", ticket.final, 8),
    ):
        save_weights(name, state, iteration)
    save_mask("mask", ticket.mask)


def pretrain_ticket(perturbation):
    inputs = {"rewind": "it4", "initial": "it0", "final": "it8", "mask": "mask"}
    outputs = {"state": "state", "mask": "kept", "metrics": "p.csv", "run": "p.json"}
    how = {"perturbation": perturbation, "round": 2, "dense_end": 8, "columns": COLUMNS | {"k": 4}}
    do("pretrain_ticket", ROTATION, FIRST, inputs, outputs, **how)


def train_ticket():
    outputs = {"metrics": "m.csv", "run": "m.json"}
    how = {"output_layer": "kept", "start": 0}
    do("train_ticket", SUPERVISED, TRAINING, {"state": "state", "mask": "kept"}, outputs, second_phase=how)


def made(folder):
    return {name: (folder / name).read_bytes() for name in ("state", "kept", "p.csv", "m.csv")}


def test_a_ticket_is_pretrained_and_trained_under_its_changed_mask(folder, ticket):
    ticket_files(ticket)
    pretrain_ticket([{"function": "shuffle_mask"}, {"function": "rewind_to_0"}])
    mask, (state, _) = load_mask("kept"), load_trained("state")
    assert same(mask, branch["shuffle_mask"](ticket, 0).mask)
    assert pruned_weights_are_zero(state, fitting(mask, state)) and state["fc.weight"].shape == (4, 16)
    train_ticket()
    table = read_csv("m.csv")
    assert table["density"].iloc[0] == density(ticket.mask)
    assert list(table["iteration"]) == [0, 4, 8]
    assert len(gather_kept(state, fitting(mask, state))) < sum(kept.size for kept in mask.values())


def test_a_killed_job_of_either_phase_ends_with_the_same_bytes(folder, ticket, monkeypatch):
    ticket_files(ticket)
    pretrain_ticket([{"function": "rewind"}])
    train_ticket()
    undisturbed = made(folder)
    for name in undisturbed:
        (folder / name).unlink()
    step, left = MaskedOptimizer.step, [3, 4]
    monkeypatch.setattr(ResumeFile, "due", lambda self: True)

    def mortal(self, *arguments):
        if left and left[0] == 0:
            left.pop(0)
            raise Killed
        if left:
            left[0] -= 1
        step(self, *arguments)

    monkeypatch.setattr(MaskedOptimizer, "step", mortal)
    with pytest.raises(Killed):
        pretrain_ticket([{"function": "rewind"}])
    assert (folder / "resume").exists() and not (folder / "state").exists()
    left.append(left.pop(0) + 2)  # the two steps that are left of the first phase
    pretrain_ticket([{"function": "rewind"}])
    with pytest.raises(Killed):
        train_ticket()
    train_ticket()
    assert made(folder) == undisturbed


# The study


def specs(studied, *rules):
    """What the jobs of some rules read of the configuration; of all rules, if none is named."""
    return {job: job.stage.spec(job) for job in all_jobs(studied, rules=rules or None)}


def pretrained_jobs(studied, rule):
    return {job: spec for job, spec in specs(studied, rule).items() if "-" in job.names["task"]}


def test_a_longer_pretraining_or_another_round_adds_jobs_and_changes_none():
    entry = {"pretraining": ["rotation"], "iterations": [10], "rounds": 2}
    few = read_study(pretrained=[entry])
    many = read_study(pretrained=[entry | {"iterations": [5, 10, 20], "rounds": 3}])
    before, after = specs(few), specs(many)
    assert before.keys() < after.keys()
    inputs = {job: job.stage.inputs(job) for job in after}
    for job, spec in before.items():
        if job.rule not in ("collect", "figure", "claims", "report"):
            assert spec == after[job] and job.stage.inputs(job) == inputs[job]
    assert len(pretrained_jobs(many, "imp_round")) == 5 * 3 * 3
    assert len(specs(many, "pretrain")) == 5 * 3


def test_tables_of_networks_that_were_not_pretrained_are_as_they_were():
    """Other rows would be read as theirs: those tables have no column that tells them apart."""
    with_all, without = read_study(), read_study(pretrained=[], sparse_pretraining=[])
    for table in ("dense", "imp", "perturbed"):
        one, other = (
            job_of(each, "collect", names_of(each.runs[0]) | {"table": table}) for each in (with_all, without)
        )
        assert one.stage.inputs(one) == other.stage.inputs(other)
    before, after = specs(without), specs(with_all)
    assert all(
        spec == after[job] for job, spec in before.items() if job.rule not in ("figure", "claims", "report")
    )


def test_pretrained_networks_learn_the_task_of_their_run_and_say_what_they_saw():
    end = CONFIG["training"]["iterations"]
    studied = read_study(
        pretraining={"later": {"task": "rotation", "clock": "continued"}},
        pretrained=[{"pretraining": ["rotation", "later"], "iterations": [30], "rounds": 1}],
    )
    for rule in ("dense", "imp_round"):
        for job, spec in pretrained_jobs(studied, rule).items():
            start = 30 if job.names["task"] == "later-30" else 0
            assert spec["task"] == {"function": "supervised"} == studied.config["tasks"]["supervised"]
            assert (
                spec["columns"]["task"] == "supervised" and spec["columns"]["pretraining_task"] == "rotation"
            )
            assert spec["columns"]["total_iterations"] == 30 + end - start
            assert job.span == range(start, end)
            assert "core.tasks.rotation" not in job.code_roots
            assert dense.kept(job) == [start]
    assert {job.names["k"] for job in pretrained_jobs(studied, "imp_round")} == {"0", "30"}
    first, spec = next(iter(specs(studied, "pretrain").items()))
    assert spec["task"] == studied.config["tasks"]["rotation"]
    assert (spec["training"]["iterations"], spec["training"]["milestones"]) == (30, [])
    assert "core.tasks.rotation" in first.code_roots


def test_a_sparse_ticket_counts_what_it_saw_before_k():
    end = duration = CONFIG["training"]["iterations"]
    for job, spec in specs(read_study(), "train_ticket").items():
        past = 0 if job.names["perturbation"].endswith("0") else int(job.names["k"])
        assert spec["columns"]["total_iterations"] == past + duration + end


SPARSE = {"pretraining": ["rotation"], "iterations": [5], "rewind_iterations": [100], "rounds": [3],
          "perturbations": ["rewind"]}  # fmt: skip
BAD = [
    ({"pretraining": {"rotation": {"task": "rotatio"}}}, "pretraining.rotation.task is 'rotatio', .*did you mean 'rotation'"),
    ({"pretraining": {"x": {"task": "rotation", "clock": "later"}}}, "pretraining.x.clock is 'later'"),
    ({"pretrained": [{"pretraining": ["rotation"], "iterations": [0]}]}, "iterations.0 is 0.*iterations, or with a point"),
    ({"pretrained": [{"pretraining": ["rotatio"], "iterations": [5]}]}, "pretrained.0.pretraining.0 is 'rotatio'.*did you mean"),
    ({"pretrained": [{"pretraining": ["rotation"], "iterations": [0.001]}]}, "pretrained.0.iterations has 0, once rounded"),
    ({"pretrained": [{"pretraining": ["rotation_continued"], "iterations": [400]}]}, "iterations has 400, .*ends at iteration 400"),
    ({"sparse_pretraining": [SPARSE | {"perturbations": ["rewnd"]}]}, "sparse_pretraining.0.perturbations.0 is 'rewnd', .*did you mean"),
    ({"runs": [{"dataset": "photo_digits", "model": "resnet8", "pretrained": [{"pretraining": ["y"], "iterations": [5]}]}]}, "runs.0.pretrained.0.pretraining.0 is 'y'"),
    ({"figures": {"pretraining": {"panels": [{"rotatio": "turned"}]}}}, "figures.pretraining shows 'rotatio'"),
    ({"figures": {"sparse_pretraining": {"tickets": [{"rewnd": "as it is"}]}}}, "figures.sparse_pretraining shows 'rewnd'"),
    ({"tasks": {"blur": {"function": "blurred", "factor": 64}}}, "task blur on photo_digits: factor of blurred is 64"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_cannot_be_is_refused_at_the_start(settings, message):
    with pytest.raises(InvalidInput, match=message):
        read_study(**settings)


def test_figures_without_their_networks_are_left_out():
    said = " ".join(left_out(read_study(pretrained=[], sparse_pretraining=[])))
    assert "figure pretraining is left out" in said and "figure sparse_pretraining is left out" in said
    other = [{"pretraining": ["rotation"], "iterations": [5]}]
    said = " ".join(
        left_out(read_study(pretrained=other, figures={"pretraining": {"panels": [{"blur": "blur"}]}}))
    )
    assert "figure pretraining is left out: none of the pretrainings that it shows is applied" in said


# Figures and claims from tables whose answer is known

NETWORK = {"dataset": "d", "model": "m", "task": "supervised"}
T, K = 480, 100
GAIN = 2.0  # points, of rewinding to k


def jitter(number):
    """What five seeds add to an accuracy, in points: other for each number, nothing in the mean."""
    drawn = np.random.default_rng(number).normal(0, 0.05, 5)
    return drawn - drawn.mean()


def rows(accuracy, number, **run):
    """Evaluations of five seeds whose last accuracies are `accuracy` points, give or take `jitter(number)`."""
    around = accuracy + jitter(number)
    return [
        NETWORK | run | {"seed": seed, "iteration": at, "accuracy": (around[seed] - worse) / 100, "loss": 1.0}
        for seed in range(5)
        for at, worse in ((T // 2, 5), (T, 0))
    ]


def tables(first, sparse=None, to_0=90.0, masks_of_k=90.0, duration=480, gain=GAIN):
    """Tables of tickets at 26.2 %.

    Args:
        first: (pretraining, iterations) -> points over rewinding to 0.
        sparse: ticket -> the same, after pretraining on rotation.
    """
    at = {"round": 3, "density": 0.64**3}
    found = {
        "imp": rows(to_0, 0, k=0, **at) + rows(to_0 + gain, 1, k=K, **at),
        "dense": rows(94, 70, density=1.0),
    }
    found |= {"pretrained_imp": [], "pretrained_dense": []}
    for number, ((name, iterations), gained) in enumerate(first.items()):
        task = name.removesuffix("_slow")
        began = {"pretraining": name, "pretraining_task": task, "pretraining_iterations": iterations}
        began |= {"total_iterations": iterations + T}
        found["pretrained_imp"] += rows(to_0 + gained, 2 + number, k=0, **at, **began)
        found["pretrained_dense"] += rows(94 + gained, 30 + number, density=1.0, **began)
    if sparse:
        began = {
            "pretraining": "rotation",
            "pretraining_task": "rotation",
            "pretraining_iterations": duration,
        }
        found["pretrained_tickets"] = []
        for number, (name, gained) in enumerate(sparse.items()):
            total = {"total_iterations": duration + T + (0 if name.endswith("0") else K)}
            found["pretrained_tickets"] += rows(
                to_0 + gained, 50 + number, k=K, perturbation=name, **at, **began, **total
            )
        size = {"effective_mean": 0.0, "effective_std": 0.1}
        found["perturbed"] = rows(masks_of_k, 60, k=K, perturbation="rewind_to_0", **at, **size)
    return {name: DataFrame(table) for name, table in found.items() if table}


SIX = ("rewind", "reinitialised", "random_mask", "rewind_to_0", "reinitialised_from_0", "random_mask_from_0")
NO_USE = dict.fromkeys(SIX, 0.0)
YES, NO, OPEN, NOT_RUN = "reproduced", "not reproduced", "inconclusive", NOT_CONFIGURED


def learned(found, loss=1.5):
    """With the first phases evaluated: the loss on the training images of their own task."""
    first = found["pretrained_imp"].drop_duplicates(["pretraining", "pretraining_iterations", "seed"])
    return found | {"pretraining": first.assign(training_loss=loss, guessing_loss=2.3)}


def verdict(claim, reading="", facts=SHORT, **of):
    return assessed(claim, learned(tables(**of)), facts, reading)


CONTROL = ("supervised", 480)


@pytest.mark.parametrize(
    ("claim", "first", "expected"),
    [
        ("D1", {("random_labels", 480): 0.0}, YES),
        ("D1", {("random_labels", 480): 2.0}, NO),
        ("D1", {("random_labels", 480): 0.5}, OPEN),  # half a point: a quarter of what rewinding gains
        ("D1", {("random_labels", 480): -2.0}, NO),  # harm is not "no effect"
        ("D1", {("random_labels", 480): 0.0, ("random_labels", 960): -2.0}, NO),  # every length counts
        ("D1", {("rotation", 480): 0.0}, NOT_RUN),
        ("D2", {("rotation", 480): 2.0}, YES),
        ("D2", {("rotation", 480): 5.0}, YES),
        ("D2", {("rotation", 480): 0.5}, NO),
        ("D2", {("rotation", 48): 0.0, ("rotation", 480): 2.0}, YES),  # the longest counts
        ("D2", {("rotation", 48): 2.0, ("rotation", 480): 0.0}, NO),
        ("D3", {("rotation", 480): 2.0}, NOT_RUN),  # 480 is less than ten times k
        ("D3", {("rotation", 480): 0.0, ("rotation", 1000): 2.0}, YES),
        ("D3", {("rotation", 480): 2.0, ("rotation", 1000): 2.0}, NO),
        ("D3", {("rotation", 480): 0.0, ("rotation", 1000): 0.0}, NO),
        ("D4", {("blur", 480): 2.0}, YES),
        ("D4", {("blur", 480): 1.0}, NO),
        ("D5", {("blur_rotation", 480): 0.0}, YES),
        ("D5", {("blur_rotation", 480): 2.0}, NO),
        ("D6", {("blur_rotation", 48): -2.0, ("blur_rotation", 480): 2.0}, YES),  # the longest counts
        ("D6", {("blur_rotation", 480): -2.0}, NO),
    ],
)
def test_verdicts_where_the_truth_is_known(claim, first, expected):
    assert verdict(claim, first=first) == expected


def test_harm_is_said_to_be_harm():
    harmful = learned(tables({("random_labels", 480): -30.0}))
    assert "points (harmful)" in judged("D1", harmful, SHORT)["ours"]
    assert "points (no effect)" in judged("D1", learned(tables({("random_labels", 480): 0.0})), SHORT)["ours"]


@pytest.mark.parametrize(("loss", "expected"), [(2.29, YES), (2.31, NOT_LEARNED)])
def test_random_labels_that_were_not_learned_have_no_effect_to_judge(loss, expected):
    found = tables({("random_labels", 480): 0.0, ("random_labels_own_rate", 480): 0.0})
    for reading in KNOWN["D1"].readings:
        row = judged("D1", learned(found, loss), SHORT, reading)
        assert row["verdict"] == expected
    if expected == NOT_LEARNED:
        said = "the loss on the random labels ends at up to 2.3100, guessing has 2.3000"
        assert row["test"] == said
    dead = learned(found, 2.31)["pretraining"].assign(dead_features=0.8125)
    row = judged("D1", found | {"pretraining": dead}, SHORT)
    assert (row["verdict"], row["test"]) == (DIED, "5 of 5 networks died in the first phase")
    unknown = learned(found)["pretraining"].drop(columns="training_loss")
    assert judged("D1", found | {"pretraining": unknown}, SHORT)["verdict"] == NOT_MEASURABLE


def test_pretraining_is_set_beside_longer_training_too():
    beside_k, beside_longer = KNOWN["D2"].readings
    first = {("rotation", 480): 2.0, CONTROL: 6.0, ("supervised", 960): 9.0}
    assert (verdict("D2", beside_k, first=first), verdict("D2", beside_longer, first=first)) == (YES, NO)
    first = {("rotation", 480): 2.0, CONTROL: 1.0}
    assert verdict("D2", beside_longer, first=first) == YES
    assert verdict("D2", beside_longer, first={("rotation", 480): 2.0}) == NOT_RUN


def test_labels_are_fast_by_the_first_k_that_suffices():
    """Of 100 and 20, the latter: 480 iterations of rotation are then more than ten times that."""
    found = learned(tables({("rotation", 100): 0.0, ("rotation", 480): 2.0}))
    assert judged("D3", found, SHORT)["verdict"] == NOT_RUN
    early = DataFrame(rows(92.0, 7, k=20, round=3, density=0.64**3))
    row = judged("D3", found | {"imp": concat([found["imp"], early])}, SHORT)
    assert row["verdict"] == YES and "k = 20 suffices" in row["statement"]


@pytest.mark.parametrize(
    ("claim", "sparse", "expected"),
    [
        ("D7", {}, YES),
        ("D7", {"random_mask_from_0": 2.0}, NO),  # one that helps is enough
        ("D7", {"rewind": -5.0}, YES),
        ("D8", {"rewind": 0.5}, YES),  # 1.5 points below the ticket of k
        ("D8", {"rewind": 3.5}, NO),
        ("D9", {"rewind_to_0": 0.0}, YES),
        ("D9", {"rewind_to_0": 1.8}, NO),  # 0.2 points are none
    ],
)
def test_verdicts_on_sparse_tickets_where_the_truth_is_known(claim, sparse, expected):
    assert verdict(claim, first={("rotation", 480): 2.0}, sparse=NO_USE | sparse) == expected


def test_a_missing_ticket_or_another_reading_is_told_apart():
    only = {name: 0.0 for name in SIX if name != "random_mask"}
    assert verdict("D7", first={("rotation", 480): 2.0}, sparse=only) == NOT_RUN
    both = {"first": {("rotation", 480): 2.0}, "sparse": dict.fromkeys(SIX, 1.0), "masks_of_k": 91.0}
    assert verdict("D7", "own masks", **both) == NO
    assert verdict("D7", "masks of k", **both) == YES


PAPER = {"random_labels": (0.0, 0.0, 0.0, -3.0), "rotation": (0.0, 0.5, 1.0, 2.0), "blur": (0.5, 1.0, 1.5, 2.0),
         "blur_rotation": (0.0, 0.0, 0.0, 0.0)}  # fmt: skip


def paper_tables(**changed):
    """Tables with the ks, lengths and results of the paper."""
    lengths = (782, 1955, 3910, 15640)
    first = {
        (name, at): gain
        for name, gains in (PAPER | changed).items()
        for at, gain in zip(lengths, gains, strict=True)
    }
    found = tables(first, NO_USE, duration=15640)
    for name in ("imp", "perturbed", "pretrained_tickets"):
        found[name] = found[name].assign(k=found[name]["k"].replace(K, 500))
    return learned(found)


@pytest.mark.parametrize(
    ("changed", "claim", "expected"),
    [
        ({}, "D1", YES), ({}, "D2", YES), ({}, "D3", YES), ({}, "D4", YES), ({}, "D5", YES), ({}, "D6", OPEN),
        ({}, "D7", YES), ({}, "D8", YES), ({}, "D9", YES),
        ({"random_labels": (0.0, 1.5, 0.0, -3.0)}, "D1", NO),
        ({"random_labels": (0.0, 0.0, 0.0, 3.0)}, "D1", NO),
        ({"rotation": (0.0, 0.5, 1.0, 0.5)}, "D2", NO),
        ({"rotation": (3.0, 3.0, 3.0, 3.0)}, "D3", NO),  # as good at once: labels would speed up nothing
        ({"blur_rotation": (0.0, 0.0, 0.0, 2.0)}, "D5", NO), ({"blur_rotation": (0.0, 0.0, 0.0, 2.0)}, "D6", YES),
    ],
)  # fmt: skip
def test_verdicts_in_the_papers_network_where_the_truth_is_known(changed, claim, expected):
    assert judged(claim, paper_tables(**changed), FULL)["verdict"] == expected


@pytest.mark.parametrize(("function", "on"), [("vgg", "D6"), ("resnet", "D5")])
def test_a_claim_on_one_network_is_judged_on_no_other(function, on):
    study = {"networks": {"d/m": FULL | {"function": function}}}
    table = judge(paper_tables(), study)[0].drop_duplicates("id").set_index("id")
    (other,) = {"D5", "D6"} - {on}
    assert table.loc[on, "verdict"] != NOT_RUN and table.loc["D4", "verdict"] == YES
    assert table.loc[other, "verdict"] == ANOTHER_NETWORK
    assert table.loc[other, "test"] == f"it is no claim on networks of {function}"


def test_the_shortest_matching_pretraining_is_found_from_the_longest_down():
    first = {("rotation", 10): 2.0, ("rotation", 20): 0.0, ("rotation", 40): 2.0, ("rotation", 80): 2.0}
    first |= {("blur", 80): 1.4, ("supervised", 80): 2.0}  # of a gain of 2 points three quarters are 1.5
    found = matching_durations(tables(first))
    assert found.keys() == {"rotation", "blur"}  # the control is no pretraining
    assert found["rotation"] == (20, 40) and np.isnan(found["blur"]).all()
    assert matching_durations(tables({("blur", 80): 1.6}))["blur"] == (0, 80)  # known to be as short as 80
    assert SHARE == LOST


def test_without_rewinding_to_0_or_a_shared_round_nothing_is_known_to_match():
    found = tables({("rotation", 40): 2.0})
    assert np.isnan(matching_durations(found | {"imp": found["imp"].query("k > 0")})["rotation"]).all()
    assert np.isnan(matching_durations(found | {"imp": found["imp"].assign(round=7)})["rotation"]).all()


def texts(picture):
    return [text.get_text() for legend in picture.legends for text in legend.get_texts()]


def test_the_legend_has_durations_in_their_order_whatever_the_panels_begin_with():
    first = {
        ("random_labels", 480): 0.0,
        ("rotation", 48): 0.0,
        ("rotation", 480): 2.0,
        ("rotation", 1000): 2.0,
    }
    panels = [{"random_labels": "random labels"}, {"rotation": "rotation"}]
    picture, _ = figure["pretraining"](tables(first), panels=panels)
    lengths = [text for text in texts(picture) if "iterations first" in text]
    assert [text.split(" ")[0] for text in lengths] == ["48", "480", "1,000"]


def test_figure_9_shows_a_panel_a_task_and_what_each_curve_has_seen():
    first = {
        ("rotation", 48): 0.5,
        ("rotation", 480): 1.5,
        ("random_labels", 480): 0.0,
        ("supervised", 480): 3.0,
    }
    panels = [{"random_labels": "random labels"}, {"rotation": "turned"}, {"blur": "not there"}]
    picture, points = figure["pretraining"](tables(first), panels=panels)
    assert [ax.get_title(loc="left") for ax in picture.axes] == ["m, d: random labels", "m, d: turned"]
    turned = points[points["panel"] == "rotation"].set_index(["curve", "round"])
    assert turned.loc[("480 iterations first (960)", 3), "mean"] == pytest.approx(0.915)
    assert turned.loc[("480 iterations first (960)", 0), "mean"] == pytest.approx(0.955)
    assert turned.loc[("48 iterations first (528)", 3), "mean"] == pytest.approx(0.905)
    assert turned.loc[("rewind to k = 100 (480)", 3), "mean"] == pytest.approx(0.92)
    assert turned.loc[("rewind to 0 (480)", 3), "std"] == pytest.approx(np.std(jitter(0) / 100, ddof=1))
    assert turned.loc[("480 iterations of own task first (960)", 3), "mean"] == pytest.approx(0.93)
    assert set(texts(picture)) == {"dense", *points["curve"]}
    other = figure["pretraining"](tables(first), panels=panels, k=0)[1]
    assert "rewind to k = 100 (480)" not in set(other["curve"])


def test_the_control_has_a_panel_where_it_does_not_stand_in_the_others():
    panels = [{"rotation": "turned"}, {"supervised": "longer"}]
    first = {("rotation", 480): 1.5, ("supervised", 480): 3.0}
    picture, _ = figure["pretraining"](tables(first), panels=panels)
    assert len(picture.axes) == 1
    picture, points = figure["pretraining"](tables(first | {("supervised", 1000): 3.0}), panels=panels)
    assert [ax.get_title(loc="left") for ax in picture.axes] == ["m, d: turned", "m, d: longer"]
    assert "1,000 iterations first (1,480)" in set(points["curve"])
    assert len(figure["pretraining"](tables({("supervised", 480): 3.0}), panels=panels)[0].axes) == 1


def test_a_panel_far_below_the_others_has_an_axis_of_its_own():
    first = {("rotation", 480): 1.5, ("blur", 480): 1.5, ("random_labels", 480): -60.0}
    panels = [{"random_labels": "random"}, {"rotation": "turned"}, {"blur": "blurred"}]
    axes = figure["pretraining"](tables(first), panels=panels)[0].axes
    low, *others = [ax.get_ylim() for ax in axes]
    assert others[0] == others[1] and low[0] < 50 < others[0][0]
    titles = [ax.get_title(loc="left").endswith("(an axis of its own)") for ax in axes]
    assert titles == [True, False, False]


def test_figure_9_says_what_it_does_not_find():
    with pytest.raises(InvalidInput, match="no network began with any of blur"):
        figure["pretraining"](tables({("rotation", 480): 1.0}), panels=[{"blur": ""}])


def test_figure_10_sets_tickets_beside_the_network_that_was_pretrained_dense():
    found = tables({("rotation", 480): 1.8, ("blur", 480): 0.0}, NO_USE | {"rewind": 1.0})
    show = [{"rewind": "as it is"}, {"rewind_to_0": "of 0"}]
    picture, points = figure["sparse_pretraining"](found, tickets=show)
    means = points.set_index("curve")["mean"]
    assert means["as it is (1,060)"] == pytest.approx(0.91)
    assert means["pretrained while dense, then pruned (960)"] == pytest.approx(0.918)
    (ax,) = picture.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["as it is (1,060)", "of 0 (960)"]
    alone = points[points["kind"] == "not pretrained"]
    assert list(alone["curve"]) == ["of 0 (480)"] and alone["mean"].item() == pytest.approx(0.9)
    several = dict(found)
    more = found["pretrained_tickets"].assign(round=4, density=0.64**4)
    several["pretrained_tickets"] = DataFrame(
        [*found["pretrained_tickets"].to_dict("records"), *more.to_dict("records")]
    )
    picture, points = figure["sparse_pretraining"](several, tickets=show)
    assert picture.axes[0].get_xlabel() == "Weights remaining (%)" and set(points["round"]) == {3, 4}
