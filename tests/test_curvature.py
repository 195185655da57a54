from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from earlyphase.core.curvature import (
    Diverged,
    SampleLoss,
    measure,
    parameters_of,
    top_eigenpairs,
    training_gradient,
)
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, state_of
from earlyphase.core.subspaces import random_subspace, share_in, subspace_overlap
from earlyphase.errors import InvalidInput

STATISTICS = ["running", "sample", "batch"]


@pytest.fixture
def sample(rng):
    images = torch.from_numpy(rng.uniform(-1, 1, (20, 3, 8, 8)).astype(np.float32))
    return images, torch.from_numpy(rng.integers(0, 4, 20))


@pytest.fixture
def model():
    """A network of 485 parameters in float64, with statistics that are not those of any sample."""
    network = resnet(3, 4, depth=8, width=1)
    load_state(network, initial_state(network, 0))
    network.train()
    with torch.no_grad():
        network(torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    return network.double().eval()


def normalise_by_own_statistics(norm, x):
    """Batch norm in train mode, spelt out: torch 2.14 gets its own wrong in forward over reverse mode."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    normal = centred / (centred.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
    return normal * norm.weight[:, None, None] + norm.bias[:, None, None]


class Reference(torch.nn.Module):
    """Loss on a sample from the definitions, without the in-place operations that vmap refuses."""

    def __init__(self, model, sample, statistics):
        super().__init__()
        self.model = resnet(3, 4, depth=8, width=1).double()
        load_state(self.model, state_of(model))
        self.inputs, self.labels = sample[0].double(), sample[1]
        for norm in self.norms():
            norm.momentum = 1.0  # running statistics become those of the next batch
        if statistics == "sample":
            self.model.train()(self.inputs)
        self.model.eval()
        for norm in self.norms() if statistics == "batch" else []:
            norm.forward = partial(normalise_by_own_statistics, norm)

    def norms(self):
        return [module for module in self.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]

    def forward(self):
        network = self.model
        x = F.relu(network.bn(network.conv(self.inputs)))
        for block in network.blocks:
            out = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
            x = F.relu(out + (x if block.shortcut is None else block.shortcut(x)))
        return F.cross_entropy(network.fc(x.mean((2, 3))), self.labels)


def function_of_parameters(reference):
    """The loss as a function of a vector of all parameters, and where that vector is."""
    parameters = {name: p.detach() for name, p in reference.named_parameters()}
    shapes = {name: p.shape for name, p in parameters.items()}

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes.values()])
        views = {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        return functional_call(reference, views, ())

    return loss, torch.cat([p.reshape(-1) for p in parameters.values()])


def relative_error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def solved(product, dimension, count, tolerance, seed=0):
    start = np.random.default_rng(seed).standard_normal(dimension)
    return top_eigenpairs(product, start, count, tolerance=tolerance)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_agrees_with_the_full_hessian(model, sample, statistics):
    """By torch.func: forward over reverse, one column per parameter."""
    function, vector = function_of_parameters(Reference(model, sample, statistics))
    gradient, value = (found.numpy() for found in torch.func.grad_and_value(function)(vector))
    values, vectors = np.linalg.eigh(torch.func.hessian(function)(vector).numpy())

    loss = SampleLoss(model, sample, statistics=statistics)
    pairs = solved(loss.hessian_vector_product, len(gradient), 4, 1e-10)
    assert loss.value == pytest.approx(float(value), rel=1e-10)
    assert relative_error(loss.gradient, gradient) < 1e-10
    np.testing.assert_allclose(pairs.values, values[::-1][:4], rtol=1e-6)
    assert subspace_overlap(pairs.vectors, vectors[:, -4:]) == pytest.approx(1, abs=1e-6)
    wanted = np.sum((vectors[:, -4:].T @ gradient) ** 2) / np.sum(gradient**2)
    assert share_in(pairs.vectors, loss.gradient) == pytest.approx(wanted, abs=1e-6)
    assert pairs.residuals.max() < 1e-8


@pytest.mark.parametrize("statistics", STATISTICS)
def test_product_agrees_with_a_difference_of_gradients(model, sample, statistics, rng):
    loss = SampleLoss(model, sample, statistics=statistics)
    direction = rng.standard_normal(len(loss.gradient))
    step = 1e-6 * torch.from_numpy(direction)
    gradients = []
    for sign in (1, -1):
        moved = resnet(3, 4, depth=8, width=1).double()
        load_state(moved, state_of(model))
        torch.nn.utils.vector_to_parameters(
            torch.from_numpy(parameters_of(model)) + sign * step, moved.parameters()
        )
        if statistics == "sample":  # of the unmoved weights
            reference = Reference(model, sample, "sample").model
            for (_, own), (_, fixed) in zip(moved.named_buffers(), reference.named_buffers(), strict=True):
                own.copy_(fixed)
        mode = "batch" if statistics == "batch" else "running"
        gradients.append(SampleLoss(moved, sample, statistics=mode).gradient)
    difference = (gradients[0] - gradients[1]) / 2e-6
    assert relative_error(loss.hessian_vector_product(direction), difference) < 1e-5


def test_batches_add_up_to_the_sample(model, sample, rng):
    whole = SampleLoss(model, sample, statistics="running", batch=20)
    parts = SampleLoss(model, sample, statistics="running", batch=7)
    direction = rng.standard_normal(len(whole.gradient))
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert relative_error(parts.gradient, whole.gradient) < 1e-12
    for _ in range(2):  # a graph that is kept gives the same again
        assert (
            relative_error(parts.hessian_vector_product(direction), whole.hessian_vector_product(direction))
            < 1e-12
        )


def test_float32_is_as_good_as_its_rounding(model, sample):
    exact = SampleLoss(model, sample)
    rounded = SampleLoss(model.float(), sample)
    dimension = len(exact.gradient)
    one, other = (solved(loss.hessian_vector_product, dimension, 4, 1e-4) for loss in (exact, rounded))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-4)
    assert subspace_overlap(one.vectors, other.vectors) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_measuring_leaves_the_network_and_a_kept_graph_alone(model, sample, statistics):
    before = state_of(model)
    loss = SampleLoss(model, sample, statistics=statistics)
    training_gradient(model, sample[0][:8], sample[1][:8])
    product = loss.hessian_vector_product(loss.gradient)
    assert np.array_equal(
        product, SampleLoss(model, sample, statistics=statistics).hessian_vector_product(loss.gradient)
    )
    after = state_of(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not model.training


def test_the_gradient_of_a_mini_batch_is_that_of_a_training_step(model, sample):
    """From the definitions, and as the plain loop of a tutorial has it."""
    inputs, labels = sample[0][:16].double(), sample[1][:16]
    found = training_gradient(model, inputs, labels)
    batch = inputs.float(), labels
    function, vector = function_of_parameters(Reference(model, batch, "batch"))
    assert relative_error(found, torch.func.grad(function)(vector).numpy()) < 1e-10

    in_eval_mode = SampleLoss(model, batch, statistics="running").gradient
    assert relative_error(found, in_eval_mode) > 0.1  # so that there was something to tell apart
    model.train()
    F.cross_entropy(model(inputs), labels).backward()
    wanted = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    assert relative_error(found, wanted) < 1e-10


def quadratic(values, rng):
    """Product with a symmetric matrix of a known spectrum, and its eigenvectors."""
    basis = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    return (lambda vector: basis @ (values * (basis.T @ vector))), basis


def test_finds_the_largest_algebraic_eigenvalues_not_the_largest_in_modulus(rng):
    values = np.concatenate([[-90, -50, -20, 8, 7, 5], rng.uniform(-1, 1, 94)])
    product, basis = quadratic(values, rng)
    pairs = solved(product, 100, 3, 1e-9)
    np.testing.assert_allclose(pairs.values, [8, 7, 5], rtol=1e-9)
    assert subspace_overlap(pairs.vectors, basis[:, 3:6]) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(pairs.vectors.T @ pairs.vectors, np.eye(3), atol=1e-9)


def test_residuals_and_products_are_those_of_the_answer(rng):
    product, _ = quadratic(rng.uniform(0, 1, 60), rng)
    calls = []

    def counted(vector):
        calls.append(vector)
        return product(vector)

    loose = solved(counted, 60, 4, 0.3)
    assert loose.products == len(calls)
    for value, vector, residual in zip(loose.values, loose.vectors.T, loose.residuals, strict=True):
        assert np.linalg.norm(product(vector) - value * vector) / value == pytest.approx(residual)
    assert loose.residuals.max() > 1e-6  # so that there was something to measure
    assert solved(product, 60, 4, 1e-9).residuals.max() < 1e-8


def test_the_start_decides_and_the_answer_is_repeated_bit_for_bit(rng):
    product, _ = quadratic(rng.uniform(0, 1, 60), rng)
    one, again, other = (solved(product, 60, 4, 0.3, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.vectors, again.vectors)
    assert not np.array_equal(one.vectors, other.vectors)


def test_share_of_a_vector_in_a_subspace():
    basis = np.eye(5)[:, :2]
    assert share_in(basis, np.array([3.0, 0, 4, 0, 0])) == pytest.approx(9 / 25)
    assert share_in(basis, np.array([1.0, 2, 0, 0, 0])) == pytest.approx(1)
    assert share_in(basis, np.array([0.0, 0, 0, 0, 7])) == 0
    assert np.isnan(share_in(basis, np.zeros(5)))


def test_overlap_compares_spans_not_vectors(rng):
    basis = np.linalg.qr(rng.standard_normal((50, 6)))[0]
    turned = basis[:, :3] @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert subspace_overlap(basis[:, :3], turned) == pytest.approx(1)
    assert subspace_overlap(basis[:, :3], basis[:, 3:]) == pytest.approx(0, abs=1e-12)
    assert subspace_overlap(basis[:, :4], basis[:, 2:]) == pytest.approx(0.5)
    half = np.sum((basis[:, :2] @ basis[:, :2].T) * (basis @ basis.T)) / np.sqrt(2 * 6)  # the definition
    assert subspace_overlap(basis[:, :2], basis) == pytest.approx(half)


def test_a_random_subspace_holds_the_share_of_chance():
    vector = np.random.default_rng(0).standard_normal(400)
    shares = [share_in(random_subspace(400, 10, seed), vector) for seed in range(40)]
    assert np.mean(shares) == pytest.approx(10 / 400, rel=0.2)
    basis = random_subspace(400, 10, 0)
    np.testing.assert_allclose(basis.T @ basis, np.eye(10), atol=1e-12)
    assert np.array_equal(basis, random_subspace(400, 10, 0))


def test_one_row_says_all(model, sample):
    loss = SampleLoss(model, sample)
    minibatches = [
        training_gradient(model, sample[0][part], sample[1][part]) for part in (range(8), range(8, 20))
    ]
    displacement = np.zeros_like(loss.gradient)
    row, pairs = measure(loss, displacement, minibatches, count=4, seed=3, tolerance=1e-3)
    assert row["gradient_share"] == share_in(pairs.vectors, loss.gradient)
    assert row["minibatch_share"] == np.mean([share_in(pairs.vectors, gradient) for gradient in minibatches])
    assert np.isnan(measure(loss, displacement, [], count=4, seed=3, tolerance=1e-3)[0]["minibatch_share"])
    assert np.isnan(row["displacement_share"])
    assert row["chance"] == 4 / len(loss.gradient)
    assert row["residual"] == pairs.residuals.max() < 1e-2
    assert row["products"] == pairs.products
    assert all(isinstance(value, float | int) for value in row.values())


def test_weights_that_are_not_finite_are_refused(model, sample):
    with torch.no_grad():
        model.fc.weight[0, 0] = float("nan")
    with pytest.raises(Diverged, match="weights are not finite: the training diverged"):
        SampleLoss(model, sample)


def test_a_loss_that_is_not_finite_is_refused(model, sample):
    with torch.no_grad():
        model.float().fc.bias.fill_(-3e38)[0] = 3e38
    with pytest.raises(Diverged, match="loss on the curvature sample is"):
        SampleLoss(model, sample)


def test_statistics_that_cannot_be_had_are_refused(model, sample):
    with pytest.raises(InvalidInput, match="it has 20 images and a batch 19"):
        SampleLoss(model, sample, statistics="batch", batch=19)
    with pytest.raises(InvalidInput, match="unknown statistics 'eval'"):
        SampleLoss(model, sample, statistics="eval")


class RootOfBias(torch.nn.Module):
    """Logits with a finite loss whose gradient in one parameter of the two is not finite: sqrt at 0."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(192, 4, bias=False)
        self.bias = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return self.linear(x.flatten(1)) + self.bias.sqrt()


def test_a_gradient_that_is_finite_in_part_is_refused(sample):
    with pytest.raises(Diverged, match="the training diverged"):
        SampleLoss(RootOfBias(), sample)


def test_a_solver_that_does_not_converge_says_what_to_do(rng, monkeypatch):
    monkeypatch.setattr("earlyphase.core.curvature.RESTARTS", 1)
    product, _ = quadratic(rng.uniform(0, 1, 400), rng)
    with pytest.raises(InvalidInput, match=r"of 10 eigenvectors found after \d+ .* raise the tolerance"):
        solved(product, 400, 10, 1e-12)


@pytest.mark.parametrize("count", [0, 60])
def test_more_eigenvectors_than_there_are_is_refused(rng, count):
    product, _ = quadratic(rng.uniform(0, 1, 60), rng)
    with pytest.raises(InvalidInput, match=f"{count} eigenvectors of a Hessian of 60 dimensions"):
        solved(product, 60, count, 1e-2)
