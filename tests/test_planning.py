"""What a study will take: against Snakemake's own list of jobs, brute force, and files as they are written."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from earlyphase.__main__ import main
from earlyphase.core.images import Images, unaugmented
from earlyphase.core.masks import full_mask, prune_by_magnitude
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, prunable_names
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task, task
from earlyphase.datasets import dataset
from earlyphase.runtime import calibration, machine
from earlyphase.runtime.resume import named
from earlyphase.runtime.storage import save_mask, save_tensors, save_weights
from earlyphase.runtime.tickets import save_trained
from earlyphase.study import demand, planning
from earlyphase.study.configuration import read_files, read_yaml
from earlyphase.study.jobs import job, jobs, spec
from earlyphase.study.planning import Plan, Speed, longest_chain
from earlyphase.study.rules import read_rules
from earlyphase.study.study import Study, read_study
from test_workflow import ROOT, Project

SMOKE = read_study([ROOT / "config.yaml", ROOT / "tests/smoke.yaml"], ROOT)
DIGITS = read_study([ROOT / "config.yaml", ROOT / "presets/digits.yaml"], ROOT)
PAPER = read_study([ROOT / "config.yaml", ROOT / "presets/paper.yaml"], ROOT)
RESNET20 = {
    "dataset": "cifar10",
    "model": "resnet20",
    "task": "supervised",
    "criterion": "magnitude",
    "seed": 0,
}
SPEED = Speed(
    step=0.5, evaluation=0.001, single=0.01, start=2.0, parameters=272_474, prunable=270_896, state=1_100_000
)


def speeds(study):
    return {(run.dataset, run.model): SPEED for run in study.runs}


# The longest chain


def test_the_longest_chain_of_a_graph_drawn_by_hand():
    """
    data 1 -> dense 10 -> round1 5 -> round2 5 -> perturbed 2 -> figure 1: 24
                       -> telemetry 12 -----------------------> figure
    other 22 -> figure
    """
    seconds = {
        "data": 1,
        "dense": 10,
        "round1": 5,
        "round2": 5,
        "perturbed": 2,
        "telemetry": 12,
        "other": 22,
        "figure": 1,
    }
    needs = {
        "data": [], "dense": ["data"], "round1": ["dense", "data"], "round2": ["round1", "data"],
        "perturbed": ["round2"], "telemetry": ["dense"], "other": [],
        "figure": ["perturbed", "telemetry", "other"],
    }  # fmt: skip
    assert longest_chain(seconds, needs) == ["data", "dense", "round1", "round2", "perturbed", "figure"]
    assert longest_chain(seconds | {"telemetry": 13}, needs) == ["data", "dense", "telemetry", "figure"]
    assert longest_chain(seconds | {"other": 23.5}, needs) == ["other", "figure"]
    assert longest_chain({"alone": 3.0}, {"alone": []}) == ["alone"]


@pytest.mark.parametrize("seed", range(20))
def test_the_longest_chain_is_the_longest_of_all_paths(seed):
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 9))
    needs = {one: [other for other in range(one) if draw.random() < 0.4] for one in range(count)}
    seconds = {one: float(draw.random()) for one in range(count)}

    def paths(one):
        yield [one]
        for before in needs[one]:
            yield from ([*path, one] for path in paths(before))

    longest = max(
        (path for one in needs for path in paths(one)), key=lambda path: sum(map(seconds.get, path))
    )
    assert longest_chain(seconds, needs) == longest


def in_resnet20():
    """The paper's preset, of ResNet-20 alone."""
    config = read_files([ROOT / "config.yaml", ROOT / "presets/paper.yaml"])
    config["runs"] = config["runs"][:1]
    return Study(config, read_yaml(ROOT / "config.schema.yaml"), read_rules(ROOT / "rules"))


CHAINS = {
    "a ticket of k = 500 that is pretrained": (
        in_resnet20(),
        ["data", "dense", "checkpoint", *["imp_round"] * 15, "pretrain_ticket", "train_ticket"],
        62_560 + 15 * (62_560 - 500) + 15_640 + 62_560,
    ),
    "fifteen rounds of VGG-13 after its longest pretraining": (
        PAPER,
        ["data", "pretrain", "dense", "checkpoint", *["imp_round"] * 15],
        31_280 + 125_120 + 15 * 125_120,
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_longest_chain_of_the_paper(name):
    """As its files name one another."""
    study, rules, steps = CHAINS[name]
    plan = Plan.of(study, speeds(study))
    assert [one.rule for one in plan.chain] == [*rules, "collect", "figure", "report"]
    assert sum(len(planning.iterations_of(study, one)) for one in plan.chain) == steps
    for before, after in itertools.pairwise(plan.chain):
        assert before in planning.needed_jobs(study, list(plan.seconds))[after]


# Iterations and evaluations


def trained(rule, told):
    """Iterations that a job will train for, by what its command line tells it."""
    if rule in ("pretrain", "pretrain_ticket", "deficit"):
        return told["training"]["iterations"]
    if rule in ("dense", "train_ticket"):
        return told["training"]["iterations"] - told.get("second_phase", {"start": 0})["start"]
    if rule in ("imp_round", "stability"):
        return told["training"]["iterations"] - told["columns"]["k"]
    if rule == "perturb":
        return told["training"]["iterations"] - told["start"]
    return told["stop"] if rule == "telemetry" else 0


@pytest.mark.parametrize("configuration", ["tests/smoke.yaml", "config.yaml"])
def test_jobs_and_iterations_are_those_of_snakemakes_own_list(tmp_path, configuration):
    project = Project(tmp_path)
    (tmp_path / "smoke.yaml").write_text((ROOT / configuration).read_text())
    printed = project.snakemake("-n", "--printshellcmds", "report")
    numbers, iterations = Counter(), Counter()
    for line in re.findall(r"python -m earlyphase (.*)", printed):
        rule, *words = shlex.split(line)
        numbers[rule] += 1
        iterations[rule] += trained(rule, json.loads(words[words.index("--spec") + 1]))
    study = read_study([ROOT / "config.yaml", ROOT / configuration], ROOT)
    everything = list(jobs(study))
    assert numbers == Counter(one.rule for one in everything)
    for rule in numbers:
        planned = sum(len(planning.iterations_of(study, one)) for one in everything if one.rule == rule)
        assert planned == iterations[rule], rule
    assert sum(iterations.values()) > 1000


def test_evaluations_are_those_that_the_loop_makes():
    """Of every training of two studies, by asking at each iteration whether to evaluate there."""
    for study in (SMOKE, DIGITS):
        seen = set()
        for one in jobs(study):
            span = planning.iterations_of(study, one)
            if one.rule in ("telemetry", "stability") or not span:  # evaluated at times of their own
                continue
            settings = TrainingSettings.from_spec(spec(study, one.rule, one.names)["training"])
            kind = one.rule, span, settings.iterations
            if kind not in seen:
                expected = sum(map(settings.evaluates_at, range(span.start, span.stop + 1)))
                assert planning.evaluations_of(study, one) == expected, one
                seen.add(kind)
        assert len(seen) > 5


def test_telemetry_is_evaluated_at_its_own_times():
    one = next(one for one in jobs(SMOKE) if one.rule == "telemetry")
    assert planning.evaluations_of(SMOKE, one) == 4  # 0, 4, 8, 12


# Seconds


def test_seconds_of_a_training_are_steps_evaluations_and_a_start():
    one = job(PAPER, "imp_round", **RESNET20, k=4000, round=1)
    evaluations = 15  # each 3,910 iterations, from 7,820 to the end
    expected = 58_560 * 0.5 + evaluations * 10_000 * 0.001 + planning.FORKED * 2.0
    assert planning.seconds_of(PAPER, one, SPEED) == pytest.approx(expected)
    PAPER.config["execution"]["preload"] = False
    try:
        assert planning.seconds_of(PAPER, one, SPEED) == pytest.approx(expected + (1 - planning.FORKED) * 2.0)
    finally:
        PAPER.config["execution"]["preload"] = True


def test_what_does_not_train_takes_time_in_proportion():
    one = job(PAPER, "curvature", **RESNET20, k=100)
    fixed = planning.FORKED * SPEED.start
    one_kind = (planning.seconds_of(PAPER, one, SPEED) - fixed) / 2  # of sample and running statistics
    assert one_kind == pytest.approx(planning.PRODUCTS * 9 * 2000 * SPEED.evaluation)
    one = job(PAPER, "fisher", **RESNET20, k=100)
    assert planning.seconds_of(PAPER, one, SPEED) - fixed == pytest.approx(200 * 7 * SPEED.single)


def test_the_line_between_two_copies_takes_time_for_each_point():
    """A training, an evaluation of each copy at the end, and sample and test set at every point."""
    one = job(PAPER, "stability", **RESNET20, k=4000, round=0)
    chosen = PAPER.run(one.names).stability
    seen = 2 * 10_000 + chosen["points"] * (min(chosen["sample"], 50_000) + 10_000)
    expected = 58_560 * SPEED.step + seen * SPEED.evaluation + planning.FORKED * SPEED.start
    assert planning.seconds_of(PAPER, one, SPEED) == pytest.approx(expected)


@pytest.mark.parametrize("copies", ["drawn", "all"])
def test_a_mini_batch_that_a_task_makes_larger_takes_as_much_longer(copies):
    """By as much as the task itself makes a mini-batch larger."""
    data = dataset["synthetic"]()
    arrays = data.train_images, data.train_labels, data.mean, data.std, torch.device("cpu")
    images = Images.from_arrays(*arrays)
    turned = task["rotation"](Task(images, images, 2), 0, copies=copies)
    larger = len(turned.batches(0, 8, unaugmented)(0)[1]) // 8
    study = read_study([ROOT / "config.yaml"], ROOT)
    study.config["tasks"]["rotation"]["copies"] = copies
    names = {
        "dataset": "photo_digits",
        "model": "resnet8",
        "seed": 0,
        "pretraining": "rotation",
        "iterations": 100,
    }
    one = job(study, "pretrain", **names)
    evaluated = (
        planning.evaluations_of(study, one)
        * demand.images_of(study.config["datasets"]["photo_digits"])["test"]
    )
    besides = evaluated * SPEED.evaluation + planning.FORKED * SPEED.start
    assert planning.seconds_of(study, one, SPEED) - besides == pytest.approx(larger * 100 * SPEED.step)


def test_a_precision_that_a_processor_does_not_know_is_float32():
    measured = {
        "step_seconds": {"float32": [3.0, 1.0, 2.0], "bfloat16": [0.5]}, "single_seconds": 1,
        "evaluation_seconds": {"float32": 0.2, "bfloat16": 0.1}, "start_seconds": 1,
        "parameters": 1, "prunable": 1, "state_bytes": 4,
    }  # fmt: skip
    assert Speed.of(measured, "tf32") == Speed.of(measured, "float32")
    assert (Speed.of(measured, "float32").step, Speed.of(measured, "bfloat16").evaluation) == (2.0, 0.1)


# Networks


@pytest.mark.parametrize("name", ["synthetic", "digits", "photo_digits"])
def test_a_network_is_timed_on_images_of_the_shape_that_jobs_have(name):
    """And under the name that a job asks by, so that both find one answer."""
    study = read_study([ROOT / "config.yaml", ROOT / "tests/smoke.yaml"], ROOT)
    run = study.runs[0]
    study.config["datasets"][run.dataset] = {"function": name, "flip": False}
    case, told = (
        planning.case_of(study, run),
        spec(study, "dense", RESNET20 | {"dataset": run.dataset, "model": run.model}),
    )
    assert case["shape"] == list(dataset[name]().train_images.shape[1:])
    assert case["model"] == told["model"]
    assert case["batch_size"] == told["training"]["batch_size"]


# Bytes


def test_bytes_are_those_of_files_as_they_are_written(tmp_path):
    model = resnet(3, 10, depth=20, width=16)
    state = initial_state(model, 0)
    momentum = {name: state[name] for name, _ in model.named_parameters()}
    prunable = prunable_names(model)
    speed = Speed(
        1, 1, 1, 1, sum(array.size for array in momentum.values()), sum(state[name].size for name in prunable),
        sum(array.nbytes for array in state.values()),
    )  # fmt: skip
    kept = PAPER.runs[0].kept_iterations
    tensors = {}
    for iteration in [*kept, 62_560]:
        tensors |= named(f"{iteration}/weights", state) | named(f"{iteration}/velocity", momentum)
    save_tensors(tmp_path / "trajectory", "trajectory", tensors, iterations=kept)
    save_weights(tmp_path / "weights", state, 0)
    mask = full_mask(state, prunable)
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
    ):
        found = planning.bytes_of(PAPER, job(PAPER, rule, **RESNET20, **names), speed)
        assert found == pytest.approx(expected, rel=0.03), rule
    pairs = planning.bytes_of(PAPER, job(PAPER, "curvature", **RESNET20, k=100), speed)
    assert pairs == pytest.approx(2 * 10 * speed.parameters * 4, rel=0.01)  # kinds, eigenvectors, float32


# The command


MEASURED = {
    "step_seconds": {"float32": [0.36] * 5, "bfloat16": [0.2] * 5}, "single_seconds": 0.01,
    "evaluation_seconds": {"float32": 0.0008, "bfloat16": 0.0004}, "start_seconds": 1.6, "images": 128,
    "parameters": 272_474, "prunable": 270_896, "state_bytes": 1_100_000,
}  # fmt: skip


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A folder in which the speed of every network is known."""
    monkeypatch.chdir(tmp_path)
    here = machine.described("cpu", {"OMP_NUM_THREADS": "1"})
    for study in (SMOKE, PAPER):
        cases = [planning.case_of(study, run) for run in study.runs]
        calibration.answers(cases, here, device="cpu", measure=lambda cases, *_: [MEASURED for _ in cases])
    return tmp_path


def options(configuration, precision="float32"):
    """Of a study on a CPU, in a precision."""
    Path("here.yaml").write_text(f"execution: {{device: cpu, precision: {precision}}}\n")
    return ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / configuration), "here.yaml"]


def test_the_paper_is_planned_in_a_minute_without_torch(known):
    """Seconds and memory of a process of its own, as the kernel counts them.

    VmHWM, since the largest size in `getrusage` may be that of the process that this one was forked from.
    """
    program = (
        "import json, re, resource, sys; from earlyphase.__main__ import main; status = main(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "most = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024; "
        "print(json.dumps([status, used.ru_utime + used.ru_stime, most, 'torch' in sys.modules]))"
    )
    command = [sys.executable, "-c", program, "plan", *options("presets/paper.yaml"), "--jobs", "8"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    status, seconds, megabytes, torch = json.loads(said.splitlines()[-1])
    assert status == 0 and not torch
    assert seconds < 60 and megabytes < 900
    total = re.search(r"^all +([\d,]+) +([\d,]+) +([\d,.]+) +([\d,.]+)$", said, re.M)
    number, iterations = (int(text.replace(",", "")) for text in total.groups()[:2])
    assert number == len(list(jobs(PAPER)))
    assert iterations == sum(len(planning.iterations_of(PAPER, one)) for one in jobs(PAPER))
    work = float(total[3].replace(",", ""))
    assert work * 3600 > iterations * 0.36  # evaluations and starts come on top
    assert "356 images/s, 0.36 s an iteration, in float32" in said
    least = float(re.search(r"8 jobs at a time: ([\d.]+) h", said)[1])
    assert least == pytest.approx(work / 8, rel=0.01)


def test_a_plan_says_what_is_done_and_which_precision_it_reckons_with(known, capsys):
    for one in [one for one in jobs(SMOKE) if one.rule == "dense"]:
        for path in one.outputs:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
    assert main(["plan", *options("tests/smoke.yaml")]) == 0
    in_float32 = capsys.readouterr().out
    assert re.search(r"^4 of \d+ jobs are done; .* of work are left$", in_float32, re.M)
    for precision, used, images in (("bfloat16", "bfloat16", 160), ("auto", "float32", 89)):
        assert main(["plan", *options("tests/smoke.yaml", precision)]) == 0
        said = capsys.readouterr().out
        assert f"{images} images/s" in said and f"in {used}\n" in said  # 32 images in 0.2 and in 0.36 s
        assert ("no test shows equal accuracies" in said) == (precision == "auto")


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_jobs_at_a_time_are_refused(known, capsys, count):
    assert main(["plan", *options("tests/smoke.yaml"), "--jobs", count]) == 1
    assert f"--jobs is {count}; it must be at least 1" in capsys.readouterr().err
