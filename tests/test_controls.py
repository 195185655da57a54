"""Controls of lottery tickets: what a study may ask of them, how they are drawn and judged."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame, concat

from assigned import CONFIG, configured
from earlyphase.core.branches import Ticket, one_shot
from earlyphase.core.criteria import Pruning, magnitude
from earlyphase.core.masks import full_mask
from earlyphase.errors import InvalidInput
from earlyphase.results.figures.controls_of_pruning import ITERATIVE, controls_of_pruning
from earlyphase.results.figures.one_round import one_round
from earlyphase.results.figures.perturbed import perturbed
from earlyphase.results.summaries import early_stopping
from earlyphase.runtime.storage import load_mask, load_weights, save_weights
from earlyphase.study.jobs import all_jobs, job_of, names_of, tables_of
from test_claims import ABSENT, BAD, FULL, GOOD, SHARED, SHORT, UNSURE, jitter, verdict
from test_first_iterations import NAMES, folder, spec, state  # noqa: F401 - `folder` is a fixture
from test_first_iterations import job as carried_out
from test_workflow import NONE_PRETRAINED, SMOKE, Project

AT_0, LATE = "rewound to 0", "rewound late"


# the configuration


def changed(**settings):
    return CONFIG | settings


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"criteria": ["movment"]}, "pruned_by.0.criteria.0 is 'movment'.*did you mean 'movement'"),
        ({"criteria": ["magnitude"]}, "has 'magnitude', by which every run prunes"),
        ({"criteria": ["random"], "rounds": 0}, "pruned_by.0.rounds is 0, but must be a round"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_at_the_start(entry, message):
    with pytest.raises(InvalidInput, match=message):
        configured(changed(pruned_by=[entry]))
    with pytest.raises(InvalidInput, match="criteria lacks magnitude"):
        configured(changed(criteria={"magnitude": None}))


@pytest.mark.parametrize(("argument", "value"), [("scope", "filter"), ("batches", 0), ("batch", 3)])
def test_arguments_of_a_criterion_are_checked_at_the_start(argument, value):
    entry = {"function": "gradient_times_weight", argument: value}
    with pytest.raises(InvalidInput, match=rf"criteria\.mine\.{argument}|'{argument}' in criteria\.mine"):
        configured(changed(criteria=CONFIG["criteria"] | {"mine": entry}))


@pytest.mark.parametrize(("held_out", "fits"), [(8160, True), (8161, False)])
def test_images_to_hold_out_must_leave_a_mini_batch(held_out, fits):
    """Of 8,192, with mini-batches of 32."""
    config = changed(training=CONFIG["training"] | {"validation": held_out})
    if fits:
        assert configured(config).runs[0].training["validation"] == held_out
    else:
        with pytest.raises(InvalidInput, match=r"validation is 8161.*must not be above 8160"):
            configured(config)


def test_a_chain_has_its_own_place_and_table_and_leaves_the_others_as_they_are():
    before = configured(CONFIG)
    entries = [
        {"criteria": ["random", "movement"], "rewind_iterations": [20], "rounds": 2},
        {"criteria": ["random"], "rewind_iterations": [0, 20]},
    ]
    after = configured(changed(pruned_by=entries))
    rounds_before, rounds_after = (
        {job: job.stage.spec(job) for job in all_jobs(study, rules=["imp_round"])}
        for study in (before, after)
    )
    assert rounds_before.items() < rounds_after.items()
    for job in rounds_before:
        assert "criterion" not in rounds_before[job]["columns"]
        assert "/magnitude/" in job.outputs[0]
        assert "core.criteria.magnitude" in job.code_roots
    new = rounds_after.keys() - rounds_before.keys()
    assert len(new) == len(CONFIG["seeds"]) * (2 + CONFIG["rounds"] * 2)  # random at 20 stands there twice
    for job in new:
        criterion = job.names["criterion"]
        assert f"/{criterion}/" in job.outputs[0]
        assert rounds_after[job]["columns"]["criterion"] == criterion
        assert rounds_after[job]["criterion"] == after.config["criteria"][criterion]
        assert f"core.criteria.{criterion}" in job.code_roots
    run = after.runs[0]
    assert set(tables_of(after, run)) - set(tables_of(before, before.runs[0])) == {"criteria"}
    made_of, own, as_before = (
        (collect := job_of(study, "collect", names_of(run) | {"table": table})).stage.inputs(collect)["parts"]
        for study, table in ((after, "criteria"), (after, "imp"), (before, "imp"))
    )
    assert set(made_of) == {job.outputs[2] for job in new}
    assert own == as_before


# early stopping


def test_the_early_stopping_iteration_is_the_first_of_the_lowest_validation_loss():
    losses = {0: [3.0, 1.0, 1.0, 2.0], 1: [3.0, 2.0, 1.5, np.nan], 2: [np.nan, 4.0, 3.0, 2.0]}
    table = DataFrame(
        {"seed": seed, "iteration": 10 * i, "validation_loss": loss}
        for seed, row in losses.items()
        for i, loss in enumerate(row)
    )
    found = early_stopping(table.sample(frac=1, random_state=0), ["seed"]).set_index("seed")["stopping"]
    assert found[0] == 10
    assert np.isnan(found[1])  # diverged
    assert found[2] == 30
    without = early_stopping(table.drop(columns="validation_loss"), ["seed"])
    assert without["seed"].nunique() == len(without) == 3
    assert without["stopping"].isna().all()


# the figure

PERCENT = {ITERATIVE: 90, "one_shot": 80, "random_mask": 60, "dense": 92}


def row(seed, percent, *, stop=None, **run):
    """Evaluations of a run at 200 and 400; the validation loss is lowest at `stop`."""
    named = {"dataset": "digits", "model": "resnet8", "seed": seed, "task": "supervised"}
    for iteration in (200, 400):
        accuracy = (percent + seed) / 100 - (iteration == 200) * 0.1
        held_out = {} if stop is None else {"validation_loss": 0.1 + (iteration != stop)}
        yield named | run | {"iteration": iteration, "accuracy": accuracy, "loss": 0.3} | held_out


def figure_tables(*, stop=None):
    def table(percent, **names):
        runs = product(range(3), (0, 100), (1, 2))
        return [line for seed, k, r in runs
                for line in row(seed, percent, stop=stop, **names, k=k, round=r, density=0.64**r)]  # fmt: skip

    branches = [
        line for name in ("one_shot", "random_mask") for line in table(PERCENT[name], perturbation=name)
    ]
    return {
        "imp": DataFrame(table(PERCENT[ITERATIVE])),
        "perturbed": DataFrame(branches),
        "criteria": DataFrame(table(70, criterion="gradient_times_weight")),
        "dense": DataFrame(line for seed in range(3) for line in row(seed, PERCENT["dense"], stop=stop)),
    }


SHOW = [{"one_shot": "at once"}, {"random_mask": "at random"}, {"reinitialised": "fresh"}]


def test_every_control_is_a_curve_of_each_k():
    figure, points = controls_of_pruning(figure_tables(), show=SHOW)
    curves = ["dense", ITERATIVE, "at once", "at random", "iterative, by gradient times weight"]
    assert list(dict.fromkeys(points["curve"])) == curves
    assert len(points) == 1 + 2 * 2 * 4
    means = points.groupby("curve")["mean"].mean()
    assert 100 * means[curves].to_numpy() == pytest.approx([93, 91, 81, 61, 71])
    assert set(points["n"]) == {3}
    assert 100 * points["std"].to_numpy() == pytest.approx(1)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"resnet8, digits: k = {k}" for k in (0, 100)]
    assert "stopping" not in points


def test_with_a_validation_set_a_panel_beside_each_shows_when_training_should_have_stopped():
    figure, points = controls_of_pruning(figure_tables(stop=200), show=SHOW)
    assert len(figure.axes) == 4
    assert set(points["stopping"]) == {200}
    beside = figure.axes[1]
    assert beside.get_ylabel() == "Iteration of lowest validation loss"
    heights = [value for line in beside.lines if len(line.get_xdata()) == 2 for value in line.get_ydata()]
    assert set(np.round(heights, 6)) == {200}


def test_without_any_control_the_figure_says_so():
    tables = figure_tables()
    with pytest.raises(InvalidInput, match="controls_of_pruning: the table perturbed holds no run"):
        controls_of_pruning({"imp": tables["imp"], "dense": tables["dense"]}, show=SHOW)


def with_shuffles(tables):
    """The tables with one perturbation more, which only tickets of k = 100 have."""
    chosen = tables["perturbed"].query("k == 100 and perturbation == 'one_shot'")
    more = chosen.assign(perturbation="shuffle_layers")
    return tables | {"perturbed": concat([tables["perturbed"], more])}


def test_tickets_of_0_that_a_figure_does_not_show_give_it_no_panel():
    tables = with_shuffles(figure_tables())
    figure, points = perturbed(tables, show=[{"shuffle_layers": "shuffled"}])
    assert set(points["k"].dropna()) == {100}
    assert len(figure.axes) == 1


def test_one_row_alone_has_no_panel_beside_those_of_more():
    tables = with_shuffles(figure_tables())
    both = [{"one_shot": "at once"}, {"shuffle_layers": "shuffled"}]
    assert len(one_round(tables, round=1, show=both)[0].axes) == 1
    assert len(one_round(tables, round=1, show=both[:1])[0].axes) == 2


# the claims

TRUE = {"dense": 90.0, 0: 89.9, 100: 90.0, "one_shot": 88.0, "reinitialised": 85.0}


def claim_tables(levels, seeds=5, spread=1.0, rounds=(8, 11), at=(11,), ks=(0, 100)):
    """Accuracies in %: of the dense network, of tickets of each k, of controls at both ks."""

    def one(seed, name, percent, salt=0, **run):
        own = spread * jitter(1000 + salt + sum(map(ord, str(name))))[seed]
        accuracy = percent / 100 + SHARED[seed] + own
        named = {"dataset": "cifar10", "model": "resnet20", "seed": seed, "task": "supervised"}
        return named | run | {"iteration": 62560, "accuracy": accuracy, "loss": 0.3}

    controls = [name for name in levels if isinstance(name, str) and name != "dense"]
    return {
        "dense": DataFrame(one(seed, "dense", levels["dense"]) for seed in range(seeds)),
        "imp": DataFrame(
            one(seed, k, levels[k], k=k, round=r, density=0.8**r)
            for seed in range(seeds) for k in ks for r in rounds
        ),
        "perturbed": DataFrame(
            one(seed, name, levels[name], k + 1, k=k, round=r, density=0.8**r, perturbation=name)
            for seed in range(seeds) for k in ks for r in at for name in controls
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "levels", "expected"),
    [
        ("R6", TRUE | {0: 87.0}, {AT_0: BAD, LATE: GOOD}),
        ("R6", TRUE | {0: 80.0, 100: 95.0}, {AT_0: BAD, LATE: GOOD}),  # it exceeds the dense network
        (
            "R6",
            TRUE,
            {AT_0: GOOD, LATE: GOOD},
        ),  # where nothing is gained, a ticket may be unharmed all the same
        (
            "R6",
            TRUE | {0: 60.0, 100: 88.5},
            {AT_0: BAD, LATE: BAD},
        ),  # whatever is gained, 1.5 points are harm
        ("R7", TRUE, {AT_0: GOOD, LATE: GOOD}),
        ("R7", TRUE | {0: 80.0}, {AT_0: BAD, LATE: GOOD}),
        ("R8", TRUE, {AT_0: GOOD, LATE: GOOD}),
        ("R8", TRUE | {"one_shot": 95.0}, {AT_0: BAD, LATE: BAD}),
    ],
)
def test_verdicts_where_the_truth_is_known(claim, levels, expected):
    for study in (FULL, SHORT):
        for reading, said in expected.items():
            assert verdict(claim, claim_tables(levels), study, reading) == said, (study, reading)


def test_noise_decides_nothing():
    noisy = claim_tables(TRUE | {"one_shot": 90.0, "reinitialised": 90.0}, spread=30)
    for claim in ("R6", "R7", "R8"):
        assert verdict(claim, noisy, FULL, LATE) == UNSURE


def test_what_was_not_run_is_not_judged():
    dense = claim_tables(TRUE, rounds=(8, 9), at=(9,))  # 13.4 % of the weights
    assert verdict("R6", dense, FULL, LATE) == ABSENT
    late_only = claim_tables(TRUE)
    late_only["perturbed"] = late_only["perturbed"].query("k == 100")
    assert verdict("R7", late_only, FULL, AT_0) == ABSENT
    assert verdict("R7", late_only, FULL, LATE) == GOOD
    without = {name: table for name, table in late_only.items() if name != "perturbed"}
    for claim in ("R7", "R8"):
        assert verdict(claim, without, SHORT, LATE) == ABSENT


def test_the_sparsest_density_and_the_largest_k_of_a_control_count():
    tables = claim_tables(TRUE | {20: 90.0}, at=(8, 11), ks=(0, 20, 100))
    far = tables["perturbed"]["perturbation"] == "reinitialised"
    counts = (tables["perturbed"]["k"] == 100) & (tables["perturbed"]["round"] == 11)
    tables["perturbed"].loc[far & ~counts, "accuracy"] = 0.99
    assert verdict("R7", tables, FULL, LATE) == GOOD


# the workflow


def test_controls_criteria_and_a_validation_set_through_the_real_rules(tmp_path):
    """One-shot at the first round is the first round, bit for bit, and so are its evaluations."""
    project = Project(tmp_path)
    project.configure(
        **NONE_PRETRAINED, seeds=[0], rounds=2, rewind_iterations=[0, 4],
        training=SMOKE["training"] | {"validation": 64},
        perturbed=[
            {"rewind_iterations": [0, 4], "rounds": [1], "perturbations": ["one_shot"]},
            {"rewind_iterations": [4], "rounds": [2], "perturbations": ["random_mask", "random_mask_global"]},
        ],
        pruned_by=[{"criteria": ["gradient_times_weight", "magnitude_layers"], "rewind_iterations": [4]}],
        models={"tiny": {"function": "resnet", "depth": 8, "width": 2}},
    )  # fmt: skip
    tables = "results/tables/synthetic/tiny"
    wanted = [f"{tables}/{name}.csv" for name in ("imp", "perturbed", "criteria", "dense")]
    project.snakemake(*wanted, "results/figures/synthetic/tiny/controls_of_pruning.svg", "--cores", "2")
    read = {name: pd.read_csv(tmp_path / f"{tables}/{name}.csv") for name in ("imp", "perturbed", "criteria")}
    measured = ["accuracy", "loss", "validation_accuracy", "validation_loss"]
    at = ["k", "iteration"]
    once = read["perturbed"].query("perturbation == 'one_shot'").set_index(at)[measured].sort_index()
    first = read["imp"].query("round == 1").set_index(at)[measured].sort_index()
    assert set(once.index) == {
        (k, iteration) for k in (0, 4) for iteration in (0, 8, 16, 24) if iteration >= k
    }
    assert once.equals(first)
    of_layers = read["criteria"].query("criterion == 'magnitude_layers'")
    assert set(read["criteria"]["criterion"]) == {"gradient_times_weight", "magnitude_layers"}
    chain = tmp_path / "results/imp/synthetic/tiny/seed0/supervised/magnitude_layers/it4"
    for number in (1, 2):
        mask = load_mask(chain / f"round{number}/mask.safetensors")
        sizes = {name: kept.size for name, kept in mask.items()}
        for name, kept in mask.items():
            left = sizes[name]
            for _ in range(number):
                left -= round(CONFIG["prune_fraction"] * left)
            assert kept.sum() == left
        share = sum(int(kept.sum()) for kept in mask.values()) / sum(sizes.values())
        assert of_layers.query("round == @number")["density"].to_numpy() == pytest.approx(share)
    dense = tmp_path / "results/dense/synthetic/tiny/seed0/supervised"
    final, at_4, at_0 = (load_weights(dense / f"it{k}.safetensors")[0] for k in (24, 4, 0))
    mask = load_mask(
        tmp_path / "results/imp/synthetic/tiny/seed0/supervised/magnitude/it4/round1/mask.safetensors"
    )
    again = one_shot(Ticket(at_4, at_0, final, mask, 4, 1), 0).mask
    assert all(np.array_equal(again[name], mask[name]) for name in mask)
    assert json.loads((dense / "run.json").read_text())["spec"]["training"]["validation"] == 64


def test_a_collapsed_layer_is_in_the_table_and_in_the_log(folder, capsys):  # noqa: F811
    """Two of the layers of a small network have four weights each; 2 % of all are kept."""
    for k in (3, 8):
        save_weights(f"it{k}", state(seed=k), k)
    described = spec(
        columns=NAMES | {"k": 3, "round": 1}, criterion={"function": "magnitude"}, prune_fraction=0.98
    )
    outputs = {"mask": "mask", "weights": "weights", "metrics": "metrics.csv", "run": "run.json"}
    assert not carried_out("imp_round", described, {"rewind": "it3", "weights": "it8"}, outputs)
    empty = [name for name, kept in load_mask("mask").items() if not kept.any()]
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "layer collapse" in line]
    assert empty and all(name in said for name in empty)
    assert set(pd.read_csv("metrics.csv")["empty_layers"]) == {len(empty)}


def test_one_shot_and_the_criterion_of_rounds_are_the_same_function(rng):
    weights = {"w": rng.standard_normal((30, 20)).astype(np.float32)}
    every = full_mask(weights, ["w"])
    first = magnitude(Pruning(weights, weights, every, 0.36), 0)
    assert np.array_equal(one_shot(Ticket(weights, weights, weights, first, 0, 1), 0).mask["w"], first["w"])
