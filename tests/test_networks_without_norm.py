"""A network without batch norm, and one without convolutions: through the whole workflow, and what differs."""

import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from assigned import configured, read_study
from earlyphase.core.branches import Ticket, shuffle
from earlyphase.core.curvature import SampleLoss
from earlyphase.core.inference import RUNTIMES
from earlyphase.core.networks import network
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.core.stability import estimate_statistics
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_mask, read_bytes
from earlyphase.runtime.tickets import load_trained
from earlyphase.study.contradictions import of_size
from earlyphase.study.jobs import all_jobs
from earlyphase.study.signatures import registered
from test_workflow import SMOKE, Project

CONFIGURATION = {
    "runs": [{"dataset": "synthetic", "model": "lenet"}, {"dataset": "synthetic", "model": "conv"}],
    "models": {
        "lenet": {"function": "lenet_300_100", "size": 8},
        "conv": {"function": "conv", "depth": 2, "width": 4, "size": 8},
    },
    "seeds": [0],
    "rounds": 2,
    "training": SMOKE["training"] | {"learning_rate": 0.05},
    "perturbed": [
        {
            "rewind_iterations": [4],
            "rounds": [2],
            "perturbations": [
                *("rewind", "rewind_to_0", "signs_k_magnitudes_0", "shuffle_layers", "shuffle_kernels"),
                *("shuffle_filters", "shuffle_layers_signs_0", "noise_1", "noise_as_shuffle_kernels"),
                *("permuted_channels", "batch_norm_from_0", "constant_signs_k", "one_shot", "random_mask"),
            ],
        }
    ],
    "pruned_by": [{"criteria": ["gradient_times_weight"], "rewind_iterations": [4], "rounds": 1}],
    "pretrained": [{"pretraining": ["rotation", "blur_new_output"], "iterations": [6], "rounds": 1}],
    "sparse_pretraining": [
        {"pretraining": ["rotation"], "iterations": [6], "rewind_iterations": [4], "rounds": [2],
         "perturbations": ["rewind", "random_mask_from_0"]}
    ],
    "stability": SMOKE["stability"] | {"rounds": [2]},
    "inference": SMOKE["inference"] | {"rounds": [2]},
    "figures": {name: figure | {"round": 2} for name, figure in SMOKE["figures"].items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project after a study of both networks, with everything in it, has run."""
    found = Project(tmp_path_factory.mktemp("networks"))
    found.configure(**CONFIGURATION)
    found.snakemake("figures", "report", "--cores", "2")
    return found


@pytest.fixture(scope="module")
def study(project):
    return read_study(project.folder / "smoke.yaml")


@pytest.fixture(scope="module")
def status(project):
    return project.command("status")


def table(project, model, name):
    return pd.read_csv(project.folder / f"results/tables/synthetic/{model}/{name}.csv")


def test_every_job_leaves_what_it_promises(project, study):
    promised = [path for job in all_jobs(study) for path in job.outputs]
    assert len(promised) > 300
    assert [path for path in promised if not (project.folder / path).exists()] == []


def test_every_figure_is_drawn_of_both_and_the_page_shows_them(project, study, status):
    page = read_bytes(project.folder / "results/report.html").decode()
    for run in study.runs:
        drawn = {
            path.stem for path in (project.folder / f"results/figures/synthetic/{run.model}").glob("*.png")
        }
        assert len(drawn) >= 16
        assert set(run.figures) - drawn == {
            name for name in run.figures if f"{run}: figure {name} is left out" in status
        }
        assert f"{run.model} on synthetic" in page


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_every_table_has_numbers(project, model):
    tables = project.folder / f"results/tables/synthetic/{model}"
    names = {path.stem for path in tables.glob("*.csv")}
    assert names >= {
        "dense",
        "imp",
        "perturbed",
        "pretrained_imp",
        "pretrained_tickets",
        "deficits",
        "telemetry",
    }
    for name in names:
        found = table(project, model, name)
        assert len(found)
        for column in ("accuracy", "loss", "gradient_norm", "fisher_trace", "eigenvalue_1", "error"):
            if column in found:
                assert np.isfinite(found[column]).all(), (name, column)


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_pruned_weights_are_zero_and_the_rest_is_trained(project, model):
    for k in (0, 4):
        place = project.folder / f"results/imp/synthetic/{model}/seed0/supervised/magnitude/it{k}/round2"
        mask = load_mask(place / "mask.safetensors")
        weights = load_trained(place / "weights.safetensors")[0]
        assert all(not weights[name][~kept].any() for name, kept in mask.items())
        assert sum(int(kept.sum()) for kept in mask.values()) < 0.65 * sum(
            kept.size for kept in mask.values()
        )


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_figures_do_not_speak_of_statistics(project, model):
    for name in ("subspace", "stability", "controls"):
        picture = (project.folder / f"results/figures/synthetic/{model}/{name}.svg").read_text()
        assert "synthetic" in picture  # text is kept as text
        assert "statistics" not in picture
        assert "batch norm of" not in picture


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_inference_is_timed_under_every_runtime_and_no_channel_is_taken_out(project, model):
    found = table(project, model, "inference")
    assert set(found["form"]) == {"as pruned"} and set(found["runtime"]) == set(RUNTIMES)


def test_what_makes_no_sense_is_left_out_and_says_why(project, status):
    said = status
    assert [line for line in said.splitlines() if line.startswith("note: ")] == [
        line for line in project.snakemake("-n", "figures").splitlines() if line.startswith("note: ")
    ]
    for name in ("shuffle_kernels", "noise_as_shuffle_kernels"):
        assert f"note: lenet on synthetic: perturbation {name} is left out" in said
        assert f"note: conv on synthetic: perturbation {name} is left out" not in said
    assert "needs convolutions, which lenet_300_100 has not" in said
    for model, function in (("lenet", "lenet_300_100"), ("conv", "conv")):
        without = f"note: {model} on synthetic: "
        why = f"batch_norm_from_0 needs batch norm, which {function} has not"
        assert f"{without}perturbation batch_norm_from_0 is left out: {why}" in said
    applied = {model: set(table(project, model, "perturbed")["perturbation"]) for model in ("lenet", "conv")}
    assert applied["conv"] - applied["lenet"] == {"shuffle_kernels", "noise_as_shuffle_kernels"}
    asked = set(CONFIGURATION["perturbed"][0]["perturbations"])
    assert applied["lenet"] < applied["conv"] == asked - {"batch_norm_from_0"}


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_without_batch_norm_curvature_is_measured_once_and_its_claim_is_judged(project, status, model):
    found = table(project, model, "curvature")
    assert set(found["statistics"]) == {"none"}
    assert not found.duplicated(["seed", "iteration"]).any()
    assert f"note: {model} on synthetic: curvature is measured once" in status
    claims = pd.read_csv(project.folder / "results/claims.csv", keep_default_na=False)
    rows = claims[(claims["id"] == "C1") & (claims["model"] == model)]
    assert list(rows["n"]) == [1, 1] and set(rows["verdict"]) == {"inconclusive"}
    assert table(project, model, "lines")["sample"].eq(0).all()  # no statistics to estimate on a line


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_renamed_channels_train_like_the_ticket(project, model):
    """A symmetry of the network, up to rounding: in 20 iterations that is little."""
    found = table(project, model, "perturbed").set_index(["perturbation", "iteration"])["loss"]
    ticket, renamed = found["rewind"], found["permuted_channels"]
    assert np.allclose(renamed, ticket, rtol=0.02)
    assert not np.allclose(found["shuffle_layers"], ticket, rtol=0.02)


# Its parts


def made(model, seed=0):
    """A network at iteration 0, for images of 3 channels, 8x8 pixels, and 4 classes."""
    entry = dict(CONFIGURATION["models"][model])
    built = network.named(entry.pop("function"))(3, 4, **entry)
    load_state(built, initial_state(built, seed))
    return built


def sample(rng, size=12):
    images = rng.normal(size=(size, 3, 8, 8)).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(rng.integers(0, 4, size))


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_all_kinds_of_statistics_are_one_without_batch_norm(model, rng):
    images = sample(rng)
    first, *others = (
        SampleLoss(made(model), images, statistics=kind) for kind in ("none", "running", "sample", "batch")
    )
    direction = rng.normal(size=len(first.gradient))
    product = first.hessian_vector_product(direction)
    assert np.linalg.norm(product) > 0
    for other in others:
        assert other.value == first.value
        assert np.array_equal(other.gradient, first.gradient)
        assert np.array_equal(other.hessian_vector_product(direction), product)


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_estimating_statistics_changes_nothing_without_batch_norm(model, rng):
    one = made(model)
    before = state_of(one)
    estimate_statistics(one, sample(rng)[0], nullcontext)
    assert all(np.array_equal(array, before[name]) for name, array in state_of(one).items())


@pytest.mark.parametrize("name", sorted(registered("models")))
def test_a_network_lacks_what_it_says_and_nothing_else(name):
    given = {"depth": {"vgg": 13, "wide_resnet": 10, "conv": 2}.get(name, 8), "width": 2}
    described = registered("models")[name]
    one = network.named(name)(3, 4, **{key: value for key, value in given.items() if key in described.schema})
    lacks, layers = described.facts.get("lacks", ()), list(one.modules())
    assert ("batch norm" in lacks) != any(isinstance(layer, _BatchNorm) for layer in layers)
    assert ("convolutions" in lacks) != any(isinstance(layer, torch.nn.Conv2d) for layer in layers)


def test_a_shuffle_within_kernels_moves_nothing_in_linear_layers():
    state, names = initial_state(made("conv"), 0), prunable_names(made("conv"))
    mask = {name: np.ones(state[name].shape, bool) for name in names}
    shuffled = shuffle(Ticket(state, state, state, mask, 4, 1), 0, scope="kernel").weights
    unmoved = {name for name in names if np.array_equal(shuffled[name], state[name])}
    assert unmoved == {name for name in names if state[name].ndim == 2} != set(names)


@pytest.mark.parametrize("size", [4, 16])
def test_a_network_for_images_of_another_size_is_refused(study, size):
    config = json.loads(json.dumps(study.config))
    config["datasets"]["synthetic"]["size"] = size
    said = rf"models.lenet.size is 8, but the images of synthetic are {size}x{size} pixels; {size} is right"
    with pytest.raises(InvalidInput, match=said):
        configured(config)


def test_a_network_for_square_images_is_refused_others(study, monkeypatch):
    monkeypatch.setattr("earlyphase.study.contradictions.size_of_images", lambda entry: (8, 12))
    (problem,) = of_size(study.runs[0], study.config)
    assert problem.endswith("8x12 pixels; lenet_300_100 needs square ones")
    monkeypatch.setattr("earlyphase.study.contradictions.size_of_images", lambda entry: None)
    assert not list(of_size(study.runs[0], study.config))  # not known before the images are read
