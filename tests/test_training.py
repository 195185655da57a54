import math
import subprocess
import sys
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from earlyphase import registry
from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import full_mask, prune_by_magnitude
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.core.optimizer import MaskedOptimizer
from earlyphase.core.precision import autocast, use_precision
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.steps import GraphedBackward, backward_of, plain_backward
from earlyphase.core.training import Run, Training, evaluate, train
from earlyphase.errors import InvalidInput
from earlyphase.runtime.execution import prepare

SPEC = {
    "iterations": 12, "batch_size": 16, "learning_rate": 0.1, "milestones": [6, 9], "decay": 0.1,
    "momentum": 0.9, "weight_decay": 1e-3, "crop_padding": 1, "flip": True, "evaluate_every": 4,
}  # fmt: skip
SETTINGS = TrainingSettings.from_spec(SPEC)
OPTIMIZERS = {
    "sgd": {"function": "sgd", "momentum": 0.9},
    "adam": {"function": "adam", "beta2": 0.99},
    "adamw": {"function": "adamw", "epsilon": 1e-6},
}
EACH = pytest.mark.parametrize("entry", OPTIMIZERS.values(), ids=OPTIMIZERS)


def pruned_weights_are_zero(weights, mask):
    return all(not np.any(weights[name][~kept]) for name, kept in mask.items())


def settings_with(entry, **changes):
    return TrainingSettings.from_spec(SPEC | {"optimizer": entry} | changes)


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8)
    labels = rng.integers(0, 4, 70)
    half = np.full(3, 0.5, np.float32)
    return Images.from_arrays(pixels, labels, half, half, torch.device("cpu"))


def new_model(state=None):
    model = resnet(3, 4, depth=8, width=4)
    load_state(model, state or initial_state(model, 0))
    return model


def advance(
    model, images, *, start=0, stop=12, mask=None, state=None, observe=lambda i: None, settings=SETTINGS
):
    optimizer = MaskedOptimizer(model, mask, settings.optimizer)
    if state:
        optimizer.state = state
    batch_at = shuffled_batches(images, 0, settings.batch_size, settings.augmentation_at)
    training = Training(state_of(model), range(start, stop), batch_at, settings, mask, state)
    for iteration in train(model, optimizer, training, nullcontext):
        observe(iteration)
    return state_of(model), optimizer.state


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def random_mask(state, model, fraction=0.5):
    return prune_by_magnitude(state, full_mask(state, prunable_names(model)), fraction)


def test_equals_a_plain_loop_of_the_library(images):
    """The same training by torch's own modules, optimiser and scheduler, one parameter at a time."""
    ours, _ = advance(new_model(), images)
    model = new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [6, 9], 0.1)
    batch_at = shuffled_batches(images, 0, 16, SETTINGS.augmentation_at)
    model.train()
    for iteration in range(12):
        inputs, labels = batch_at(iteration)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs.contiguous()), labels).backward()
        optimizer.step()
        schedule.step()
    for name, value in state_of(model).items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def library_optimizer(model, entry):
    """The optimiser of torch that an entry of `OPTIMIZERS` stands for, one parameter at a time."""
    shared = {"lr": 0.1, "weight_decay": 1e-3, "foreach": False}
    match entry["function"]:
        case "sgd":
            return torch.optim.SGD(model.parameters(), momentum=0.9, **shared)
        case "adam":
            return torch.optim.Adam(model.parameters(), betas=(0.9, 0.99), **shared)
        case "adamw":
            return torch.optim.AdamW(model.parameters(), eps=1e-6, **shared)


@EACH
@pytest.mark.parametrize("masked", [False, True])
def test_steps_are_those_of_the_library_bit_for_bit(entry, masked):
    """Thirty steps at a rate that changes, down the same gradients; the library's are masked by hand."""
    model, plain = new_model(), new_model()
    mask = random_mask(state_of(model), model) if masked else None
    ours, optimizer = MaskedOptimizer(model, mask, entry), library_optimizer(plain, entry)
    kept = {name: torch.from_numpy(kept) for name, kept in (mask or {}).items()}
    generator = torch.Generator().manual_seed(0)
    for name, parameter in plain.named_parameters():
        parameter.data *= kept.get(name, 1)
    for iteration in range(30):
        rate = optimizer.param_groups[0]["lr"] = 0.1 / (1 + iteration)
        targets = {name: torch.randn(p.shape, generator=generator) for name, p in plain.named_parameters()}
        ours.backward(sum((p * targets[name]).sum() for name, p in model.named_parameters()))
        ours.step(entry, rate, 1e-3)
        for name, parameter in plain.named_parameters():
            parameter.grad = targets[name] * kept.get(name, 1)
        optimizer.step()
        assert_same(state_of(model), state_of(plain))
        for name, kept_part in (mask or {}).items():  # the state of pruned weights is zero as well
            assert not any(
                array[~kept_part].any() for key, array in ours.state.items() if key.endswith(f"/{name}")
            )


def test_a_job_does_not_import_the_compiler_or_the_eigen_solver():
    """The compiler takes two seconds, in every job, and `torch.optim` imports it."""
    code = (
        "import sys, earlyphase.stages._training, earlyphase.core.curvature;"
        "import earlyphase.core.optimizer as o, earlyphase.core.networks.resnet as m;"
        "o.MaskedOptimizer(m.resnet(3, 4, depth=8, width=4), None, {'function': 'adam'});"
        "slow = {'torch._dynamo', 'torchvision', 'snakemake', 'scipy.sparse'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@EACH
@pytest.mark.parametrize("k", [0, 5])
def test_a_run_from_k_with_the_optimizer_state_of_k_equals_the_uninterrupted_run(images, k, entry):
    settings = settings_with(entry)
    whole, _ = advance(new_model(), images, settings=settings)
    weights, state = advance(new_model(), images, stop=k, settings=settings)
    kept = full_mask(weights, prunable_names(new_model()))
    resumed, _ = advance(new_model(weights), images, start=k, mask=kept, state=state, settings=settings)
    assert_same(whole, resumed)


@EACH
def test_the_optimizer_state_matters_to_a_run_from_k(images, entry):
    settings = settings_with(entry)
    whole, _ = advance(new_model(), images, settings=settings)
    weights, _ = advance(new_model(), images, stop=5, settings=settings)
    rewound, _ = advance(new_model(weights), images, start=5, settings=settings)
    assert not np.array_equal(whole["conv.weight"], rewound["conv.weight"])


def test_another_optimizer_in_a_window_begins_anew_and_one_with_the_same_state_goes_on(images):
    """Adam in the iterations 4 to 8: the same as three runs, one after the other, each without a state."""
    adam = {"optimizer": OPTIMIZERS["adam"]}
    windowed = TrainingSettings.from_spec(SPEC | {"later": [[4, adam], [8, {"optimizer": None}]]})
    whole, state = advance(new_model(), images, settings=windowed)
    first, _ = advance(new_model(), images, stop=4)
    second, _ = advance(new_model(first), images, start=4, stop=8, settings=settings_with(adam["optimizer"]))
    third, momentum = advance(new_model(second), images, start=8)
    assert_same(whole, third)
    assert_same(state, momentum)
    slower = TrainingSettings.from_spec(SPEC | {"later": [[4, {"momentum": 0.5}]]})
    whole, _ = advance(new_model(), images, settings=slower)
    first, momentum = advance(new_model(), images, stop=4)
    resumed, _ = advance(new_model(first), images, start=4, state=momentum, settings=slower)
    assert_same(whole, resumed)


@EACH
def test_pruned_weights_are_exactly_zero_at_every_yield(images, entry):
    model = new_model()
    mask = random_mask(state_of(model), model)
    seen = []

    def observe(iteration):
        state = state_of(model)
        assert pruned_weights_are_zero(state, mask)
        assert all(np.any(state[name][kept]) for name, kept in mask.items())
        seen.append(iteration)

    advance(model, images, mask=mask, observe=observe, settings=settings_with(entry))
    assert seen == list(range(13))


def test_an_optimizer_of_ones_own_keeps_no_state_and_no_pruned_weight(images):
    def drift(weights, gradient, state, learning_rate, weight_decay, *, pull):
        assert state == {}
        weights.add_(learning_rate * (1 + pull))  # whatever the gradient

    registry.optimizer(drift)
    model = new_model()
    start, mask = state_of(model), random_mask(state_of(model), model)
    drifting = settings_with({"function": "drift", "pull": 1.0}, milestones=[])
    trained, state = advance(model, images, mask=mask, settings=drifting)
    del registry.optimizer["drift"], registry.optimizer.facts["drift"]
    assert state == {} and pruned_weights_are_zero(trained, mask)
    kept = mask["conv.weight"]
    np.testing.assert_allclose(trained["conv.weight"][kept], start["conv.weight"][kept] + 2.4, rtol=1e-5)


def test_only_prunable_names_are_masked(images):
    model = new_model()
    state = state_of(model)
    nothing = {name: np.zeros(state[name].shape, bool) for name in prunable_names(model)}
    trained, _ = advance(model, images, mask=nothing)
    assert pruned_weights_are_zero(trained, nothing)
    assert not np.array_equal(trained["fc.bias"], state["fc.bias"])


def test_observing_does_not_change_training(images):
    plain, _ = advance(new_model(), images)
    model = new_model()
    observed, _ = advance(model, images, observe=lambda i: evaluate(model, images, nullcontext))
    assert_same(plain, observed)


def test_the_schedule_of_the_paper():
    settings = TrainingSettings.from_spec(SPEC | {"iterations": 62_560, "milestones": [31_280, 46_920]})
    assert settings.learning_rate_at(80 * 391 - 1) == 0.1
    assert settings.learning_rate_at(80 * 391) == pytest.approx(0.01)
    assert settings.learning_rate_at(120 * 391) == pytest.approx(0.001)


def test_evaluates_at_the_cadence_and_at_the_end():
    settings = TrainingSettings.from_spec(SPEC | {"iterations": 10})
    assert [i for i in range(11) if settings.evaluates_at(i)] == [0, 4, 8, 10]


def test_evaluation_is_the_mean_over_the_whole_set_in_eval_mode(images):
    model = new_model()
    measured = evaluate(model, images, nullcontext)
    inputs, labels = next(images.in_batches(1000))
    logits = model.eval()(inputs).detach().double()
    assert measured["accuracy"] == (logits.argmax(1) == labels).double().mean().item()
    assert measured["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


class Features(torch.nn.Module):
    """Four features of an image, before an output layer that is registered last."""

    def __init__(self, size):
        super().__init__()
        self.size, self.fc = size, torch.nn.Linear(4, 4)

    def forward(self, x):
        brightest = x.flatten(1).max(dim=1).values
        seen = (x[:, 0, 0, 0] == x[0, 0, 0, 0]).float()  # not zero for the first image, whatever others are
        return self.fc(torch.stack([brightest, 0 * brightest, seen, -0.0 * brightest], dim=1) * self.size)


def test_features_that_are_zero_for_all_images_are_counted_over_batches(images, monkeypatch):
    monkeypatch.setattr("earlyphase.core.training.EVALUATION_BATCH", 16)
    assert evaluate(Features(1.0), images, nullcontext)["dead_features"] == 0.5
    assert evaluate(Features(0.0), images, nullcontext)["dead_features"] == 1
    assert math.isnan(evaluate(Features(math.nan), images, nullcontext)["dead_features"])
    model = new_model()
    with torch.no_grad():
        model.blocks[2].bn2.bias[:4] = -100
    found = evaluate(model, images, nullcontext)["dead_features"]
    with torch.no_grad():
        last = model.blocks(F.relu(model.bn(model.conv(images.normalise(images.pixels)))))
    assert found == (last.mean(dim=(2, 3)) == 0).all(dim=0).float().mean() >= 4 / 16
    assert not model.fc._forward_pre_hooks


def test_a_run_starts_from_its_training_whatever_the_model_holds(images):
    """The state of network and optimiser at its first iteration: so it ends as the run that came to them."""
    batch_at = shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at)
    whole = Run(
        Training(state_of(new_model()), range(12), batch_at, SETTINGS),
        new_model(),
        images,
        nullcontext,
        keep={6},
    )
    list(whole)
    weights, optimizer_state = whole.progress().states[6]
    other = new_model(initial_state(new_model(), 1))
    late = Training(weights, range(6, 12), batch_at, SETTINGS, optimizer_state=optimizer_state)
    run = Run(late, other, images, nullcontext)
    assert list(run) == list(range(6, 13))
    assert_same(run.progress().weights, whole.progress().weights)
    assert_same(run.progress().optimizer_state, whole.progress().optimizer_state)


@EACH
@pytest.mark.parametrize("k", [0, 6])
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(images, k, entry):
    """Weights, optimiser, evaluations, kept states and what an observer saw: as if nothing had happened."""
    settings = settings_with(entry, schedule={"function": "cosine", "warmup": 3})

    class Counter:
        def __init__(self):
            self.state = {"seen": np.zeros(13)}

        def observe(self, iteration, model):
            self.state = {"seen": self.state["seen"] + (np.arange(13) == iteration)}

    def new_run(observer):
        model = new_model()
        batch_at = shuffled_batches(images, 0, settings.batch_size, settings.augmentation_at)
        mask = random_mask(state_of(model), model)
        training = Training(state_of(model), range(12), batch_at, settings, mask)
        return Run(training, model, images, nullcontext, keep={1, 6, 12}, observer=observer)

    whole = new_run(Counter())
    for _ in whole:
        pass
    first, second = new_run(Counter()), new_run(Counter())
    for iteration in first:
        if iteration == k:
            break
    second.resume(first.progress())
    seen = list(second)
    assert seen == list(range(k, 13))
    expected, found = whole.progress(), second.progress()
    assert_same(expected.weights, found.weights)
    assert_same(expected.optimizer_state, found.optimizer_state)
    assert expected.rows == found.rows
    assert [row["iteration"] for row in found.rows] == [0, 4, 8, 12]
    assert expected.states.keys() == found.states.keys() == {1, 6, 12}
    for iteration in expected.states:
        for one, other in zip(expected.states[iteration], found.states[iteration], strict=True):
            assert_same(one, other)
    assert np.array_equal(found.seen["seen"], np.ones(13))


def test_the_loss_of_a_forward_pass_in_bfloat16_is_summed_in_float32(images):
    model = new_model().eval()
    with torch.no_grad(), autocast("bfloat16", "cpu"):
        logits = model(images.normalise(images.pixels))
    assert logits.dtype == torch.bfloat16
    loss = float(F.cross_entropy(logits.double(), images.labels))
    measured = evaluate(model, images, lambda: autocast("bfloat16", "cpu"))
    assert measured["loss"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("change", [{"epochs": 3}, {"momentum": None}])
def test_settings_with_an_unknown_or_missing_key_are_refused(change):
    spec = {key: value for key, value in (SPEC | change).items() if value is not None}
    with pytest.raises(InvalidInput, match=next(iter(change))):
        TrainingSettings.from_spec(spec)


def test_cuda_without_a_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="'cuda' was asked for"):
        prepare("cuda", "float32")
    assert prepare("auto", "float32").device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU ON THIS MACHINE: CUDA training is untested")
def test_cuda_training_keeps_pruned_weights_at_zero_and_agrees_with_the_cpu(rng):
    pixels, labels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8), rng.integers(0, 4, 70)
    half = np.full(3, 0.5, np.float32)
    losses = {}
    for device in ("cpu", "cuda"):
        model = new_model()
        mask = random_mask(state_of(model), model)
        images = Images.from_arrays(pixels, labels, half, half, torch.device(device))
        trained, _ = advance(model.to(device), images, mask=mask, stop=3)
        assert pruned_weights_are_zero(trained, mask)
        losses[device] = evaluate(model, images, nullcontext)["loss"]
    assert math.isclose(losses["cpu"], losses["cuda"], rel_tol=0.02)


ON_GPU = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU ON THIS MACHINE: CUDA graphs are untested"
)
LONG = TrainingSettings.from_spec(SPEC | {"iterations": 60, "milestones": [25, 40]})


def long_training(start, images, mask, settings=LONG):
    batch_at = shuffled_batches(images, 0, settings.batch_size, settings.augmentation_at)
    return Training(start, range(60), batch_at, settings, mask)


@ON_GPU
@EACH
@pytest.mark.parametrize("schedule", [None, {"function": "cosine", "warmup": 20}])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_gradient_replayed_as_a_graph_gives_the_bytes_of_one_that_python_launches(
    rng, precision, schedule, entry
):
    """With a smaller mini-batch in every epoch, which has a graph of its own; the rate is in none."""
    settings = settings_with(entry, iterations=60, milestones=[25, 40], schedule=schedule)
    use_precision(precision)
    pixels, labels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8), rng.integers(0, 4, 70)
    half = np.full(3, 0.5, np.float32)
    images = Images.from_arrays(pixels, labels, half, half, torch.device("cuda"))
    start, ends = state_of(new_model()), []
    mask = random_mask(start, new_model())
    context = partial(autocast, precision, "cuda")
    for graphs in (False, True):
        model = new_model(start).to("cuda")
        training = long_training(start, images, mask, settings)
        optimizer = MaskedOptimizer(model, mask, entry)
        backward = (backward_of if graphs else plain_backward)(model, optimizer, context)
        for _ in train(model, optimizer, training, context, backward=backward):
            assert pruned_weights_are_zero(state_of(model), mask)
        ends.append((state_of(model), optimizer.state))
    assert isinstance(backward, GraphedBackward) and len(backward.graphs) == 2
    assert_same(ends[0][0], ends[1][0])
    assert_same(ends[0][1], ends[1][1])


@ON_GPU
@pytest.mark.parametrize("stop", [1, 20, 41])
def test_a_resumed_run_on_a_gpu_ends_with_the_same_bytes(rng, stop):
    use_precision("float32")
    pixels, labels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8), rng.integers(0, 4, 70)
    half = np.full(3, 0.5, np.float32)
    images = Images.from_arrays(pixels, labels, half, half, torch.device("cuda"))
    start = state_of(new_model())
    mask = random_mask(start, new_model())
    ended = []
    for interrupted in (False, True):
        run = Run(long_training(start, images, mask), new_model(start).to("cuda"), images, nullcontext)
        for iteration in run:
            if interrupted and iteration == stop:
                progress = run.progress()
                run = Run(
                    long_training(start, images, mask), new_model(start).to("cuda"), images, nullcontext
                )
                run.resume(progress)
                for _ in run:
                    pass
                break
        ended.append(run.progress())
    assert_same(ended[0].weights, ended[1].weights)
    assert_same(ended[0].optimizer_state, ended[1].optimizer_state)
    assert ended[0].rows == ended[1].rows
