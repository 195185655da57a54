"""A network without batch norm, and one without convolutions, through the whole workflow."""

import numpy as np
import pandas as pd
import pytest

from earlyphase.runtime.storage import load_mask, read_bytes
from earlyphase.runtime.tickets import load_trained
from earlyphase.study.study import read_study
from test_workflow import ROOT, SMOKE, Project

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
    return read_study([ROOT / "config.yaml", project.folder / "smoke.yaml"], ROOT)


def table(project, model, name):
    return pd.read_csv(project.folder / f"results/tables/synthetic/{model}/{name}.csv")


def test_every_figure_is_drawn_of_both_and_the_page_shows_them(project, study):
    page = read_bytes(project.folder / "results/report.html").decode()
    for run in study.runs:
        drawn = {
            path.stem for path in (project.folder / f"results/figures/synthetic/{run.model}").glob("*.png")
        }
        assert len(drawn) >= 16
        assert set(run.figures) - drawn == {
            name for name in run.figures if f"figure {name} is left out" in project.command("status")
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


def test_what_makes_no_sense_is_left_out_and_says_why(project):
    said = project.command("status")
    for name in ("shuffle_kernels", "noise_as_shuffle_kernels"):
        assert f"note: lenet on synthetic: perturbation {name} is left out" in said
        assert f"note: conv on synthetic: perturbation {name} is left out" not in said
    assert "needs convolutions, which lenet_300_100 has not" in said
    applied = {model: set(table(project, model, "perturbed")["perturbation"]) for model in ("lenet", "conv")}
    assert applied["conv"] - applied["lenet"] == {"shuffle_kernels", "noise_as_shuffle_kernels"}
    assert applied["lenet"] < applied["conv"] == set(CONFIGURATION["perturbed"][0]["perturbations"])


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_without_batch_norm_curvature_is_measured_once_and_counts_in_both_readings(project, model):
    found = table(project, model, "curvature")
    assert set(found["statistics"]) == {"none"}
    assert not found.duplicated(["seed", "iteration"]).any()
    assert f"note: {model} on synthetic: curvature is measured once" in project.command("status")
    claims = pd.read_csv(project.folder / "results/claims.csv")
    readings = claims[(claims["id"] == "C1") & (claims["model"] == model)]
    assert len(readings) == 2 and readings["ours"].nunique() == 1 and readings["n"].eq(1).all()
    assert table(project, model, "lines")["sample"].eq(0).all()  # no statistics to estimate on a line


@pytest.mark.parametrize("model", ["lenet", "conv"])
def test_renamed_channels_train_like_the_ticket(project, model):
    """A symmetry of the network, up to rounding: in 20 iterations that is little."""
    found = table(project, model, "perturbed").set_index(["perturbation", "iteration"])["loss"]
    ticket, renamed = found["rewind"], found["permuted_channels"]
    assert np.allclose(renamed, ticket, rtol=0.02)
    assert not np.allclose(found["shuffle_layers"], ticket, rtol=0.02)
