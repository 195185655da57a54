"""The empirical tangent kernel: against its closed form, and against what small steps on a logit do."""

import numpy as np
import pytest
import torch
from pandas import DataFrame, read_csv

from assigned import read_study
from earlyphase.core.curvature import prepared
from earlyphase.core.kernel import kernel_distance, tangent_kernel
from earlyphase.errors import InvalidInput
from earlyphase.results.figures import figure, render
from earlyphase.results.timeline import kernel_slow
from earlyphase.runtime.storage import save_weights
from earlyphase.stages import kernel
from earlyphase.study.jobs import all_jobs
from test_claims import verdict
from test_edge_of_stability import Smooth
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, job, spec, state  # noqa: F401 - `folder` is a fixture
from test_fisher import CLASSES, Linear


def images(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32)), torch.zeros(
        shape[0], dtype=torch.int64
    )


def test_a_linear_model_has_the_kernel_of_its_closed_form(rng, monkeypatch):
    monkeypatch.setattr("earlyphase.core.kernel.COLUMNS", 7)  # so that the product is taken in parts
    sample = images(rng, 6, 3, 2, 2)
    x = sample[0].flatten(1).double().numpy()
    expected = np.kron(x @ x.T + 1, np.eye(CLASSES))
    np.testing.assert_allclose(tangent_kernel(Linear(), sample), expected, rtol=1e-5, atol=1e-5)


def test_the_kernel_says_what_a_small_step_on_a_logit_does_to_all_logits(rng):
    """In float64, with batch norm by averages over the sample."""
    model, sample = Smooth().double(), images(rng, 8, 3, 4, 4)
    sample = (sample[0].double(), sample[1])
    found = tangent_kernel(model, sample)
    fixed = prepared(model, sample, "sample", 8)
    before, parameters = fixed(sample[0]).detach(), list(fixed.parameters())
    gradients = torch.autograd.grad(fixed(sample[0])[5, 2], parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter += 1e-7 * gradient
    change = (fixed(sample[0]).detach() - before).flatten().numpy() / 1e-7
    np.testing.assert_allclose(found[5 * 4 + 2], change, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found, found.T, rtol=1e-9)


def test_the_distance_is_that_of_directions(rng):
    one, other = (matrix @ matrix.T for matrix in rng.standard_normal((2, 5, 9)))
    cosine = np.trace(one @ other) / np.sqrt(np.trace(one @ one) * np.trace(other @ other))
    assert kernel_distance(one, other) == pytest.approx(1 - cosine)
    assert kernel_distance(one, 3 * one) == pytest.approx(0, abs=1e-12)
    assert kernel_distance(np.diag([1.0, 0]), np.diag([0, 1.0])) == 1
    assert np.isnan([kernel_distance(one, np.zeros((5, 5))), kernel_distance(one, np.nan * one)]).all()


# The stage


def measure(out="row.csv", **weights):
    """Do the job on states of iterations 3, 5 and 8; its exit status."""
    for name, number, at in (("it3", 1, 3), ("it5", 2, 5), ("it8", 1, 8)):
        save_weights(name, weights.get(name, state(number)), at)
    described = spec(columns=NAMES | {"k": 3}, kernel={"interval": 2, "sample": 12})
    return job("kernel", described, {"state": "it3", "later": "it5", "final": "it8"}, {"row": out})


def test_the_stage_writes_one_row_and_the_same_bytes_again(folder):  # noqa: F811
    assert measure() == measure("again.csv") == 0
    (row,) = read_csv("row.csv").to_dict("records")
    assert (row["iteration"], row["interval"], row["images"]) == (3, 2, 12)
    assert 0.01 < row["distance"] < 1 and row["velocity"] == pytest.approx(row["distance"] / 2)
    assert row["distance_final"] == pytest.approx(0, abs=1e-9)  # of the same weights
    assert (folder / "row.csv").read_bytes() == (folder / "again.csv").read_bytes()


def test_both_states_of_a_time_are_kept_and_must_be_there():
    one = read_study(kernel={"iterations": [0, 0.5], "interval": 10})
    (run,) = one.runs
    assert kernel.states(run) == [0, 10, 200, 210]
    assert {10, 210} <= set(one.kept_iterations(run))
    assert len(list(all_jobs(one, rules=["kernel"]))) == 2 * len(run.seeds)
    with pytest.raises(
        InvalidInput, match=r"kernel.iterations has 395, and 10 iterations later .* ended, at 400"
    ):
        read_study(kernel={"iterations": [395], "interval": 10})


# Figure, claim, event

TIMES = {0: 0.03, 10: 0.02, 40: 0.002, 100: 0.001, 390: 0.0001}


def table(**velocities):
    rows = [
        NAMES | {
            "seed": seed, "iteration": time, "interval": 10, "images": 100, "distance": 10 * velocity,
            "velocity": velocity * (1 + 0.03 * (seed * (1 + (time > 0)) % 3)), "distance_final": 0.5,
        }
        for seed in range(3)
        for time, velocity in (TIMES | {int(name[2:]): value for name, value in velocities.items()}).items()
    ]  # fmt: skip
    return {"kernel": DataFrame(rows)}


def test_the_claim_is_judged_from_a_share_of_training_on():
    assert verdict("K1", table()) == "reproduced"
    assert verdict("K1", table(at390=0.02)) == "not reproduced"
    assert verdict("K1", table(), share=0.01) == "not reproduced"
    late = {"kernel": table()["kernel"].query("iteration > 0")}
    assert verdict("K1", late) == "not run: not configured"


def test_the_kernel_is_slow_between_two_measured_times():
    assert kernel_slow(table()["kernel"]) == (10, 40)
    assert np.isnan(kernel_slow(table(at390=0.02)["kernel"])).all()


def test_the_figure_shows_means_over_seeds():
    drawn, points = figure["kernel"](table())
    shown = points.set_index(["curve", "iteration"])["mean"]
    assert shown["velocity", 0] == pytest.approx(0.03 * 1.03)
    assert "interval of 10 iterations" in drawn.get_supxlabel().replace("\n", " ")
    assert render(drawn, "svg")
    check_declaration("kernel", table())
