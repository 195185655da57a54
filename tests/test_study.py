import copy
import inspect
import re
import tomllib
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import yaml

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
from earlyphase.study.configuration import read_files
from earlyphase.study.jobs import inputs, jobs, spec
from earlyphase.study.rules import read_rules
from earlyphase.study.signatures import registered, schema_of
from earlyphase.study.stages import figures, left_out, tables_of
from earlyphase.study.study import Study, read_study

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "config.schema.yaml").read_text())
RULES = read_rules(ROOT / "rules")


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
    ("datasets.digits.flip", ..., "datasets.digits lacks flip"),
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
    ("seeds", [float("nan")], "seeds.0 is nan, which is no number"),
    ("training.momentum", float("nan"), "training.momentum is nan, which is no number"),
    ("training.decay", float("nan"), "training.decay is nan"),
    ("training.learning_rate", float("inf"), "training.learning_rate is inf, which is no number"),
    ("execution.resume_interval", float("nan"), "execution.resume_interval is nan"),
    ("datasets.photo_digits.seed", float("nan"), "datasets.photo_digits.seed is nan"),
    ("datasets.photo_digits.train", -1, "datasets.photo_digits.train is -1"),
    ("datasets.photo_digits.training", {"batch_size": 8}, "photo_digits.training: photo_digits has no such argument"),
    ("datasets.fashion_mnist.directory", [7], "datasets.fashion_mnist.directory is \\[7\\], but must be of type string"),
    ("datasets.cifar10.normalisation", "imagnet", "cifar10.normalisation is 'imagnet'"),
    ("models.resnet8.flip", True, "models.resnet8.flip: resnet has no such argument"),
    ("figures.rewinding.flip", True, "figures.rewinding.flip: rewinding has no such argument"),
    ("perturbations.shuffle_layers.training", {}, "shuffle_layers.training: shuffle has no such argument"),
    ("tasks.supervised.classes", 4, "tasks.supervised.classes: supervised has no such argument"),
    ("runs.0.task", "rotatoin", "'rotatoin', which is not under tasks, did you mean 'rotation'"),
    ("runs.0.perturbed", [{"rounds": [13], "rewind_iterations": [20], "perturbations": ["noise_1"]}], "perturbed.0.rounds has 13"),
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
    ("training.weight_decay", "1e-4", "weight_decay is the text '1e-4'.*1.0e-4"),
    ("training.momentum", 1.0, "training.momentum is 1.0"),
    ("training.decay", 1.5, "training.decay is 1.5"),
    ("training.milestones", [272, 192], r"milestones are \[272, 192\], but must increase"),
    ("training.milestones", [192, 192], r"milestones are \[192, 192\], but must increase"),
    ("training.milestones", [192, 400], "milestone 400 is not before the end at iteration 400"),
    ("training.milestones", [0], "training.milestones.0 is 0"),
    ("training.evaluate_every", 0, "evaluate_every is 0"),
    ("training.crop_padding", -1, "crop_padding is -1"),
    ("training.flip", "yes", "training.flip is 'yes', but must be of type boolean"),
    ("models.resnet8.training", {"iterations": 50}, "milestone 340 is not before the end at iteration 50"),
    ("models.resnet8.function", "resnt", "'resnt', which is not registered in models, did you mean 'resnet'"),
    ("models.resnet8.widht", 8, "models.resnet8.widht: resnet has no such argument, did you mean 'width'"),
    ("models.resnet8.depth", ..., "models.resnet8 lacks depth, which resnet needs"),
    ("models.resnet8.width", 0, "models.resnet8.width is 0"),
    ("models.resnet8.depth", 9, "models.resnet8.depth is 9.*6n"),
    ("models.ResNet8", {"function": "resnet", "depth": 8}, "names become paths"),
    ("datasets.digits.function", "digit", "'digit', which is not registered in datasets, did you mean"),
    ("datasets.digits.tests", 3, "datasets.digits.tests: digits has no such argument, did you mean 'test'"),
    ("datasets.mine", {"function": "imagefolder", "flip": False}, "datasets.mine lacks path"),
    ("figures.rewinding.function", "rewind", "'rewind', which is not registered in figures"),
    ("figures.rewinding.show", [{"noise_1": "1"}], "figures.rewinding.show: rewinding has no such argument"),
    ("execution.device", "gpu", "execution.device is 'gpu'"),
    ("execution.precision", "float16", "execution.precision is 'float16'"),
    ("execution.resume_interval", -1, "execution.resume_interval is -1.*seconds"),
    ("telemetry.schedule", [[50, 1], [40, 1]], r"telemetry.schedule: \[40, 1\] does not follow iteration 50"),
    ("telemetry.schedule", [[50]], r"telemetry.schedule.0 is \[50\]"),
    ("telemetry.evaluations", [[50, 0]], "telemetry.evaluations.0.1 is 0"),
    ("curvature.iterations", [0, 401], "curvature.iterations has 401, but resnet8 on photo_digits trains for 400"),
    ("curvature.iterations", [1.5], "curvature.iterations has 1.5"),
    ("curvature.sample", 0, "curvature.sample is 0.*training images"),
    ("curvature.statistics", "eval", "curvature.statistics.0 is 'eval'"),
    ("curvature.statistics", [], r"curvature.statistics is \[\]"),
    ("curvature.statistics", ["sample", "sample"], "curvature.statistics is .*stands there twice"),
    ("curvature.tolerance", "1e-2", "curvature.tolerance is the text '1e-2'"),
    ("fisher.iterations", [0, 9999], "fisher.iterations has 9999, but resnet8 on photo_digits trains for"),
    ("fisher.iterations", [1.5], "fisher.iterations has 1.5"),
    ("runs.0.fisher", {"iterations": [9999]}, "fisher.iterations has 9999"),
    ("fisher.sample", 1, "fisher.sample is 1.*an error needs two"),
    ("fisher.draws", 0, "fisher.draws is 0.*labels drawn from the network"),
    ("fisher.statistics", "running", "unknown key 'statistics' in fisher"),
    ("inference.batch_sizes", [], r"inference.batch_sizes is \[\]"),
    ("inference.batch_sizes", [0], "inference.batch_sizes.0 is 0"),
    ("inference.turns", 2, "inference.turns is 2.*a median needs three"),
    ("inference.least_seconds", 0, "inference.least_seconds is 0.*seconds of a turn"),
    ("inference.rounds", [2, 2], "inference.rounds is .*stands there twice"),
    ("runs.0.inference", {"threads": 2}, "unknown key 'threads' in runs.0.inference"),
    ("figures.telemetry.layers", "fc.weight", "telemetry has no such argument, did you mean 'layer'"),
    ("perturbed", [PERTURBED | {"rounds": [6, 6]}], "perturbed.0.rounds is .*stands there twice"),
    ("perturbed", [PERTURBED | {"rewind_iterations": [40]}], "perturbed.0.rewind_iterations has 40, but resnet8 on photo_digits computes"),
    ("perturbed", [PERTURBED, PERTURBED | {"rounds": [13]}], "perturbed.1.rounds has 13, but resnet8 on photo_digits computes"),
    ("perturbed", [PERTURBED | {"perturbations": ["noise"]}], "perturbed.0.perturbations has 'noise', which is not under perturbations, did you mean 'noise_"),
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
        Study(changed(path, value), SCHEMA)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_everything_that_a_smaller_study_contradicts_is_said_at_once():
    smaller = CONFIG | {"rounds": 2, "rewind_iterations": [0, 50]}
    smaller["training"] = CONFIG["training"] | {"iterations": 100}
    with pytest.raises(InvalidInput) as refused:
        Study(smaller, SCHEMA)
    said = str(refused.value)
    places = ["training of", "curvature.iterations", "pretrained.0.rounds"]
    for section in ("perturbed", "sparse_pretraining"):
        for index in range(len(CONFIG[section])):
            places += [f"{section}.{index}.rewind_iterations has", f"{section}.{index}.rounds has"]
    assert [place for place in places if said.count(place) != 1] == []
    mended = smaller | {key: [] for key in ("perturbed", "sparse_pretraining", "pretrained")}
    mended["training"] = smaller["training"] | {"milestones": [50]}
    for section, key in (("curvature", "iterations"), ("fisher", "iterations"), ("stability", "dense")):
        mended[section] = CONFIG[section] | {key: [0]}
    Study(mended, SCHEMA)


def test_a_problem_of_several_runs_is_said_once():
    config = changed("figures.noise.show", [{"nois_1": "noise"}])
    config["runs"] = [{"dataset": "photo_digits", "model": name} for name in ("resnet8", "resnet20")]
    with pytest.raises(InvalidInput) as refused:
        Study(config, SCHEMA)
    assert str(refused.value).count("figures.noise shows 'nois_1'") == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"function": "perturbed", "show": [{"shufle_layers": "a"}]},
        {"function": "effective_std", "round": 6, "families": [{"shuffles": ["shufle_layers"]}]},
    ],
)
def test_a_figure_of_what_is_not_configured_is_refused(entry):
    config = changed("figures", {"noise": entry})
    with pytest.raises(InvalidInput, match=r"noise shows 'shufle_layers'.*did you mean 'shuffle_layers'"):
        Study(config, SCHEMA)


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *ROOT.glob("presets/*.yaml"), ROOT / "tests/smoke.yaml"]
)
def test_every_shipped_configuration_is_valid(path):
    assert Study(read_files([ROOT / "config.yaml", path]), SCHEMA).runs


@pytest.mark.parametrize("kinds", ["sample", ["sample"]])
def test_one_kind_of_statistics_is_a_list_of_one(kinds):
    (run,) = Study(changed("curvature.statistics", kinds), SCHEMA).runs
    assert run.curvature["statistics"] == ["sample"]


def times(path, part):
    """Iterations at which a shipped configuration looks at its network: by telemetry, or at accuracy."""
    run = Study(read_files([ROOT / "config.yaml", ROOT / path]), SCHEMA).runs[0]
    return run, np.array(sampled_iterations(run.telemetry[part], run.iterations))


def test_the_paper_s_preset_looks_where_its_claims_ask():
    run, evaluated = times("presets/paper.yaml", "evaluations")
    assert {400, 500, 2000, 4000} <= set(evaluated)  # S2, S3, S6
    assert {10, 500, 2000, 4000} <= set(times("presets/paper.yaml", "schedule")[1])  # S4, S6
    assert {500, 2000} <= set(run.curvature_times)  # S8
    assert set(run.fisher_times) - {run.iterations} <= set(
        run.curvature_times
    )  # no state is kept for it alone


@pytest.mark.parametrize(
    "path", [ROOT / "config.yaml", *sorted(ROOT.glob("presets/*.yaml"))], ids=lambda p: p.stem
)
def test_densities_that_stand_beside_rounds_are_those_of_the_study(path):
    """In the order of the rounds: `rounds: [3, 6] # 51.2 and 26.2 %`, `rounds: 9 # to 13.4 % of the weights`."""
    run = read_study([ROOT / "config.yaml", path], ROOT).runs[0]
    said = re.findall(
        r"\brounds: \[?([\d, ]+)\]? # (?:to )?(\d[\d.]*(?:(?:, | and )[\d.]+)*) %", path.read_text()
    )
    assert said
    for rounds, densities in said:
        expected = [100 * (1 - run.prune_fraction) ** int(number) for number in rounds.split(",")]
        assert [float(one) for one in re.findall(r"[\d.]+", densities)] == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("path", "epoch"), [("config.yaml", 8192 / 64), ("presets/cifar10-cpu.yaml", np.ceil(50_000 / 128))]
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


def specs(config, seed="0", k="20", imp_round="3"):
    study = Study(config, SCHEMA, RULES)
    names = {"dataset": "photo_digits", "model": "resnet8", "seed": seed, "task": "supervised"}
    names |= {"criterion": "magnitude"}
    branched = names | {"k": k, "round": imp_round, "perturbation": "noise_1"}
    return {
        "data": spec(study, "data", {"dataset": "photo_digits"}),
        "dense": spec(study, "dense", names),
        "imp": spec(study, "imp_round", names | {"k": k, "round": imp_round}),
        "perturb": spec(study, "perturb", branched),
        "telemetry": spec(study, "telemetry", names),
        "curvature": spec(study, "curvature", names | {"k": k}),
        "fisher": spec(study, "fisher", names | {"k": k}),
        "inference": spec(study, "inference", names | {"k": k}),
        "pairs": spec(study, "pairs", names),
    }


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("rounds", 15, set()),
        ("seeds", [0, 1, 2, 3], set()),
        ("rewind_iterations", [0, 20, 40, 100], set()),
        ("execution.device", "cpu", set()),
        ("models.resnet20.width", 4, set()),
        ("datasets.digits.seed", 4, set()),
        ("prune_fraction", 0.3, {"imp"}),
        (
            "training.momentum",
            0.8,
            {"dense", "imp", "perturb", "telemetry", "curvature", "fisher", "inference"},
        ),
        (
            "models.resnet8.training",
            {"momentum": 0.8},
            {"dense", "imp", "perturb", "telemetry", "curvature", "fisher", "inference"},
        ),
        ("perturbations.noise_1.scale", 2.0, {"perturb"}),
        ("perturbations.noise_2.scale", 1.0, set()),
        ("telemetry.schedule", [[4, 1]], {"telemetry"}),
        ("curvature.iterations", [0, 4], set()),
        ("curvature.sample", 400, {"curvature"}),
        ("fisher.iterations", [0, 4], set()),
        ("fisher.draws", 2, {"fisher"}),
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
    study = Study(config, SCHEMA)
    run = study.runs[0]
    assert run.curvature_times == [20, 200, 400]
    assert run.kept_iterations == [0, 20, 100, 200]  # the end is kept anyway


def drawn(study):
    ((block,),) = [figures(study, run) for run in study.runs]
    return block["figure"]


def test_without_times_there_is_no_curvature_and_what_shows_it_is_left_out():
    config = changed("curvature.iterations", [])
    config["fisher"] |= {"iterations": []}
    config["stability"] |= {"dense": []}
    study = Study(config, SCHEMA, RULES)
    assert not {"curvature", "pairs"} & set(tables_of(study, study.runs[0]))
    assert study.runs[0].kept_iterations == [0, 20, 100]
    assert "subspace" not in drawn(study)
    assert {"rewinding", "timeline", "telemetry"} <= set(drawn(study))
    assert any(
        "figure subspace is left out: the study makes no table curvature" in s for s in left_out(study)
    )


def test_with_nothing_to_sample_there_is_no_telemetry_and_what_shows_it_is_left_out():
    study = Study(changed("telemetry.schedule", []), SCHEMA, RULES)
    (run,) = study.runs
    made = {one.rule for one in jobs(study)}
    assert "telemetry" not in made and "curvature" in made
    assert not {"telemetry", "traces", "evaluations"} & set(tables_of(study, run))
    assert any("figure telemetry is left out" in sentence for sentence in left_out(study))


def test_a_figure_with_nothing_to_show_is_left_out_with_a_word():
    config = changed("perturbed", [])
    config["fisher"] |= {"iterations": []}
    config["stability"] |= {"dense": [], "rewind_iterations": []}
    none = {"pretrained": [], "sparse_pretraining": [], "critical_periods": []}
    study = Study(config | none | {"rewind_iterations": [0]}, SCHEMA, RULES)
    assert set(drawn(study)) == {"rewinding", "timeline", "telemetry", "subspace"}
    assert len(left_out(study)) == len(CONFIG["figures"]) - 4 + 1  # and inference of k = 100
    other_round = [{"rewind_iterations": [20], "rounds": [6], "perturbations": ["noise_1"]}]
    study = Study(changed("perturbed", other_round), SCHEMA, RULES)
    assert "noise" in drawn(study)  # shows every round
    assert "effective_std" not in drawn(study)  # shows round 5


def test_an_entry_that_is_null_is_left_out():
    config = changed("figures", {"rewinding": {"function": "rewinding"}, "noise": None})
    assert list(Study(config, SCHEMA).config["figures"]) == ["rewinding"]
    message = "which is not under perturbations"
    with pytest.raises(InvalidInput, match=message):
        Study(changed("perturbations.noise_1", None), SCHEMA)


def test_mirroring_needs_the_consent_of_data_and_training():
    config = changed("training.flip", True)
    config["runs"] = [{"dataset": name, "model": "resnet8"} for name in ("photo_digits", "cifar10")]
    flips = {run.dataset: run.training["flip"] for run in Study(config, SCHEMA).runs}
    assert flips == {"photo_digits": False, "cifar10": True}


def test_inference_of_tickets_that_no_chain_computes_is_left_out_with_a_word():
    config = changed("inference.rewind_iterations", [100, 7])
    config["inference"] |= {"rounds": [2, 6, 9]}
    study = Study(config, SCHEMA, RULES)
    assert study.runs[0].inference["rounds"] == [2, 6]
    assert study.runs[0].inference["rewind_iterations"] == [100]
    said = "\n".join(left_out(study))
    assert "of inference.rewind_iterations 7 is left out: the run computes 0, 20, 100" in said
    assert "of inference.rounds 9 is left out: the run computes 1, 2, 3, 4, 5, 6" in said
    assert inputs_of(study)["masks"] == [
        path.replace("weights", "mask") for path in inputs_of(study)["weights"]
    ]
    assert len(inputs_of(study)["masks"]) == 2


@pytest.mark.parametrize("key", ["rewind_iterations", "rounds"])
def test_an_empty_list_leaves_inference_out(key):
    study = Study(changed(f"inference.{key}", []), SCHEMA, RULES)
    assert "inference" not in tables_of(study, study.runs[0])
    assert not [one for one in jobs(study) if one.rule == "inference"]
    assert not [sentence for sentence in left_out(study) if "of inference" in sentence]
    assert "sparsity" not in drawn(study)


def inputs_of(study):
    """What the first job of inference reads."""
    return inputs(study, next(one for one in jobs(study) if one.rule == "inference"))


def test_a_network_that_is_in_no_run_is_named():
    with pytest.raises(InvalidInput, match="resnet20 on digits is none of the runs"):
        Study(CONFIG, SCHEMA, RULES).run({"dataset": "digits", "model": "resnet20"})


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
    study = Study(config, SCHEMA, RULES)
    alone, (first, second) = Study(CONFIG, SCHEMA, RULES).runs[0], study.runs
    assert vars(first) == vars(alone)  # what one run says changes no other
    assert (second.seeds, second.rewind_iterations, second.rounds) == ([7], [0, 5], 2)
    assert second.prune_fraction == 0.5
    assert second.training["iterations"] == second.iterations == 50
    assert second.training["momentum"] == first.training["momentum"]  # the rest as for all
    assert second.telemetry["evaluations"] == first.telemetry["evaluations"]
    assert second.kept_iterations == [0, 5, 10, 12, 15, 25]
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
    ],
)
def test_one_value_has_one_meaning_however_it_is_written(path, written, meant):
    found = Study(changed(path, written), SCHEMA).config
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
    pip = [
        line for line in (ROOT / "envs/requirements.txt").read_text().splitlines() if not line.startswith("#")
    ]
    assert pip == packages
    conda = yaml.safe_load((ROOT / "envs/earlyphase.yaml").read_text())["dependencies"]
    conda = {entry.replace(" ", "").replace("pytorch", "torch") for entry in conda if isinstance(entry, str)}
    assert conda == {*packages, "python>=3.11"}
    assert all(
        isinstance(entry, str)
        for entry in yaml.safe_load((ROOT / "envs/earlyphase.yaml").read_text())["dependencies"]
    ), "a path among them is not found from where Snakemake copies the file to"


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


def test_what_is_installed_satisfies_the_bounds():
    from importlib.metadata import version

    from packaging.requirements import Requirement

    for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(entry)
        assert requirement.specifier.contains(version(requirement.name)), entry
