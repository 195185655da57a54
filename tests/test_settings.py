"""Settings of a training: short keys and entries, schedules, laws of initial weights, ways to retrain."""

import math

import numpy as np
import pytest
import torch

from earlyphase.core.initial import initial_std
from earlyphase.core.networks.lenet import conv
from earlyphase.core.networks.state import initial_state, prunable_names
from earlyphase.core.retraining import retraining
from earlyphase.core.settings import TrainingSettings
from earlyphase.errors import InvalidInput
from earlyphase.registry import schedule

SHORT = {
    "iterations": 100, "batch_size": 16, "learning_rate": 0.4, "milestones": [50, 75], "decay": 0.1,
    "momentum": 0.9, "weight_decay": 1e-3, "crop_padding": 2, "flip": True, "evaluate_every": 50,
}  # fmt: skip
ENTRIES = {
    "optimizer": {"function": "sgd", "momentum": 0.9},
    "schedule": {"function": "steps", "milestones": [50, 75], "decay": 0.1},
    "initialisation": {"function": "kaiming_normal"},
    "augmentation": {"function": "crop_and_flip", "padding": 2, "flip": True},
}
SHARED = ("iterations", "batch_size", "learning_rate", "weight_decay", "evaluate_every")


def settings(**changes):
    return TrainingSettings.from_spec(SHORT | changes)


def rates(chosen):
    return [chosen.learning_rate_at(iteration) for iteration in range(chosen.iterations)]


def test_short_keys_and_entries_say_the_same():
    spelt_out = TrainingSettings.from_spec({key: SHORT[key] for key in SHARED} | ENTRIES)
    assert spelt_out == settings() == settings(**dict.fromkeys(ENTRIES))  # null: as if it were not there
    assert settings(**ENTRIES | {"momentum": 0.1, "flip": False}) == settings()  # an entry comes first


@pytest.mark.parametrize("kind", ENTRIES)
def test_what_no_entry_says_must_be_said_by_the_short_keys(kind):
    keys = {"optimizer": ["momentum"], "schedule": ["milestones", "decay"], "augmentation": ["crop_padding"]}
    for key in keys.get(kind, []):
        without = {name: value for name, value in SHORT.items() if name != key}
        with pytest.raises(InvalidInput, match=f"training setting '{key}' is missing"):
            TrainingSettings.from_spec(without)
        TrainingSettings.from_spec(without | {kind: ENTRIES[kind]})


def test_all_functions_are_named_those_of_a_window_as_well():
    plain = settings()
    assert plain.functions() == {(kind, entry["function"]) for kind, entry in ENTRIES.items()}
    windowed = settings(later=[[5, {"optimizer": {"function": "adam"}}], [9, {"optimizer": None}]])
    assert windowed.functions() - plain.functions() == {("optimizer", "adam")}
    assert windowed.at(4).optimizer == windowed.at(9).optimizer == ENTRIES["optimizer"]
    assert windowed.at(5).optimizer == windowed.at(8).optimizer == {"function": "adam"}


@pytest.mark.parametrize("warmup", [0, 1, 10])
def test_steps_and_their_warm_up_are_those_of_openlth(warmup):
    """Its factors, `gamma ** bisect(milestones, it)` and `min(1, it / warmup)`, by a loop over milestones."""
    found = rates(settings(schedule=ENTRIES["schedule"] | {"warmup": warmup}))
    for iteration, rate in enumerate(found):
        passed = sum(milestone <= iteration for milestone in (50, 75))
        assert rate == pytest.approx(0.4 * 0.1**passed * min(1, iteration / warmup if warmup else 1))


@pytest.mark.parametrize("warmup", [0, 20])
def test_a_cosine_is_that_of_the_library(warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100 - warmup, eta_min=0.04)
    found = rates(settings(schedule={"function": "cosine", "warmup": warmup, "final": 0.1}))
    assert found[:warmup] == pytest.approx([0.4 * iteration / 20 for iteration in range(warmup)])
    for rate in found[warmup:]:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        annealed.step()


def test_a_cosine_ends_with_the_training_it_is_made_for_and_begins_anew_where_it_restarts():
    cosine = {"schedule": {"function": "cosine"}}
    longer = settings(**cosine, length=60)
    assert longer.learning_rate_at(30) == pytest.approx(0.2)
    assert rates(longer)[60:] == pytest.approx([0] * 40)
    restarted = settings(**cosine, length=60, restarts_at=40)
    assert rates(restarted)[:40] == rates(longer)[:40]
    assert rates(restarted)[40:] == rates(longer)[:60]
    assert set(rates(settings(schedule={"function": "constant"}))) == {0.4}


@pytest.mark.parametrize("name", schedule)
def test_every_schedule_is_a_function_of_the_iteration_within_0_and_1(name):
    arguments = {"milestones": [50, 75], "decay": 0.1} if name == "steps" else {}
    factors = [schedule[name](iteration, 100, warmup=10, **arguments) for iteration in range(200)]
    assert factors[0] == 0 and factors[10] == 1 and all(0 <= factor <= 1 for factor in factors)
    assert factors == [schedule[name](i, 100, warmup=10, **arguments) for i in reversed(range(200))][::-1]


LAWS = {
    "kaiming_normal": torch.nn.init.kaiming_normal_,
    "kaiming_uniform": torch.nn.init.kaiming_uniform_,
    "glorot_normal": torch.nn.init.xavier_normal_,
}


@pytest.mark.parametrize("name", LAWS)
def test_weights_have_the_law_of_the_library(name):
    """Standard deviation and largest value of each large tensor, against torch's own draw."""
    model = conv(3, 10, depth=2, width=32, size=16)
    state = initial_state(model, 0, entry={"function": name})
    torch.manual_seed(0)
    how = {} if name == "glorot_normal" else {"nonlinearity": "relu"}
    for weight in prunable_names(model):
        ours, theirs = state[weight], LAWS[name](torch.empty(state[weight].shape), **how).numpy()
        error = 5 / math.sqrt(2 * ours.size)
        assert ours.std() == pytest.approx(initial_std(ours.shape, {"function": name}), rel=error)
        assert ours.std() == pytest.approx(theirs.std(), rel=2 * error)
        assert abs(ours.mean()) < 5 * ours.std() / math.sqrt(ours.size)
        if name == "kaiming_uniform" and ours.size > 1000:
            assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)
    other = initial_state(model, 0)
    assert all(np.array_equal(state[key], other[key]) for key in state if key.endswith("bias"))


def test_ways_to_retrain_choose_weights_and_rates():
    rewound, trained = {"w": np.zeros(2)}, {"w": np.ones(2)}
    chosen = settings(later=[[60, {"weight_decay": 0}]])
    weights, same = retraining("weight_rewinding", rewound, trained, chosen)
    assert weights is rewound and same is chosen
    weights, same = retraining("learning_rate_rewinding", rewound, trained, chosen)
    assert weights is trained and same is chosen
    weights, tuned = retraining("fine_tuning", rewound, trained, chosen)
    assert weights is trained
    assert rates(tuned) == pytest.approx([0.4 * 0.01] * 100)
    assert [tuned.at(iteration).weight_decay for iteration in (59, 60)] == [1e-3, 0]
    assert (tuned.optimizer, tuned.augmentation) == (chosen.optimizer, chosen.augmentation)
    with pytest.raises(InvalidInput, match="retraining is 'none'; it must be one of weight_rewinding"):
        retraining("none", rewound, trained, chosen)
