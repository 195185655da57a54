import math
import subprocess
import sys
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from earlyphase.core.images import Images, shuffled_batches
from earlyphase.core.masks import full_mask, prune_by_magnitude
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state, prunable_names, state_of
from earlyphase.core.optimizer import MaskedSGD
from earlyphase.core.precision import autocast, use_precision
from earlyphase.core.steps import GraphedStep, plain_step, step_of
from earlyphase.core.training import (
    Run,
    Training,
    TrainingSettings,
    evaluate,
    pruned_weights_are_zero,
    train,
)
from earlyphase.errors import InvalidInput
from earlyphase.runtime.execution import prepare

SPEC = {
    "iterations": 12, "batch_size": 16, "learning_rate": 0.1, "milestones": [6, 9], "decay": 0.1,
    "momentum": 0.9, "weight_decay": 1e-3, "crop_padding": 1, "flip": True, "evaluate_every": 4,
}  # fmt: skip
SETTINGS = TrainingSettings.from_spec(SPEC)


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


def advance(model, images, *, start=0, stop=12, mask=None, velocity=None, observe=lambda i: None):
    optimizer = MaskedSGD(model, mask, SETTINGS.momentum)
    if velocity:
        optimizer.velocity = velocity
    batch_at = shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at)
    training = Training(state_of(model), range(start, stop), batch_at, SETTINGS, mask, velocity)
    for iteration in train(model, optimizer, training, nullcontext):
        observe(iteration)
    return state_of(model), optimizer.velocity


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


def test_one_step_is_that_of_the_library_bit_for_bit(images):
    model, plain = new_model(), new_model()
    ours = MaskedSGD(model, None, momentum=0.9)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, foreach=False)
    for seed in range(3):  # the same gradients for both, so that only the update is compared
        generator = torch.Generator().manual_seed(seed)
        targets = {name: torch.randn(p.shape, generator=generator) for name, p in plain.named_parameters()}
        ours.step(sum((p * targets[name]).sum() for name, p in model.named_parameters()), 0.1, 1e-3)
        optimizer.zero_grad()
        sum((p * targets[name]).sum() for name, p in plain.named_parameters()).backward()
        optimizer.step()
    assert_same(state_of(model), state_of(plain))


def test_a_training_job_does_not_import_the_compiler():
    """It takes two seconds, in every job, and `torch.optim` imports it."""
    code = (
        "import sys, earlyphase.stages._training, earlyphase.core.optimizer as o, earlyphase.core.networks.resnet as m;"
        "o.MaskedSGD(m.resnet(3, 4, depth=8, width=4), None, 0.9);"
        "print([name for name in ('torch._dynamo', 'torchvision', 'snakemake') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_same_run_twice_is_the_same_bit_for_bit(images):
    assert_same(advance(new_model(), images)[0], advance(new_model(), images)[0])


@pytest.mark.parametrize("k", [0, 1, 5, 11])
def test_a_run_from_k_with_the_momentum_of_k_equals_the_uninterrupted_run(images, k):
    whole, _ = advance(new_model(), images)
    state, velocity = advance(new_model(), images, stop=k)
    kept = full_mask(state, prunable_names(new_model()))
    resumed, _ = advance(new_model(state), images, start=k, mask=kept, velocity=velocity)
    assert_same(whole, resumed)


def test_momentum_matters_to_a_run_from_k(images):
    whole, _ = advance(new_model(), images)
    state, _ = advance(new_model(), images, stop=5)
    rewound, _ = advance(new_model(state), images, start=5)
    assert not np.array_equal(whole["conv.weight"], rewound["conv.weight"])


def test_pruned_weights_are_exactly_zero_at_every_yield(images):
    model = new_model()
    mask = random_mask(state_of(model), model)
    seen = []

    def observe(iteration):
        state = state_of(model)
        assert pruned_weights_are_zero(state, mask)
        assert all(np.any(state[name][kept]) for name, kept in mask.items())
        seen.append(iteration)

    advance(model, images, mask=mask, observe=observe)
    assert seen == list(range(13))


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


def test_learning_rate_drops_at_each_milestone():
    rates = [SETTINGS.learning_rate_at(i) for i in range(12)]
    assert rates == pytest.approx([0.1] * 6 + [0.01] * 3 + [0.001] * 3)


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


def test_training_learns(images):
    model = new_model()
    before = evaluate(model, images, nullcontext)["loss"]
    advance(model, images)
    settings = TrainingSettings.from_spec(SPEC | {"learning_rate": 0.05, "milestones": [], "weight_decay": 0})
    training = Training(state_of(model), range(150), shuffled_batches(images, 0, 70), settings)
    for _ in train(model, MaskedSGD(model, None, 0.9), training, nullcontext):
        pass
    after = evaluate(model, images, nullcontext)
    assert after["loss"] < before / 2
    assert after["accuracy"] > 0.9


def test_a_run_starts_from_its_training_whatever_the_model_holds(images):
    """The state and the momentum at its first iteration: so it ends as the run that came to them."""
    batch_at = shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at)
    whole = Run(
        Training(state_of(new_model()), range(12), batch_at, SETTINGS),
        new_model(),
        images,
        nullcontext,
        keep={6},
    )
    list(whole)
    weights, velocity = whole.progress().states[6]
    other = new_model(initial_state(new_model(), 1))
    late = Training(weights, range(6, 12), batch_at, SETTINGS, velocity=velocity)
    run = Run(late, other, images, nullcontext)
    assert list(run) == list(range(6, 13))
    assert_same(run.progress().weights, whole.progress().weights)
    assert_same(run.progress().velocity, whole.progress().velocity)


@pytest.mark.parametrize("k", [0, 1, 6, 11])
def test_a_run_that_was_set_down_ends_as_one_that_was_not(images, k):
    """State, momentum, evaluations, kept states and what an observer saw: all as if nothing had happened."""

    class Counter:
        def __init__(self):
            self.state = {"seen": np.zeros(13)}

        def observe(self, iteration, model):
            self.state = {"seen": self.state["seen"] + (np.arange(13) == iteration)}

    def new_run(observer):
        model = new_model()
        batch_at = shuffled_batches(images, 0, SETTINGS.batch_size, SETTINGS.augmentation_at)
        mask = random_mask(state_of(model), model)
        training = Training(state_of(model), range(12), batch_at, SETTINGS, mask)
        return Run(training, model, images, nullcontext, keep={1, 6, 12}, observer=observer)

    whole = new_run(Counter())
    for _ in whole:
        pass
    first, second = new_run(Counter()), new_run(Counter())
    for iteration in first:
        if iteration == k:
            break
    second.take_up(first.progress())
    seen = list(second)
    assert seen == list(range(k, 13))
    expected, found = whole.progress(), second.progress()
    assert_same(expected.weights, found.weights)
    assert_same(expected.velocity, found.velocity)
    assert expected.rows == found.rows
    assert [row["iteration"] for row in found.rows] == [0, 4, 8, 12]
    assert expected.states.keys() == found.states.keys() == {1, 6, 12}
    for iteration in expected.states:
        for one, other in zip(expected.states[iteration], found.states[iteration], strict=True):
            assert_same(one, other)
    assert np.array_equal(found.seen["seen"], np.ones(13))


def test_bfloat16_keeps_float32_weights_and_stays_close(images):
    model = new_model()
    exact = evaluate(model, images, nullcontext)["loss"]
    assert evaluate(model, images, lambda: autocast("bfloat16", "cpu"))["loss"] == pytest.approx(
        exact, rel=0.05
    )
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


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


def long_training(start, images, mask, first=0, velocity=None):
    batch_at = shuffled_batches(images, 0, LONG.batch_size, LONG.augmentation_at)
    return Training(start, range(first, 60), batch_at, LONG, mask, velocity)


@ON_GPU
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_step_replayed_as_a_graph_gives_the_bytes_of_one_that_python_launches(rng, precision):
    """Over two milestones and with a smaller mini-batch in every epoch, each a graph of its own."""
    use_precision(precision)
    pixels, labels = rng.integers(0, 256, (70, 3, 8, 8), dtype=np.uint8), rng.integers(0, 4, 70)
    half = np.full(3, 0.5, np.float32)
    images = Images.from_arrays(pixels, labels, half, half, torch.device("cuda"))
    start, ends = state_of(new_model()), []
    mask = random_mask(start, new_model())
    context = partial(autocast, precision, "cuda")
    for graphs in (False, True):
        model = new_model(start).to("cuda")
        training = long_training(start, images, mask)
        optimizer = MaskedSGD(model, mask, LONG.momentum)
        step = step_of(model, optimizer, context) if graphs else plain_step(model, optimizer, context)
        for _ in train(model, optimizer, training, context, step=step):
            assert pruned_weights_are_zero(state_of(model), mask)
        ends.append((state_of(model), optimizer.velocity))
    assert isinstance(step, GraphedStep) and len(step.graphs) >= 4  # each rate, and the smaller mini-batch
    assert_same(ends[0][0], ends[1][0])
    assert_same(ends[0][1], ends[1][1])


@ON_GPU
@pytest.mark.parametrize("stop", [1, 20, 41])
def test_a_run_on_a_gpu_that_was_set_down_ends_with_the_same_bytes(rng, stop):
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
                run.take_up(progress)
                for _ in run:
                    pass
                break
        ended.append(run.progress())
    assert_same(ended[0].weights, ended[1].weights)
    assert_same(ended[0].velocity, ended[1].velocity)
    assert ended[0].rows == ended[1].rows
