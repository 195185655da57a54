"""The edge of stability: the eigenvalue against a Hessian that is formed, the edge against plain descent."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pandas import DataFrame, read_csv
from torch import nn

from earlyphase.core.curvature import top_eigenpairs
from earlyphase.core.edge import HELD, Sharpness, edge_of
from earlyphase.core.networks.state import state_of
from earlyphase.core.optimizer import sgd
from earlyphase.core.settings import TrainingSettings
from earlyphase.errors import InvalidInput
from earlyphase.results.figures import figure, render
from earlyphase.runtime.trajectory import save_trajectory
from test_claims import verdict
from test_figures import check_declaration
from test_first_iterations import TRAINING, folder, job, spec, state  # noqa: F401 - `folder` is a fixture

GOOD, BAD, ABSENT = "reproduced", "not reproduced", "not run: not configured"


def settings(**changes):
    return TrainingSettings.from_spec(TRAINING | changes)


# The core


def test_a_solve_that_starts_near_the_answer_takes_few_products(rng):
    vectors = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    values = np.concatenate([[-9.0, 5.0], rng.uniform(-1, 4, 58)])
    matrix = (vectors * values) @ vectors.T
    start, options = rng.standard_normal(60), {"tolerance": 1e-3, "held": HELD}
    cold = top_eigenpairs(matrix.__matmul__, start, 1, **options)
    moved = matrix + 0.01 * np.diag(rng.standard_normal(60))
    warm = top_eigenpairs(moved.__matmul__, cold.vectors[:, 0], 1, **options)
    assert warm.values[0] == pytest.approx(np.linalg.eigvalsh(moved)[-1], rel=1e-5)
    assert warm.products <= HELD + 2 < cold.products


@pytest.mark.parametrize(("share", "grows"), [(0.98, False), (1.02, True)])
def test_descent_on_a_quadratic_function_diverges_from_the_edge_on(share, grows):
    """By the package's own optimiser, started across a parabola of curvature 3."""
    given = settings(momentum=0.7, weight_decay=0.0)
    rate = share * edge_of(given) / 3
    weights, velocity = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for _ in range(2000):
        sgd(weights, 3 * weights, {"velocity": velocity}, rate, 0.0, momentum=0.7)
    assert (abs(float(weights)) > 1) == grows
    assert np.isnan(edge_of(settings(optimizer={"function": "adam"})))


class Smooth(nn.Sequential):
    """A network with batch norm that has second derivatives everywhere, on images of 3 x 4 x 4."""

    def __init__(self, seed=0):
        super().__init__(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4))
        draw = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=draw)


@pytest.fixture
def sample(rng):
    images = torch.from_numpy(rng.standard_normal((24, 3, 4, 4)).astype(np.float32))
    return images, torch.arange(24) % 4


def formed(model, sample):
    """The largest eigenvalue of the Hessian, by differences of gradients in float64.

    Batch norm normalises by the sample itself. Forward over reverse mode in `torch.func` disagrees with these
    differences by up to a percent where there is batch norm (torch 2.14), so it is no reference.
    """
    exact = copy.deepcopy(model).double().train()
    parameters, inputs = list(exact.parameters()), sample[0].double()

    def gradient(flat):
        with torch.no_grad():
            nn.utils.vector_to_parameters(flat, parameters)
        loss = F.cross_entropy(exact(inputs), sample[1])
        return nn.utils.parameters_to_vector(torch.autograd.grad(loss, parameters))

    at = nn.utils.parameters_to_vector(parameters).detach().clone()
    step = 1e-5 * torch.eye(len(at), dtype=torch.float64)
    matrix = torch.stack([(gradient(at + one) - gradient(at - one)) / 2e-5 for one in step])
    return float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])


def test_eigenvalues_along_a_run_are_those_of_hessians_that_are_formed(sample):
    """Of states that have nothing in common, so that the last eigenvector is no help; a resumed run agrees."""
    states = {0: Smooth(0), 5: Smooth(3)}
    watched, resumed = (Sharpness(list(states), {}, sample, seed=0, tolerance=1e-3) for _ in range(2))
    for iteration in range(6):
        if iteration == 5:
            resumed.state = watched.state
        watched.observe(iteration, states.get(iteration, states[0]))
    resumed.observe(5, states[5])
    rows = DataFrame(watched.rows(settings(milestones=[2])))
    expected = [formed(model, sample) for model in states.values()]
    assert rows["eigenvalue"].tolist() == pytest.approx(expected, rel=1e-4)
    assert rows["learning_rate"].tolist() == pytest.approx([0.1, 0.01])
    assert rows["edge"].to_numpy() == pytest.approx(3.8)
    assert (rows["residual"] <= 1.01e-3).all()
    assert DataFrame(resumed.rows(settings(milestones=[2]))).equals(rows)


def test_a_diverged_network_has_no_eigenvalue_and_a_replay_must_be_the_run(sample):
    model, options = Smooth(), {"seed": 0, "tolerance": 0.01}
    with pytest.raises(InvalidInput, match="the replay differs from the dense run at iteration 0"):
        Sharpness([0], {0: state_of(Smooth(1))}, sample, **options).observe(0, model)
    model[4].bias.data[0] = float("nan")
    watched = Sharpness([0], {}, sample, **options)
    watched.observe(0, model)
    assert np.isnan(watched.rows(settings())[0]["eigenvalue"])


# The stage


def test_the_stage_replays_the_run_and_writes_the_same_bytes_again(folder):  # noqa: F811
    save_trajectory("trajectory", {0: (state(), {}), 8: (state(1), {})})
    chosen = {"schedule": [[2, 1], [6, 4]], "sample": 30, "tolerance": 0.01}
    described = spec(edge_of_stability=chosen)
    for name in ("rows.csv", "again.csv"):
        outputs = {"rows": name, "run": f"{name}.json"}
        assert job("edge_of_stability", described, {"trajectory": "trajectory"}, outputs) == 0
    rows = read_csv("rows.csv")
    assert rows["iteration"].tolist() == [0, 1, 2, 6]
    assert (rows["eigenvalue"] > 0).all()
    assert (folder / "rows.csv").read_bytes() == (folder / "again.csv").read_bytes()


# Figure and claims

TIMES = [*range(0, 50, 5), *range(50, 401, 25)]


def table(plateau=1.0, after=2.0, edge=3.8, early=0.5):
    """Eigenvalues by time, of three seeds that differ by 2 %; the learning rate of 1 falls at 300."""
    at = [early if time < 50 else plateau if time < 300 else after for time in TIMES]
    rows = [
        {
            "dataset": "d", "model": "m", "seed": seed, "task": "supervised", "iteration": time, "edge": edge,
            "learning_rate": 1.0 if time < 300 else 0.1, "eigenvalue": value * (1 + 0.02 * (seed * (1 + (time >= 50) + 2 * (time >= 300)) % 3)),
            "residual": 0.01, "products": 7, "loss": 1.0,
        }
        for seed in range(3)
        for time, value in zip(TIMES, at, strict=True)
    ]  # fmt: skip
    return {"edge_of_stability": DataFrame(rows)}


@pytest.mark.parametrize(
    ("claim", "changes", "expected"),
    [
        ("E1", {}, GOOD), ("E1", {"plateau": 5.0}, BAD), ("E1", {"edge": np.nan}, ABSENT),
        ("E2", {}, GOOD), ("E2", {"plateau": 0.2}, BAD),
        ("E3", {}, GOOD), ("E3", {"after": 0.9}, BAD),
    ],
)  # fmt: skip
def test_the_claims_are_judged_where_the_truth_is_known(claim, changes, expected):
    assert verdict(claim, table(**changes)) == expected


def test_the_figure_shows_products_of_rate_and_eigenvalue_and_the_edge():
    rows = [
        {"seed": seed, "iteration": time, "statistics": kind, "eigenvalue_1": 7.0}
        for seed in range(3) for time in (10, 300, 301) for kind in ("running", "batch")
    ]  # fmt: skip
    tables = table() | {"curvature": DataFrame(rows)}
    drawn, points = figure["edge_of_stability"](tables)
    shown = points.set_index(["curve", "iteration"])["mean"].unstack(0)
    assert shown.iloc[:, 0][[0, 50, 300]].tolist() == pytest.approx([0.51, 1.02, 0.204])
    assert shown.iloc[:, 1].dropna().to_dict() == pytest.approx({10: 7.0, 300: 0.7})  # 301 has no known rate
    assert points["edge"].to_numpy() == pytest.approx(3.8)
    assert render(drawn, "svg") == render(figure["edge_of_stability"](tables)[0], "svg")
    check_declaration("edge_of_stability", tables)
