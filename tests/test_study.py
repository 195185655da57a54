import copy
import inspect
import re
import tomllib
from typing import get_type_hints

import numpy as np
import pytest
import yaml

from assigned import CONFIG, ROOT, configured, read_study
from earlyphase.core.branches import branch
from earlyphase.core.criteria import criterion
from earlyphase.core.networks import network
from earlyphase.core.schedules import sampled_iterations
from earlyphase.core.tasks import task
from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.registry import claim
from earlyphase.results import claims  # noqa: F401  registers the measures
from earlyphase.results.figures import figure
from earlyphase.stages import curvature, fisher
from earlyphase.stages.figure import figures_of, left_out
from earlyphase.study.configuration import overlaid, read_files, read_words, settled
from earlyphase.study.jobs import all_jobs, job_of, tables_of
from earlyphase.study.signatures import registered, schema_of


def changed(path, value):
    """The default configuration with one value replaced, or removed where it is `...`."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    place = config
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    if value is ...:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return config


EARLY, LATE = CONFIG["rewind_iterations"][1:]
PERTURBED = {"rewind_iterations": [20], "rounds": [6], "perturbations": ["noise_1"]}
BAD = [
    # key, value, what the message must say
    ("rouns", 3, "unknown key 'rouns'.*did you mean 'rounds'"),
    ("training.learning_rte", 0.1, "unknown key 'learning_rte' in training, did you mean 'learning_rate'"),
    ("models.resnet8.training", {"momentun": 0.5}, "unknown key 'momentun'.*did you mean 'momentum'"),
    ("runs.0.sed", [1], "unknown key 'sed' in runs.0"),
    ("execution.devices", "cpu", "unknown key 'devices' in execution"),
    ("rounds", ..., "the configuration lacks rounds"),
    ("training.momentum", ..., "training lacks momentum"),
    ("datasets.mine", {"function": "digits"}, "datasets.mine lacks flip"),
    ("training.optimizer", {"function": "adm"}, "photo_digits.optimizer.function is 'adm'.*did you mean 'adam'"),
    ("training.optimizer", {"function": "sgd"}, "photo_digits.optimizer lacks momentum"),
    ("training.schedule", {"function": "cosine", "warmup": -1}, "photo_digits.schedule.warmup is -1"),
    ("training.initialisation", {"function": "kaiming"}, "'kaiming', which is not registered in initialisation"),
    ("models.resnet8.training", {"augmentation": {"function": "crop_and_flip", "flop": True}}, "unknown key 'flop' in .*augmentation, did you mean 'flip'"),
    ("regimes.augmented", {"optimizer": {"function": "adam", "beta3": 0.9}}, "unknown key 'beta3' in regimes.augmented.optimizer"),
    ("regimes.restarted", {"schedule": "restart"}, "regimes.restarted.schedule is 'restart', but must be an entry, or restarted"),
    ("criteria.magnitude.retraining", "fine_tuning", "criteria.magnitude.retraining must be weight_rewinding"),
    ("criteria.random", {"function": "random", "retraining": "none"}, "criteria.random.retraining is 'none', but must be one of weight_rewinding"),
    ("runs", [], r"runs is \[\]"),
    ("runs.0.dataset", "photo_digit", "'photo_digit', .* not under datasets, did you mean 'photo_digits'"),
    ("runs.0.model", "resnet9", "'resnet9', which is not under models, did you mean 'resnet8'"),
    ("runs", [{"dataset": "digits", "model": "resnet8"}] * 2, "same network on the same data set twice"),
    ("seeds", [0, 1, 1], r"seeds is \[0, 1, 1\]: the same value stands there twice"),
    ("seeds", [-1], "seeds.0 is -1"),
    ("seeds", [0.5], "seeds.0 is 0.5, but must be of type integer"),
    ("seeds", [], r"seeds is \[\]"),
    ("seeds", 3, "seeds is 3, but must be of type array"),
    ("rewind_iterations", [0, 400], "rewind_iterations has 400.*400 iterations; k must be smaller"),
    ("rewind_iterations", [0, 20.5], "rewind_iterations.1 is 20.5, but must be of type integer"),
    ("rewind_iterations", ["2o"], "rewind_iterations.0 is the text '2o'"),
    ("rewind_iterations", [20, 20], "stands there twice"),
    ("rewind_iterations", [20, "20"], "stands there twice"),
    ("seeds", [float("nan")], "seeds.0 is nan, but must be of type integer"),
    ("training.momentum", float("nan"), "training.momentum is nan, but must be of type number"),
    ("training.decay", float("nan"), "training.decay is nan"),
    ("training.learning_rate", float("inf"), "training.learning_rate is inf, but must be of type number"),
    ("execution.resume_interval", float("nan"), "execution.resume_interval is nan"),
    ("datasets.photo_digits.seed", float("nan"), "datasets.photo_digits.seed is nan"),
    ("datasets.photo_digits.train", -1, "datasets.photo_digits.train is -1"),
    ("datasets.photo_digits.training", {"batch_size": 8}, "unknown key 'training' in datasets.photo_digits"),
    ("datasets.fashion_mnist.directory", [7], "datasets.fashion_mnist.directory is \\[7\\], but must be of type string"),
    ("datasets.cifar10.normalisation", "imagnet", "cifar10.normalisation is 'imagnet'"),
    ("models.resnet8.flip", True, "unknown key 'flip' in models.resnet8"),
    ("figures.rewinding.flip", True, "unknown key 'flip' in figures.rewinding"),
    ("perturbations.shuffle_layers.training", {}, "unknown key 'training' in perturbations.shuffle_layers"),
    ("tasks.supervised.classes", 4, "unknown key 'classes' in tasks.supervised"),
    ("runs.0.task", "rotatoin", "'rotatoin', which is not under tasks, did you mean 'rotation'"),
    ("runs.0.perturbed", [PERTURBED | {"perturbations": ["noise"]}], "runs.0.perturbed.0.perturbations.0 is 'noise', which is not under"),
    ("runs.0.figures", {"rewinding": {"function": "rewindin"}}, "runs.0.figures.rewinding.function is 'rewindin'"),
    ("runs.0.training", {"momentun": 0.5}, "unknown key 'momentun' in runs.0.training, did you mean 'momentum'"),
    ("plugins", "mine.py", "plugins is 'mine.py', but must be of type array"),
    ("rewind_iterations", [-1], "rewind_iterations.0 is -1"),
    ("runs.0.rewind_iterations", [700], "rewind_iterations has 700"),
    ("rounds", 0, "rounds is 0"),
    ("rounds", 2.5, "rounds is 2.5, but must be of type integer"),
    ("rounds", True, "rounds is True"),
    ("prune_fraction", 0, "prune_fraction is 0"),
    ("prune_fraction", 1, "prune_fraction is 1"),
    ("prune_fraction", 20, "prune_fraction is 20.*share of the kept weights"),
    ("prune_fraction", "20%", "prune_fraction is the text '20%'"),
    ("training.iterations", 0, "training.iterations is 0"),
    ("training.batch_size", 1, "training.batch_size is 1.*batch norm needs two"),
    ("training.learning_rate", 0, "training.learning_rate is 0"),
    ("training.learning_rate", -0.1, "training.learning_rate is -0.1"),
    ("training.weight_decay", "1e-4 ", "weight_decay is the text '1e-4 '"),
    ("training.momentum", 1.0, "training.momentum is 1.0"),
    ("training.decay", 1.5, "training.decay is 1.5"),
    ("training.milestones", [272, 192], r"milestones are \[272, 192\], but must increase"),
    ("training.milestones", [192, 192], r"milestones are \[192, 192\], but must increase"),
    ("training.milestones", [192, 400], "milestone 400 is not before the end at iteration 400"),
    ("training.milestones", [0], "training.milestones.0 is 0"),
    ("training.evaluate_every", 0, "evaluate_every is 0"),
    ("training.crop_padding", -1, "crop_padding is -1"),
    ("training.flip", "yes", "training.flip is 'yes', but must be of type boolean"),
    ("models.resnet8.training", {"iterations": 50}, f"rewind_iterations has {LATE}, but .* trains for 50 iterations"),
    ("models.resnet8.training", {"milestones": [340, 450]}, "milestone 450 is not before the end at iteration 400"),
    ("models.resnet8.function", "resnt", "'resnt', which is not registered in models, did you mean 'resnet'"),
    ("models.resnet8.widht", 8, "unknown key 'widht' in models.resnet8, did you mean 'width'"),
    ("models.mine", {"function": "resnet"}, "models.mine lacks depth"),
    ("models.resnet8.width", 0, "models.resnet8.width is 0"),
    ("models.resnet8.depth", 9, "models.resnet8.depth is 9.*6n"),
    ("models.ResNet8", {"function": "resnet", "depth": 8}, "names become paths"),
    ("datasets.digits.function", "digit", "'digit', which is not registered in datasets, did you mean"),
    ("datasets.digits.tests", 3, "unknown key 'tests' in datasets.digits, did you mean 'test'"),
    ("datasets.mine", {"function": "imagefolder", "flip": False}, "datasets.mine lacks path"),
    ("figures.rewinding.function", "rewind", "'rewind', which is not registered in figures"),
    ("figures.rewinding.show", [{"noise_1": "1"}], "unknown key 'show' in figures.rewinding"),
    ("execution.device", "gpu", "execution.device is 'gpu'"),
    ("execution.precision", "float16", "execution.precision is 'float16'"),
    ("execution.resume_interval", -1, "execution.resume_interval is -1.*seconds"),
    ("telemetry.schedule", [[50, 1], [40, 1]], r"telemetry.schedule: \[40, 1\] does not follow iteration 50"),
    ("telemetry.schedule", [[50]], r"telemetry.schedule.0 is \[50\]"),
    ("telemetry.evaluations", [[50, 0]], "telemetry.evaluations.0.1 is 0"),
    ("curvature.iterations", [1.5], "curvature.iterations.0 is 1.5, but must be an iteration, or with a point a fraction"),
    ("curvature.sample", 0, "curvature.sample is 0.*training images"),
    ("curvature.statistics", "eval", "curvature.statistics.0 is 'eval'"),
    ("curvature.statistics", [], r"curvature.statistics is \[\]"),
    ("curvature.statistics", ["sample", "sample"], "curvature.statistics is .*stands there twice"),
    ("curvature.tolerance", "1 %", "curvature.tolerance is the text '1 %'"),
    ("fisher.iterations", ["lat"], "fisher.iterations.0 is 'lat', but must be .* `all`, `early`, `late`"),
    ("runs.0.fisher", {"iterations": [-1]}, "runs.0.fisher.iterations.0 is -1"),
    ("fisher.sample", 1, "fisher.sample is 1.*an error needs two"),
    ("fisher.draws", 1, "unknown key .draws. in fisher"),
    ("fisher.statistics", "running", "unknown key 'statistics' in fisher"),
    ("inference.batch_sizes", [], r"inference.batch_sizes is \[\]"),
    ("inference.batch_sizes", [0], "inference.batch_sizes.0 is 0"),
    ("inference.turns", 2, "inference.turns is 2.*a median needs three"),
    ("inference.least_seconds", 0, "inference.least_seconds is 0.*seconds of a turn"),
    ("inference.rounds", [2, 2], "inference.rounds is .*stands there twice"),
    ("runs.0.inference", {"threads": 2}, "unknown key 'threads' in runs.0.inference"),
    ("figures.telemetry.layers", "fc.weight", "unknown key 'layers' in figures.telemetry, did you mean 'layer'"),
    ("perturbed", [PERTURBED | {"rounds": [6, 6]}], "perturbed.0.rounds is .*stands there twice"),
    ("perturbed", [PERTURBED | {"rewind_iterations": "latest"}], "perturbed.0.rewind_iterations.0 is 'latest', but must be an iteration k, or `all`"),
    ("perturbed", [PERTURBED, PERTURBED | {"rounds": [1.5]}], "perturbed.1.rounds.0 is 1.5, but must be a round, from 1 on, or with a point a density"),
    ("perturbed", [PERTURBED | {"perturbations": ["noise"]}], "perturbed.0.perturbations.0 is 'noise', which is not under perturbations, did you mean 'noise_"),
    ("pruned_by", [{"criteria": ["magnitude"]}], "pruned_by.0.criteria has 'magnitude', by which every run prunes"),
    ("pretraining.odd", {"task": "rotate"}, "pretraining.odd.task is 'rotate', which is not under tasks, did you mean 'rotation"),
    ("pretraining.odd", {"task": "blur", "training": {"iterations": 3}}, "unknown key 'iterations' in pretraining.odd.training"),
    ("pretraining.rotation.training", {"milestones": [300, 500]}, "pretraining.rotation of .* milestone 500 is not before the end at iteration 400"),
    ("figures.noise.show", {"noise_1": "1"}, "figures.noise.show is .*must be of type array .*a list"),
    ("perturbations", {"noise": {"function": "gausian_noise"}}, "did you mean 'gaussian_noise'"),
    ("perturbations", {"noise": {"function": "gaussian_noise"}}, "perturbations.noise lacks scale"),
    ("perturbations", {"noise": {"function": "gaussian_noise", "scale": -1}}, "perturbations.noise.scale is -1"),
    ("perturbations", {"mix": {"function": "shuffle", "scope": "layers"}}, "perturbations.mix.scope is 'layers'"),
    ("execution.preload", "on", "execution.preload is 'on', but must be of type boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_a_bad_value_is_refused_by_name(path, value, message):
    with pytest.raises(InvalidInput) as caught:
        configured(changed(path, value))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_an_entry_of_training_has_the_arguments_of_its_function():
    entries = {
        "optimizer": {"function": "adam", "beta1": 0.8},
        "schedule": {"function": "cosine", "warmup": 9},
    }
    training = configured(changed("training", CONFIG["training"] | entries)).runs[0].training
    assert {kind: training[kind] for kind in entries} == entries


def planned(overlay):
    """What a study computes: rewind iterations, and of each rule the jobs by all wildcards but the seed."""
    study = configured(overlaid(CONFIG, overlay))
    found = {}
    for one in all_jobs(study):
        names = {name: value for name, value in one.wildcards if name not in ("dataset", "model", "seed")}
        found.setdefault(one.rule, set()).add(tuple(names.values()))
    return study, found


def spec_of(study, rule, names):
    """What a job reads of the configuration."""
    job = job_of(study, rule, names)
    return job.stage.spec(job)


def parts(found, rule, *places):
    """Parts of the wildcards of the jobs of a rule."""
    return {tuple(names[place] for place in places) for names in found[rule]}


def test_other_rewind_iterations_are_one_edit():
    """Case: `rewind_iterations: [0, 50]` over the default study."""
    default, other = planned({})[1], planned({"rewind_iterations": [0, 50]})
    study, found = other
    assert not [sentence for sentence in left_out(study) if "is left out: the run" in sentence]
    renamed = {str(EARLY): "50", str(LATE): "50"}
    for rule in default.keys() - {"dense", "checkpoint", "deficit", "curvature", "fisher"}:
        assert {tuple(renamed.get(value, value) for value in names) for names in default[rule]} >= found[rule]
    assert parts(found, "imp_round", 2) == {("0",), ("50",)}
    assert parts(found, "perturb", 2, 4) >= {("50", "noise_1"), ("0", "one_shot"), ("50", "one_shot")}
    assert len(found["perturb"]) == len(default["perturb"]) - 15  # early and late are one
    assert parts(found, "stability", 2) == {("0",), ("50",), ("200",)}


def test_fewer_rounds_are_one_edit_and_what_is_lacking_is_named():
    default, (study, found) = planned({})[1], planned({"rounds": 2})
    assert found["imp_round"] == {names for names in default["imp_round"] if int(names[-1]) <= 2}
    assert "perturb" in default and "perturb" not in found
    assert found["stability"] == {names for names in default["stability"] if names[3] == "0"}
    for rule in ("dense", "checkpoint", "telemetry", "curvature", "fisher", "deficit", "pretrain"):
        assert found[rule] == default[rule]
    why = "is left out: the run has the rounds (densities) 1 (0.552), 2 (0.304)"
    lacking = {
        *(f"perturbed.{index}.rounds 0.093" for index in (0, 1, 2)),
        *("pretrained.0.rounds what follows round 2", "sparse_pretraining.0.rounds 0.093"),
        *("stability.rounds 0.168", "inference.rounds 0.093"),
    }
    said = [sentence for sentence in left_out(study) if why in sentence]
    assert {sentence.split(": of ")[1].split(" is left")[0] for sentence in said} == lacking
    figures_left = set(
        ", ".join(re.findall(r"figure ([\w, ]+?)(?::| is)", "\n".join(left_out(study)))).split(", ")
    )
    assert {"effective_std", "controls", "starting_values", "sparse_pretraining", "noise"} <= figures_left
    assert not {"rewinding", "pretraining", "stability", "sparsity"} & figures_left


def test_a_shorter_training_is_one_edit():
    edit = {"training": {"iterations": 200, "milestones": [130, 170]}}
    study, found = planned(edit)
    assert not [sentence for sentence in left_out(study) if "is left out: the run" in sentence]
    assert study.runs[0].training["milestones"] == [130, 170]
    default = planned({})[1]
    assert {rule: len(names) for rule, names in found.items()} == {
        rule: len(names) for rule, names in default.items()
    }
    short, named = planned({"training": {"iterations": 150}, "curvature": {"iterations": [0, 100, 400, 0.5]}})
    assert short.runs[0].training["milestones"] == [98, 128]
    assert curvature.times(short.runs[0]) == [0, 75, 100]
    assert "of curvature.iterations 400 is left out: the run trains for 150 iterations" in "".join(
        left_out(short)
    )
    assert parts(named, "pretrain", 1) == {("150",)}


@pytest.mark.parametrize(
    ("fraction", "density", "imp_round"),
    [(0.36, 0.107, 5), (0.36, 0.262, 3), (0.36, 0.3, None), (0.2, 0.262, 6), (0.1, 0.5, 7), (0.05, 0.5, 14)],
)
def test_a_density_is_the_nearest_round_within_a_tenth_and_never_another(fraction, density, imp_round):
    entry = {"rewind_iterations": ["late"], "rounds": [density], "perturbations": ["noise_1"]}
    edit = {
        "prune_fraction": fraction,
        "rounds": 20,
        "perturbed": [entry],
        "pruned_by": [{"criteria": ["random"], "rounds": density}],
    }
    (run,) = planned(edit)[0].runs
    assert run.perturbed == (
        [entry | {"rewind_iterations": [LATE], "rounds": [imp_round]}] if imp_round else []
    )
    last = run.pruned_by[0]["rounds"]
    assert last == imp_round or (
        imp_round is None and (1 - fraction) ** last > density > (1 - fraction) ** (last + 1)
    )


def test_roles_of_rewind_iterations_are_of_the_run():
    entry = {"rounds": [1], "perturbations": ["noise_1"]}
    chosen = [
        entry | {"rewind_iterations": role} for role in ("all", "early", "late", ["late", 0, "early", 7])
    ]
    edit = {"rewind_iterations": [100, 0, 20], "perturbed": chosen}
    study = planned(edit)[0]
    assert [e["rewind_iterations"] for e in study.runs[0].perturbed] == [
        [100, 0, 20],
        [20],
        [100],
        [100, 0, 20],
    ]
    assert "of perturbed.3.rewind_iterations 7 is left out: the run rewinds to 100, 0, 20" in "".join(
        left_out(study)
    )
    only_0 = planned(edit | {"rewind_iterations": [0]})[0].runs[0]
    assert [e["rewind_iterations"] for e in only_0.perturbed] == [[0], [0]]


def test_the_first_phase_may_have_a_training_of_its_own():
    """And the second phase, with its rounds, has that of the run."""
    entry = {"task": "random_labels", "training": {"learning_rate": 0.05, "milestones": [0.5], "flip": True}}
    edit = {
        "pretraining": {"slow": entry},
        "pretrained": [{"pretraining": ["slow", "blur"], "iterations": [100], "rounds": 1}],
    }
    study = configured(overlaid(CONFIG, edit))
    names = {"dataset": "photo_digits", "model": "resnet8", "seed": "0", "criterion": "magnitude"}
    names |= {"round": "1", "k": "0"}
    first = {
        name: spec_of(study, "pretrain", names | {"pretraining": name, "iterations": "100"})["training"]
        for name in ("slow", "blur")
    }
    own = {"learning_rate": 0.05, "milestones": [50]}  # the data set allows no mirroring
    assert first["slow"] == first["blur"] | own and first["blur"]["milestones"] == []
    for rule in ("dense", "imp_round"):
        assert spec_of(study, rule, names | {"task": "slow-100"})["training"] == study.runs[0].training


def test_contradictions_are_said_at_once_and_those_of_several_runs_once():
    wrong = {
        "rewind_iterations": [0, 100], "training": {"iterations": 80, "milestones": [50, 40]},
        "pruned_by": [{"criteria": ["magnitude"]}], "telemetry": {"schedule": [[50, 1], [40, 1]]},
        "critical_periods": [{"regimes": ["base"]}, {"held": [[60, 20]], "regimes": ["augmented"]}],
        "figures": {"mine": {"function": "perturbed", "show": [{"nois_1": "noise"}]}},
        "runs": [{"dataset": "photo_digits", "model": name} for name in ("resnet8", "resnet20")],
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        configured(overlaid(CONFIG, wrong))
    said = str(refused.value)
    for place in (
        "rewind_iterations has 100, but resnet8", "training of resnet8 on photo_digits: milestones are [50, 40]",
        "pruned_by.0.criteria has 'magnitude'", "telemetry.schedule: [40, 1]", "critical_periods.0 has none of",
        "critical_periods.1.held has [60, 20]", "figures.mine shows 'nois_1'",
    ):  # fmt: skip
        assert said.count(place) == 1, said


@pytest.mark.parametrize(
    "entry",
    [
        {"function": "perturbed", "show": [{"shufle_layers": "a"}]},
        {"function": "effective_std", "round": 0.093, "families": [{"shuffles": ["shufle_layers"]}]},
        {"function": "one_round", "round": 99, "show": [{"shufle_layers": "a"}]},  # a round that no run has
    ],
)
def test_a_figure_of_what_is_not_configured_is_refused(entry):
    config = changed("figures.mine", entry)
    with pytest.raises(InvalidInput, match=r"mine shows 'shufle_layers'.*did you mean 'shuffle_layers'"):
        configured(config)


def test_texts_of_a_command_line_mean_what_the_key_wants():
    words = [
        "execution={preload: false}", "training={learning_rate: 1e-1, flip: True}", "stability={dense: [4, 0.5]}",
        "figures={rewinding: null, controls: {round: '3'}}",
        "datasets={digits: {seed: 07}, mine: {function: synthetic, seed: 7, flip: false}}",
    ]  # fmt: skip
    study = read_study(**read_words(words))
    config = study.config
    assert (config["execution"]["preload"], config["training"]["flip"]) == (False, True)
    assert (config["training"]["learning_rate"], config["training"]["momentum"]) == (0.1, 0.9)
    assert repr(config["stability"]["dense"]) == "[4, 0.5]"  # an iteration, and a fraction of training
    assert "rewinding" not in study.runs[0].figures and study.runs[0].figures["controls"]["round"] == 3
    assert config["datasets"]["mine"] == {"function": "synthetic", "seed": 7, "flip": False}


def test_a_text_stays_a_text_where_one_is_wanted():
    schema = {"type": "object", "properties": {
        "text": {"type": "string"}, "perhaps": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "number": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null": {"type": ["array", "null"]},
    }}  # fmt: skip
    texts = {"text": "true", "perhaps": "null", "number": "null", "null": "~"}
    assert settled(texts, schema, {}) == {"text": "true", "perhaps": "null", "number": None, "null": None}


def test_a_word_of_a_command_line_without_a_value_is_refused():
    with pytest.raises(InvalidInput, match="--config rounds: it must be KEY=VALUE"):
        read_words(["rounds"])


def times(path, part):
    """Iterations at which a shipped configuration looks at its network: by telemetry, or at accuracy."""
    run = read_study(path).runs[0]
    return run, np.array(sampled_iterations(run.telemetry[part], run.iterations))


def test_the_paper_s_preset_looks_where_its_claims_ask():
    run, evaluated = times("presets/paper.yaml", "evaluations")
    assert {400, 500, 2000, 4000} <= set(evaluated)  # S2, S3, S6
    assert {10, 500, 2000, 4000} <= set(times("presets/paper.yaml", "schedule")[1])  # S4, S6
    assert {500, 2000} <= set(curvature.times(run))  # S8
    assert set(fisher.states(run)) - {run.iterations} <= set(
        curvature.times(run)
    )  # no state is kept for it alone


@pytest.mark.parametrize("path", sorted(ROOT.glob("presets/*.yaml")), ids=lambda p: p.stem)
def test_a_preset_says_what_it_prunes_to_and_has_all_that_it_chooses(path):
    """`rounds: 9 # to 13.4 % of the weights`; and nothing that it says itself is left out of it."""
    study = read_study(path)
    run, own = study.runs[0], yaml.safe_load(path.read_text())
    for number, density in re.findall(r"^rounds: (\d+) # to ([\d.]+) %", path.read_text(), re.M):
        assert float(density) == pytest.approx(100 * (1 - run.prune_fraction) ** int(number), abs=0.06)
    lacking = [
        sentence.split(": of ")[1].split(".")[0] for sentence in left_out(study) if ": of " in sentence
    ]
    assert not set(lacking) & own.keys()


@pytest.mark.parametrize(
    ("path", "epoch"),
    [
        ("config.yaml", 8192 / CONFIG["training"]["batch_size"]),
        ("presets/cifar10-cpu.yaml", np.ceil(50_000 / 128)),
    ],
)
def test_a_short_study_looks_at_its_first_epoch_and_at_the_spans_of_its_window(path, epoch):
    run, evaluated = times(path, "evaluations")
    assert np.abs(evaluated - epoch).min() <= 0.01 * epoch  # S2
    watched = times(path, "schedule")[1]
    shared = np.intersect1d(evaluated, watched[watched < run.training["milestones"][0]])
    for share in (1 / 8, 1 / 2):  # S6
        assert np.abs(shared - share * shared[-1]).min() <= 0.1 * shared[-1]


def test_functions_read_from_the_source_are_those_registered():
    registries = {
        "datasets": dataset, "models": network, "figures": figure, "perturbations": branch, "tasks": task,
        "criteria": criterion, "claims": claim,
    }  # fmt: skip
    for section, registry in registries.items():
        found = registered(section)
        assert found.keys() == registry.keys()
        for name, function in registry.items():
            keywords = [
                p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY
            ]
            types = get_type_hints(function, include_extras=True)
            assert found[name].schema == {p.name: schema_of(types[p.name]) for p in keywords}
            assert found[name].required == {p.name for p in keywords if p.default is p.empty}
            if section != "claims":  # which planning reads no value of
                assert found[name].defaults == {
                    p.name: p.default for p in keywords if p.default is not p.empty
                }
                assert all(found[name].schema.values()), f"{name}: an annotation that says nothing"
            assert f"earlyphase.{found[name].module}" == function.__module__


TRAINED = {"dense", "imp_round", "perturb", "telemetry", "curvature", "fisher", "inference"}


def specs(config):
    """Specs of one job of each stage, by what names it."""
    study = configured(config)
    names = {"dataset": "photo_digits", "model": "resnet8", "seed": 0, "task": "supervised"}
    names |= {"criterion": "magnitude", "k": 20, "round": 3, "perturbation": "noise_1"}
    return {stage: spec_of(study, stage, names) for stage in (*TRAINED, "data", "pairs")}


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("rounds", 15, set()),
        ("seeds", [0, 1, 2, 3], set()),
        ("rewind_iterations", [0, 20, 40, 100], set()),
        ("execution.device", "cpu", set()),
        ("models.resnet20.width", 4, set()),
        ("datasets.digits.seed", 4, set()),
        ("prune_fraction", 0.3, {"imp_round", "inference"}),  # which rounds have the densities that are timed
        ("training.momentum", 0.8, TRAINED),
        ("models.resnet8.training", {"momentum": 0.8}, TRAINED),
        ("perturbations.noise_1.scale", 2.0, {"perturb"}),
        ("perturbations.noise_2.scale", 1.0, set()),
        ("telemetry.schedule", [[4, 1]], {"telemetry"}),
        ("curvature.iterations", [0, 4], set()),
        ("curvature.sample", 400, {"curvature"}),
        ("fisher.iterations", [0, 4], set()),
        ("fisher.sample", 100, {"fisher"}),
        ("inference.rewind_iterations", [20], set()),
        ("inference.rounds", [6], {"inference"}),
        ("inference.turns", 9, {"inference"}),
        ("datasets.photo_digits.seed", 4, {"data"}),
        ("datasets.photo_digits.flip", True, set()),  # training.flip is false
    ],
)
def test_a_spec_holds_what_its_stage_reads_and_nothing_else(path, value, stages):
    before, after = specs(CONFIG), specs(changed(path, value))
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def test_times_of_curvature_are_kept_by_the_dense_run_and_fractions_are_of_training():
    config = changed("curvature.iterations", [20, 0.5, 1.0])
    config["fisher"] |= {"iterations": []}
    config["stability"] |= {"dense": []}
    study = configured(config)
    run = study.runs[0]
    assert curvature.times(run) == [20, 200, 400]
    assert study.kept_iterations(run) == [0, EARLY, LATE, 200]  # the end is kept anyway


def drawn(study):
    return [job.names["figure"] for run in study.runs for job in figures_of(study, run)]


@pytest.mark.parametrize(
    ("settings", "rule", "figure"),
    [
        ({"curvature": {"iterations": []}}, "curvature", "subspace"),
        ({"telemetry": {"schedule": []}}, "telemetry", "telemetry"),
        ({"inference": {"rewind_iterations": []}}, "inference", "sparsity"),
        ({"inference": {"rounds": []}}, "inference", "sparsity"),
    ],
)
def test_a_stage_without_times_or_tickets_is_left_out_and_so_is_what_shows_it(settings, rule, figure):
    study = read_study(**settings)
    assert not list(all_jobs(study, rules=[rule]))
    assert not set(study.stages[rule].tables) & set(tables_of(study, study.runs[0]))
    said = "\n".join(left_out(study))
    assert figure not in drawn(study) and re.search(
        rf"no figure .*\b{figure}\b.*: the study makes no table for it", said
    )
    assert f"of {rule}" not in said  # nothing was chosen that is not there


def test_without_times_of_curvature_signs_are_compared_between_all_k():
    pairs = {job.inputs for job in all_jobs(read_study(curvature={"iterations": []}), rules=["pairs"])}
    assert len(pairs) == 5 and all(f"it{EARLY}." in one and f"it{LATE}." in other for one, other in pairs)


def test_a_figure_with_nothing_to_show_is_left_out_with_a_word():
    config = changed("perturbed", [])
    config["fisher"] |= {"iterations": []}
    config["stability"] |= {"dense": [], "rewind_iterations": []}
    none = {"pretrained": [], "sparse_pretraining": [], "critical_periods": []}
    study = configured(config | none | {"rewind_iterations": [0]})
    assert set(drawn(study)) == {"rewinding", "timeline", "telemetry", "subspace"}
    lacking = re.findall(r"no figure ([\w, ]+):", "\n".join(left_out(study)))
    assert set(", ".join(lacking).split(", ")) == set(CONFIG["figures"]) - set(drawn(study))
    other_round = [PERTURBED | {"rounds": [CONFIG["rounds"]]}]
    study = configured(changed("perturbed", other_round))
    assert "noise" in drawn(study)  # shows every round
    assert "effective_std" not in drawn(study)  # shows the round before the last


def test_an_entry_that_is_null_is_left_out():
    config = changed("figures.noise", None)
    assert configured(config).config["figures"].keys() == CONFIG["figures"].keys() - {"noise"}
    message = "which is not under perturbations"
    with pytest.raises(InvalidInput, match=message):
        configured(changed("perturbations.noise_1", None))


def test_mirroring_needs_the_consent_of_data_and_training():
    config = changed("training.flip", True)
    config["runs"] = [{"dataset": name, "model": "resnet8"} for name in ("photo_digits", "cifar10")]
    flips = {run.dataset: run.training["flip"] for run in configured(config).runs}
    assert flips == {"photo_digits": False, "cifar10": True}


def test_inference_of_tickets_that_no_chain_computes_is_left_out_with_a_word():
    config = changed("inference.rewind_iterations", [LATE, 7])
    config["inference"] |= {"rounds": [2, 5, 9]}
    study = configured(config)
    assert study.runs[0].inference["rounds"] == [2, 5]
    assert study.runs[0].inference["rewind_iterations"] == [LATE]
    said = "\n".join(left_out(study))
    assert "of inference.rewind_iterations 7 is left out: the run rewinds to 0, 20, 60" in said
    assert (
        "of inference.rounds 9 is left out: the run has the rounds (densities) 1 (0.552), 2 (0.304)" in said
    )
    assert inputs_of(study)["masks"] == [
        path.replace("weights", "mask") for path in inputs_of(study)["weights"]
    ]
    assert len(inputs_of(study)["masks"]) == 2


def inputs_of(study):
    """What the first job of inference reads."""
    job = next(all_jobs(study, rules=["inference"]))
    return job.stage.inputs(job)


def test_a_network_that_is_in_no_run_is_named():
    with pytest.raises(InvalidInput, match="resnet20 on digits is none of the runs"):
        configured(CONFIG).run({"dataset": "digits", "model": "resnet20"})


def test_each_setting_may_be_said_for_all_runs_or_within_one():
    own = {
        "seeds": [7], "rewind_iterations": [0, 5], "rounds": 2, "prune_fraction": 0.5,
        "training": {"iterations": 50, "milestones": [30]},
        "perturbed": [{"rewind_iterations": [5], "rounds": [2], "perturbations": ["noise_1"]}],
        "pretrained": [{"pretraining": ["blur"], "iterations": [7], "rounds": 1}], "sparse_pretraining": [],
        "telemetry": {"schedule": [[9, 1]]}, "curvature": {"iterations": [0, 10]}, "critical_periods": [],
        "fisher": {"iterations": [15]}, "stability": {"dense": [12, 0.5], "rewind_iterations": []}, "inference": {"rewind_iterations": [5], "rounds": [1]},
        "figures": {"noise": None, "first": {"function": "rewinding"}},
    }  # fmt: skip
    config = copy.deepcopy(CONFIG)
    config["runs"] += [{"dataset": "digits", "model": "resnet20"} | own]
    study = configured(config)
    alone, (first, second) = configured(CONFIG).runs[0], study.runs
    assert vars(first) == vars(alone)  # what one run says changes no other
    assert (second.seeds, second.rewind_iterations, second.rounds) == ([7], [0, 5], 2)
    assert second.prune_fraction == 0.5
    assert second.training["iterations"] == second.iterations == 50
    assert second.training["momentum"] == first.training["momentum"]  # the rest as for all
    assert second.telemetry["evaluations"] == first.telemetry["evaluations"]
    assert study.kept_iterations(second) == [0, 5, 10, 12, 15, 25]
    assert second.fisher["sample"] == first.fisher["sample"]
    assert second.inference == first.inference | {"rewind_iterations": [5], "rounds": [1]}
    assert second.critical_periods == []
    assert "noise" not in second.figures
    assert [(first.label, rounds) for first, rounds in study.beginnings(second)] == [("blur-7", 1)]
    assert second.figures["first"] == {"function": "rewinding"}


@pytest.mark.parametrize(
    ("path", "written", "meant"),
    [
        ("rounds", 12.0, 12),
        ("rounds", "12", 12),
        ("training.batch_size", 32.0, 32),
        ("models.resnet8.depth", 8.0, 8),
        ("models.resnet8.depth", "8", 8),
        ("rewind_iterations", [0, 20.0, "100"], [0, 20, 100]),
        ("seeds", ["3", "4", "5"], [3, 4, 5]),
        ("perturbations.signs_k_magnitudes_0.magnitudes", 0, "0"),
        ("figures.noise.show", [{"noise_1": 1}, {"noise_2": 2.0}], [{"noise_1": "1"}, {"noise_2": "2.0"}]),
        ("figures.noise.show", [{"noise_1": True}], [{"noise_1": "yes"}]),
        ("telemetry.schedule", [[0.5, 1.0]], [[0.5, 1.0]]),  # a fraction of training stays one
        ("curvature.iterations", [0, 0.5, 1.0, 20.0, "late"], [0, 0.5, 1.0, 20, "late"]),
        ("stability.rounds", ["4", 0.41, 1.0], [4, 0.41, 1]),
        ("inference.rewind_iterations", "late", ["late"]),
        ("curvature.statistics", "sample", ["sample"]),
        (
            "figures.mine",
            {"function": "pretraining", "panels": [{"blur": "b"}], "k": "20"},
            {"function": "pretraining", "panels": [{"blur": "b"}], "k": 20},
        ),
    ],
)
def test_one_value_has_one_meaning_however_it_is_written(path, written, meant):
    found = configured(changed(path, written)).config
    for name in path.split("."):
        found = found[name]
    assert repr(found) == repr(meant)


def test_the_same_key_twice_is_refused_with_both_lines(tmp_path):
    (tmp_path / "study.yaml").write_text("rounds: 1\nseeds: [0]\ntraining:\n  decay: 0.1\nrounds: 3\n")
    with pytest.raises(InvalidInput, match=r"study.yaml: rounds stands in line 1 and again in line 5"):
        read_files([tmp_path / "study.yaml"])
    (tmp_path / "study.yaml").write_text("training:\n  decay: 0.1\n  decay: 0.2\n")
    with pytest.raises(InvalidInput, match=r"decay stands in line 2 and again in line 3"):
        read_files([tmp_path / "study.yaml"])


def test_the_environment_files_name_the_same_packages_with_the_same_bounds():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pip = (ROOT / "envs/requirements.txt").read_text().splitlines()
    assert [line for line in pip if not line.startswith("#")] == packages
    conda = yaml.safe_load((ROOT / "envs/earlyphase.yaml").read_text())["dependencies"]
    # a path among them is not found from where Snakemake copies the file to
    assert {line.replace(" ", "").replace("pytorch", "torch") for line in conda} == {
        *packages,
        "python>=3.11",
    }


def test_the_lock_file_has_an_exact_version_of_all_that_is_needed_within_its_bounds():
    from packaging.requirements import Requirement

    lines = (ROOT / "envs/requirements.lock").read_text().splitlines()
    locked = [Requirement(line) for line in lines if not line.startswith("#")]
    exact = {}
    for one in locked:
        (version,) = one.specifier
        assert version.operator == "=="
        exact.setdefault(one.name.lower(), []).append(version.version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for needed in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["test"]]):
        assert all(needed.specifier.contains(version) for version in exact[needed.name.lower()]), needed.name
