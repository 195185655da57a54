import copy
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from earlyphase.datasets import dataset
from earlyphase.errors import InvalidInput
from earlyphase.registry import network
from earlyphase.results.figures import figure
from earlyphase.study.study import Study, registered

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "config.schema.yaml").read_text())


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
    ("rewind_iterations", [0, 320], "rewind_iterations has 320.*320 iterations; k must be smaller"),
    ("rewind_iterations", [0, 20.5], "rewind_iterations.1 is 20.5, but must be of type integer"),
    ("rewind_iterations", ["20"], "rewind_iterations.0 is the text '20'"),
    ("rewind_iterations", [20, 20], "stands there twice"),
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
    ("training.milestones", [192, 320], "milestone 320 is not before the end at iteration 320"),
    ("training.milestones", [0], "training.milestones.0 is 0"),
    ("training.evaluate_every", 0, "evaluate_every is 0"),
    ("training.crop_padding", -1, "crop_padding is -1"),
    ("training.flip", "yes", "training.flip is 'yes', but must be of type boolean"),
    ("models.resnet8.training", {"iterations": 50}, "milestone 272 is not before the end at iteration 50"),
    ("models.resnet8.function", "resnt", "'resnt', which is not registered in models, did you mean 'resnet'"),
    ("models.resnet8.widht", 8, "models.resnet8.widht: resnet has no such argument, did you mean 'width'"),
    ("models.resnet8.depth", ..., "models.resnet8 lacks depth, which resnet needs"),
    ("models.resnet8.depth", "8", "models.resnet8.depth is the text '8'"),
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
    ("telemetry.schedule", [], r"telemetry.schedule is \[\].*pairs of \[until, every\]"),
    ("telemetry.evaluations", [[50, 0]], "telemetry.evaluations.0.1 is 0"),
    ("curvature.iterations", [0, 321], "curvature.iterations has 321, but resnet8 on photo_digits trains for 320"),
    ("curvature.iterations", [1.5], "curvature.iterations has 1.5"),
    ("curvature.iterations", [], "figures.subspace shows the Hessian's subspace, but curvature.iterations is empty"),
    ("curvature.sample", 0, "curvature.sample is 0.*training images"),
    ("curvature.statistics", "eval", "curvature.statistics is 'eval'"),
    ("curvature.tolerance", "1e-2", "curvature.tolerance is the text '1e-2'"),
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
    ("full_scale", "no", "full_scale is 'no'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_a_bad_value_is_refused_by_name(path, value, message):
    with pytest.raises(InvalidInput) as caught:
        Study(changed(path, value), SCHEMA)
    assert re.search(message, str(caught.value)), str(caught.value)


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
    config = copy.deepcopy(CONFIG)
    for key, value in yaml.safe_load(path.read_text()).items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    assert Study(config, SCHEMA).runs


def test_functions_read_from_the_source_are_those_registered():
    import inspect

    for module, registry in (("datasets", dataset), ("models", network), ("figures", figure)):
        found = registered(module)
        assert found.keys() == registry.keys()
        for name, function in registry.items():
            keywords = [
                p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY
            ]
            required = {p.name for p in keywords if p.default is p.empty}
            assert found[name][1:] == (required, {p.name for p in keywords} - required)
            assert f"earlyphase.{found[name].module}" == function.__module__


def specs(config, seed="0", k="20", imp_round="3"):
    study = Study(config, SCHEMA)
    names = {"dataset": "photo_digits", "model": "resnet8", "seed": seed, "task": "supervised"}
    return {
        "data": study.spec("data", dataset="photo_digits"),
        "dense": study.spec("dense", **names),
        "imp": study.spec("imp_round", **names, k=k, round=imp_round),
        "telemetry": study.spec("telemetry", **names),
        "curvature": study.spec("curvature", **names, k=k),
        "pairs": study.spec("pairs", **names),
    }


@pytest.mark.parametrize(
    ("path", "value", "stages"),
    [
        ("rounds", 15, set()),
        ("seeds", [0, 1, 2, 3], set()),
        ("rewind_iterations", [0, 20, 40, 80], set()),
        ("execution.device", "cpu", set()),
        ("models.resnet20.width", 4, set()),
        ("datasets.digits.seed", 4, set()),
        ("prune_fraction", 0.3, {"imp"}),
        ("training.momentum", 0.8, {"dense", "imp", "telemetry", "curvature"}),
        ("models.resnet8.training", {"momentum": 0.8}, {"dense", "imp", "telemetry", "curvature"}),
        ("telemetry.schedule", [[4, 1]], {"telemetry"}),
        ("curvature.iterations", [0, 4], set()),
        ("curvature.sample", 400, {"curvature"}),
        ("datasets.photo_digits.seed", 4, {"data"}),
        ("datasets.photo_digits.flip", True, set()),  # training.flip is false
    ],
)
def test_a_spec_holds_what_its_stage_reads_and_nothing_else(path, value, stages):
    before, after = specs(CONFIG), specs(changed(path, value))
    assert {stage for stage in before if before[stage] != after[stage]} == stages


def test_times_of_curvature_are_kept_by_the_dense_run_and_fractions_are_of_training():
    study = Study(changed("curvature.iterations", [20, 0.5, 1.0]), SCHEMA)
    run = study.runs[0]
    assert study.curvature_times(run) == [20, 160, 320]
    assert study.kept_iterations(run) == [0, 20, 80, 160]  # the end is kept anyway


def test_without_times_there_is_no_curvature():
    config = changed("curvature.iterations", [])
    del config["figures"]["subspace"]
    study = Study(config, SCHEMA)
    assert not {"curvature", "pairs"} & set(study.stages())
    assert study.kept_iterations(study.runs[0]) == [0, 20, 80]


def test_an_entry_that_is_null_is_left_out():
    config = changed("figures", {"rewinding": {"function": "rewinding"}, "noise": None})
    assert list(Study(config, SCHEMA).config["figures"]) == ["rewinding"]
    message = "which is not under perturbations"
    with pytest.raises(InvalidInput, match=message):
        Study(changed("perturbations.noise_1", None), SCHEMA)


def test_mirroring_needs_the_consent_of_data_and_training():
    config = changed("training.flip", True)
    assert not Study(config, SCHEMA).training("photo_digits", "resnet8")["flip"]
    assert Study(config, SCHEMA).training("cifar10", "resnet8")["flip"]


def test_the_environment_files_name_the_same_packages_with_the_same_bounds():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pip = [
        line for line in (ROOT / "envs/requirements.txt").read_text().splitlines() if not line.startswith("#")
    ]
    assert pip == packages
    conda = yaml.safe_load((ROOT / "envs/earlyphase.yaml").read_text())["dependencies"]
    conda = {entry.replace(" ", "").replace("pytorch", "torch") for entry in conda if isinstance(entry, str)}
    assert conda - {"pip"} == {*packages, "python>=3.11"}


def test_what_is_installed_satisfies_the_bounds():
    from importlib.metadata import version

    from packaging.requirements import Requirement

    for entry in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(entry)
        assert requirement.specifier.contains(version(requirement.name)), entry
