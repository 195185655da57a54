"""The trace of the Fisher information: against its closed form, against repetitions, and as a stage and figure."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pandas import DataFrame, read_csv
from scipy import stats
from torch import nn

from assigned import read_study
from earlyphase.core.fisher import fisher_trace, squared_gradients
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state
from earlyphase.results.figures import figure, render
from earlyphase.runtime.storage import save_weights
from earlyphase.stages import fisher
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import all_jobs
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, job, spec, state  # noqa: F401 - `folder` is a fixture

CLASSES = 5


class Linear(nn.Module):
    """Softmax regression on images of 3 x 2 x 2."""

    def __init__(self, scale=0.4):
        super().__init__()
        self.fc = nn.Linear(12, CLASSES)
        draw = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            parameter.data = scale * torch.randn(parameter.shape, generator=draw)

    def forward(self, x):
        return self.fc(x.flatten(1))


def examples(rng, count):
    images = torch.from_numpy(rng.standard_normal((count, 3, 2, 2)).astype(np.float32))
    return images, torch.from_numpy(rng.integers(0, CLASSES, count))


def closed_form(model, batch):
    """Squared gradient of log p(y|x) of softmax regression, |e_y - p|^2 (1 + |x|^2): (n, classes); and p."""
    images, _ = batch
    x = images.flatten(1).double().numpy()
    weight, bias = (p.detach().double().numpy() for p in (model.fc.weight, model.fc.bias))
    logits = x @ weight.T + bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    off = ((np.eye(CLASSES)[None] - p[:, None]) ** 2).sum(axis=2)
    return off * (1 + (x**2).sum(axis=1, keepdims=True)), p


def test_a_linear_softmax_model_has_the_trace_of_its_closed_form(rng):
    model, batch = Linear(), examples(rng, 40)
    of_label, p = closed_form(model, batch)
    squares, probabilities = squared_gradients(model, batch)
    np.testing.assert_allclose(squares, of_label, rtol=1e-5)
    np.testing.assert_allclose(probabilities, p, rtol=1e-5)
    x2 = (batch[0].flatten(1).double().numpy() ** 2).sum(axis=1)
    expected = (1 - (p**2).sum(axis=1)) * (1 + x2)  # over labels drawn from the model
    row = fisher_trace(model, batch)
    assert row["fisher_trace"] == pytest.approx(expected.mean(), rel=1e-5)
    assert row["fisher_standard_error"] == pytest.approx(expected.std(ddof=1) / np.sqrt(40), rel=1e-5)
    assert row["empirical_fisher"] == pytest.approx(of_label[np.arange(40), batch[1]].mean(), rel=1e-5)
    assert row["samples"] == 40
    assert abs(row["fisher_trace"] / row["empirical_fisher"] - 1) > 0.05  # these are two numbers


def test_the_standard_errors_are_the_spread_of_repetitions():
    """Each with examples of its own, from the same law."""
    model, rng = Linear(), np.random.default_rng(5)
    rows = DataFrame([fisher_trace(model, examples(rng, 10)) for _ in range(80)])
    for value, error in (
        ("fisher_trace", "fisher_standard_error"), ("empirical_fisher", "empirical_standard_error"),
    ):  # fmt: skip
        spread = rows[value].std()
        assert np.sqrt((rows[error] ** 2).mean()) == pytest.approx(spread, rel=0.3)  # 8 % for 80 normal ones


@pytest.fixture
def network():
    """A residual network whose running statistics are those of no batch."""
    model = resnet(3, 4, depth=8, width=2)
    load_state(model, initial_state(model, 0))
    with torch.no_grad():
        model.train()(torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model


@pytest.fixture
def batch(rng):
    images = torch.from_numpy(rng.standard_normal((6, 3, 8, 8)).astype(np.float32))
    return images, torch.from_numpy(rng.integers(0, 4, 6))


def test_gradients_of_single_examples_are_those_of_torch_func(network, batch):
    """In float64, all at once, in eval mode, over all parameters."""
    from torch.func import functional_call, grad, vmap

    exact = copy.deepcopy(network).double().eval()
    parameters, buffers = (dict(named) for named in (exact.named_parameters(), exact.named_buffers()))

    def log_p(parameters, image, chosen):
        logits = functional_call(exact, (parameters, buffers), (image[None],))
        return F.log_softmax(logits[0], dim=0) @ chosen

    of_classes = vmap(grad(log_p), (None, None, 0))
    gradients = vmap(of_classes, (None, 0, None))(parameters, batch[0].double(), torch.eye(4).double())
    expected = sum(part.flatten(2).square().sum(dim=2) for part in gradients.values()).detach().numpy()
    np.testing.assert_allclose(squared_gradients(network, batch)[0], expected, rtol=1e-4)
    p = F.softmax(exact(batch[0].double()), dim=1).detach().numpy()
    row = fisher_trace(network, batch)
    assert row["fisher_trace"] == pytest.approx((p * expected).sum(axis=1).mean(), rel=1e-4)
    assert row["empirical_fisher"] == pytest.approx(expected[np.arange(6), batch[1]].mean(), rel=1e-4)


def test_examples_are_independent_and_the_network_stays_as_it_is(network, batch):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    together, _ = squared_gradients(network, batch)
    order = [3, 0, 5]
    alone, _ = squared_gradients(network, (batch[0][order], batch[1][order]))
    assert np.array_equal(alone, together[order])
    assert network.training
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in network.parameters())
    network.bn.running_mean += 1  # it is these statistics that are used
    assert not np.allclose(squared_gradients(network, batch)[0], together)


def test_a_diverged_network_has_no_trace(network, batch):
    network.fc.weight.data[0, 0] = float("nan")
    row = fisher_trace(network, batch)
    assert np.isnan([row[name] for name in row if name != "samples"]).all()
    assert row["samples"] == 6


# The stage


def measure(k=3, sample=32, out="row.csv", **weights):
    """Do the job on a state of iteration 3; its exit status."""
    save_weights("it3", weights or state(1), 3)
    described = spec(columns=NAMES | {"k": k}, fisher={"sample": sample})
    return job("fisher", described, {"state": "it3"}, {"row": out})


def test_the_stage_writes_one_row_and_the_same_bytes_again(folder):  # noqa: F811
    assert measure() == 0
    (row,) = read_csv("row.csv").to_dict("records")
    assert (row["k"], row["iteration"], row["samples"]) == (3, 3, 32)
    names = ("fisher_trace", "fisher_standard_error", "empirical_fisher", "empirical_standard_error")
    assert all(0 < row[name] < np.inf for name in names)
    first = (folder / "row.csv").read_bytes()
    assert measure(out="again.csv") == 0
    assert (folder / "again.csv").read_bytes() == first
    assert sorted(path.name for path in folder.glob("*resume*") if path.suffix != ".lock") == []


def test_a_state_of_another_iteration_or_network_is_refused(folder, capsys):  # noqa: F811
    assert measure(k=4) == 1
    assert "it3 is the state at iteration 3, not 4" in capsys.readouterr().err
    assert measure(**state(width=3)) == 1
    assert "the checkpoint belongs to another network" in capsys.readouterr().err
    assert not (folder / "row.csv").exists()


# In the configuration


def study(iterations):
    return read_study(fisher={"iterations": iterations}, curvature={"iterations": []})


def test_its_times_are_kept_by_the_dense_run_and_fractions_are_of_training():
    one, none = study([0.5, 7, 1.0]), study([])
    (run,), (without,) = one.runs, none.runs
    half, end = run.iterations // 2, run.iterations
    assert fisher.states(run) == [7, half, end]
    assert one.kept_iterations(run) == sorted({*none.kept_iterations(without), 7, half})
    measured = {(job.names["seed"], job.names["k"]) for job in all_jobs(one, rules=["fisher"])}
    assert measured == {(str(seed), str(k)) for seed in run.seeds for k in (7, half, end)}


def test_without_times_it_is_left_out_with_its_figure():
    one = study([])
    assert not [job for job in all_jobs(one) if "fisher" in (job.rule, job.names.get("figure"))]
    assert any("fisher" in s and "the study makes no table for it" in s for s in left_out(one))


# The figure


@pytest.fixture
def table():
    rows = [
        {
            "dataset": "d", "model": "m", "task": "supervised", "seed": seed, "k": k, "iteration": k,
            "fisher_trace": 10.0 * (k + 1) + seed, "fisher_standard_error": 1.0,
            "empirical_fisher": 20.0 * (k + 1) + seed, "empirical_standard_error": 4.0, "samples": 200,
        }
        for seed in range(3)
        for k in (0, 4, 20)
    ]  # fmt: skip
    return DataFrame(rows)


def test_the_figure_shows_both_means_and_their_spread_over_seeds(table):
    drawn, points = figure["fisher"]({"fisher": table.iloc[::-1]})
    shown = points.set_index(["curve", "iteration"])
    logarithms = np.log([50, 51, 52])
    expected = [stats.gmean([50, 51, 52]), np.exp(logarithms.std(ddof=1)), 3]
    assert shown.loc[("fisher_trace", 4), ["mean", "factor", "n"]].tolist() == pytest.approx(expected)
    assert shown.loc[("empirical_fisher", 20), "mean"] == pytest.approx(stats.gmean([420, 421, 422]))
    assert len(points) == 6
    note = drawn.get_supxlabel()
    assert "n = 3 seeds" in note
    assert "200 training images a seed" in note
    assert drawn.axes[0].get_yscale() == "log"
    again = figure["fisher"]({"fisher": table.iloc[::-1]})[0]
    assert render(drawn, "svg") == render(again, "svg")


def test_a_seed_that_diverged_is_in_no_mean_and_named(table):
    gone = (table["seed"] == 1) & (table["iteration"] == 20)
    table.loc[gone, ["fisher_trace", "empirical_fisher"]] = np.nan
    drawn, points = figure["fisher"]({"fisher": table})
    assert (points["n"] == 2).all()
    assert (points["diverged"] == 1).all()
    assert "Left out, diverged or zero: seeds 1" in drawn.get_supxlabel()
    drawn, points = figure["fisher"]({"fisher": table.assign(fisher_trace=np.nan)})
    assert render(drawn, "png")
    assert points.empty


def test_the_figure_reads_what_it_declares(table):
    check_declaration("fisher", {"fisher": table})


def test_seeds_that_differ_by_factors_keep_their_band_in_the_panel(table):
    table["fisher_trace"] = np.where(table["seed"] == 0, 1e3, 1.0)
    drawn, points = figure["fisher"]({"fisher": table})
    band = points[points["curve"] == "fisher_trace"]
    assert (band["mean"] / band["factor"] > 0.1).all()
    assert drawn.axes[0].get_ylim()[0] < (band["mean"] / band["factor"]).min()


def test_a_trace_of_zero_is_in_no_mean_and_named(table):
    table.loc[(table["seed"] == 2) & (table["iteration"] == 4), "fisher_trace"] = 0
    drawn, points = figure["fisher"]({"fisher": table})
    assert (points["n"] == 2).all()
    assert "zero: seeds 2" in drawn.get_supxlabel()
