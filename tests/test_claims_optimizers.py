"""Adam, warm-up and ways to retrain: verdicts where the truth is known, what claims are told, and the figure."""

import numpy as np
import pytest
from pandas import concat

from assigned import CONFIG, configured
from earlyphase.errors import InvalidInput
from earlyphase.results.figures.retraining import WEIGHTS, retraining
from earlyphase.stages.figure import figures_of
from earlyphase.study.claims import facts_of
from earlyphase.study.configuration import overlaid
from test_claims import ABSENT, BAD, GOOD, PAPER, SHORT, UNSURE, make_tables, verdict

ADAM = SHORT | {"function": "lenet_300_100", "optimizer": "adam"}
WARM = SHORT | {"warmup": 200, "without_warmup": "plain"}
REWOUND = {0: 80.0, 100: 88.0, 500: 89.0}
CHAINS = [{"learning_rate_rewinding": "learning-rate rewinding"}, {"fine_tuning": "fine-tuning"}]


def retrained(**ways):
    """Tables of weight rewinding and of chains that are retrained in other ways, as accuracies by k."""
    tables = make_tables(REWOUND)
    chains = [
        make_tables(points, spread=-spread)["imp"].assign(criterion=way)
        for spread, (way, points) in enumerate(ways.items(), 1)
    ]
    return tables | ({"criteria": concat(chains)} if chains else {})


@pytest.mark.parametrize(
    ("points", "facts", "expected"),
    [
        ({0: 90.2}, ADAM, GOOD),  # rewinding late need not have been run
        ({0: 89.5}, ADAM, UNSURE),  # half a point is the edge
        ({0: 89.0}, ADAM, BAD),
        ({0: 90.2}, ADAM | {"optimizer": "sgd"}, ABSENT),
    ],
)
def test_with_adam_rewinding_to_0_is_judged_against_the_dense_network(points, facts, expected):
    assert verdict("O1", make_tables(points), facts) == expected


@pytest.mark.parametrize(
    ("points", "without", "facts", "expected"),
    [
        (90.0, 87.0, WARM, (GOOD, GOOD)),
        (88.0, 85.0, WARM, (BAD, GOOD)),  # it helps, and is not enough
        (90.0, 89.9, WARM, (GOOD, BAD)),  # it is enough, as is to have none
        (90.0, 87.0, WARM | {"without_warmup": None}, (GOOD, ABSENT)),
        (90.0, 87.0, WARM | {"warmup": 0}, (ABSENT, ABSENT)),
    ],
)
def test_a_warm_up_is_compared_with_the_same_network_without_it(points, without, facts, expected):
    """Whose dense network is 5 points worse, which is no part of what its ticket lacks."""
    own, other = make_tables({0: points}), make_tables({0: without - 5}, dense=85.0, spread=-1)
    tables = {name: concat([own[name], other[name].assign(model="zz")]) for name in own}
    facts = facts | ({"without_warmup": "zz"} if facts["without_warmup"] else {})
    readings = ("tickets match", "more than without it")
    assert tuple(verdict("O2", tables, facts, reading) for reading in readings) == expected


@pytest.mark.parametrize(
    ("rates", "tuned", "expected"),
    [
        ({0: 90.0, 100: 89.0, 500: 89.0}, {0: 87.0, 100: 86.0, 500: 85.0}, (GOOD, GOOD, GOOD)),
        ({0: 90.0, 100: 86.0}, {100: 86.0}, (BAD, GOOD, UNSURE)),  # at one k it falls short
        ({0: 79.5, 100: 88.0}, {100: 88.5}, (GOOD, BAD, BAD)),  # half a point of the 9 gained is nothing
        ({100: 89.0}, {0: 75.0}, (GOOD, ABSENT, ABSENT)),  # k = 0 is no late rewinding
        ({2000: 89.0}, {100: 87.0}, (ABSENT, GOOD, ABSENT)),  # no k that both were retrained from
    ],
)
def test_ways_to_retrain_are_compared_where_they_retrain_equally_long(rates, tuned, expected):
    tables = retrained(learning_rate_rewinding=rates, fine_tuning=tuned)
    readings = ("O3", ""), ("O4", "weight rewinding"), ("O4", "learning-rate rewinding")
    assert tuple(verdict(claim, tables, reading=reading) for claim, reading in readings) == expected


def test_without_other_chains_no_way_to_retrain_is_judged():
    assert verdict("O3", make_tables(PAPER)) == verdict("O4", retrained(fine_tuning={0: 80.0})) == ABSENT


def test_claims_are_told_of_the_optimiser_and_of_the_same_network_without_a_warm_up():
    steps = {"function": "steps", "milestones": [260, 340], "decay": 0.1}
    resnet = CONFIG["models"]["resnet8"]
    models = {
        "warm": resnet | {"training": {"schedule": steps | {"warmup": 200}}},
        "slow": resnet | {"training": {"schedule": steps | {"warmup": 200}, "learning_rate": 0.1}},
        "adam": resnet | {"training": {"optimizer": {"function": "adam"}}},
    }
    runs = [{"dataset": "photo_digits", "model": model} for model in ("resnet8", *models)]
    study = configured(overlaid(CONFIG, {"models": models, "runs": runs}))
    told = {run.model: facts_of(study.config, run, study.runs) for run in study.runs}
    assert {model: facts["optimizer"] for model, facts in told.items()} == {
        "resnet8": "sgd", "warm": "sgd", "slow": "sgd", "adam": "adam",
    }  # fmt: skip
    assert [model for model, facts in told.items() if "warmup" in facts] == ["warm", "slow"]
    assert (told["warm"]["warmup"], told["warm"]["without_warmup"]) == (200, "resnet8")
    assert told["slow"]["without_warmup"] is None  # its learning rate differs, too


def test_the_figure_of_retraining_has_a_panel_a_round_and_a_curve_a_way():
    tables = retrained(learning_rate_rewinding={0: 90.0, 500: 89.0}, fine_tuning={500: 85.0})
    figure, points = retraining(tables, chains=CHAINS)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["16.8 % of weights", "8.6 % of weights"]
    (lone,) = points[(points["round"] == 8) & (points["curve"] == "fine-tuning")].itertuples()
    assert (lone.retraining, lone.n) == (62560 - 500, 5) and lone.mean == pytest.approx(0.85)
    own = points[(points["round"] == 8) & (points["curve"] == WEIGHTS)]
    assert own["retraining"].tolist() == [62560, 62460, 62060] and np.isfinite(own["std"]).all()
    for ax in figure.axes:
        curves = [container.get_label() for container in ax.containers]
        assert curves == [WEIGHTS, "learning-rate rewinding", "fine-tuning"]
    with pytest.raises(InvalidInput, match="holds no chain of those to show"):
        retraining(tables, chains=[{"random": "random"}])


def test_a_study_without_such_chains_leaves_the_figure_out():
    for criterion, there in (("random", False), ("fine_tuning", True)):
        study = configured(overlaid(CONFIG, {"pruned_by": [{"criteria": [criterion], "rounds": 1}]}))
        assert ("retraining" in {job.names["figure"] for job in figures_of(study, study.runs[0])}) == there
