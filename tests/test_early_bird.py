"""Early-bird tickets: distances of masks against loops over single weights."""

import numpy as np
import pytest
from pandas import DataFrame, read_csv

from assigned import read_study
from earlyphase.core.early_bird import distances_of_masks
from earlyphase.core.masks import full_mask, gather_kept
from earlyphase.core.networks.state import initial_state
from earlyphase.core.networks.vgg import vgg
from earlyphase.results.figures import figure, render
from earlyphase.runtime.storage import load_mask, save_weights
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import all_jobs
from test_claims import verdict
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, job, spec  # noqa: F401 - `folder` is a fixture


def states(rng):
    return {
        time: {"a": rng.standard_normal((3, 4)).astype(np.float32), "b": rng.standard_normal((2, 5)).astype(np.float32)}
        for time in (0, 3, 9)
    }  # fmt: skip


def kept(weights, pruned):
    """Places of the weights that pruning keeps, by sorting all of them."""
    places = [
        (abs(value), name, place) for name in weights for place, value in enumerate(weights[name].ravel())
    ]
    return {place[1:] for place in sorted(places)[round(pruned * len(places)) :]}


@pytest.mark.parametrize("pruned", [0.3, 0.75])
def test_distances_are_the_share_of_weights_that_one_mask_alone_keeps(rng, pruned):
    given = states(rng)
    masks = {time: kept(weights, pruned) for time, weights in given.items()}
    rows = DataFrame(distances_of_masks(given, pruned)).set_index("iteration")
    assert rows["distance_final"].tolist() == [len(masks[time] ^ masks[9]) / 22 for time in (0, 3, 9)]
    assert rows["distance_before"].tolist()[1:] == [
        len(masks[3] ^ masks[0]) / 22,
        len(masks[9] ^ masks[3]) / 22,
    ]
    assert np.isnan(rows.loc[0, ["before", "distance_before"]]).all()
    assert rows["before"].tolist()[1:] == [0, 3]


def test_independent_masks_differ_by_chance_and_a_diverged_state_has_none(rng):
    many = {time: {"a": rng.standard_normal((400, 400))} for time in (0, 1)}
    assert distances_of_masks(many, 0.3)[0]["distance_final"] == pytest.approx(2 * 0.3 * 0.7, abs=0.01)
    many[0]["a"][0, 0] = np.nan
    assert np.isnan(distances_of_masks(many, 0.3)[0]["distance_final"])


@pytest.mark.parametrize("pruned", [0.3, 0.75])
def test_the_stage_compares_the_masks_of_the_first_round(folder, pruned):  # noqa: F811
    """Of VGG, whose output layer is not pruned, by the job that prunes rounds."""
    named, roots = (
        {"model": {"function": "vgg", "depth": 11, "width": 2}},
        {"roots": ["core.networks.vgg.vgg"]},
    )
    masks = {}
    for time in (0, 3, 8):
        save_weights(f"s{time}", initial_state(vgg(3, 4, depth=11, width=2), seed=time), time)
        round_1 = spec(
            **named, columns=NAMES | {"k": 0, "round": 1},
            criterion={"function": "magnitude"}, prune_fraction=pruned,
        )  # fmt: skip
        outputs = {role: f"{role}{time}" for role in ("mask", "weights", "metrics", "run")}
        assert not job("imp_round", round_1, {"rewind": "s0", "weights": f"s{time}"}, outputs, **roots)
        mask = load_mask(f"mask{time}")
        masks[time] = gather_kept(mask, full_mask(mask, list(mask)))
    described = spec(**named, pruned=[pruned])
    assert not job("early_bird", described, {"states": ["s3", "s0", "s8"]}, {"table": "t.csv"}, **roots)
    rows = read_csv("t.csv")
    assert rows["iteration"].tolist() == [0, 3, 8] and rows["pruned"].tolist() == [pruned] * 3
    assert rows["distance_final"].tolist() == [(masks[time] != masks[8]).mean() for time in masks]


def test_it_reads_every_kept_state_and_is_left_out_where_nothing_is_pruned():
    one = read_study(early_bird={"pruned": [0.5]})
    (run,), chosen = one.runs, list(all_jobs(one, rules=["early_bird"]))
    assert len(chosen) == len(run.seeds)
    assert len(chosen[0].inputs) == len(one.kept_iterations(run)) + 2  # the end and the data set besides
    none = read_study(early_bird={"pruned": []})
    assert not list(all_jobs(none, rules=["early_bird"]))
    assert any(" early_bird" in sentence for sentence in left_out(none))


def table(late=0.05):
    distances = {0: (np.nan, 0.4), 50: (0.3, 0.2), 100: (0.08, late), 400: (0.01, 0.0)}
    rows = [
        NAMES | {
            "seed": seed, "pruned": pruned, "iteration": time, "before": np.nan if time == 0 else 0,
            "distance_before": before + 0.001 * seed, "distance_final": final + 0.001 * (2 * seed % 3),
        }
        for seed in range(3) for pruned in (0.3, 0.5) for time, (before, final) in distances.items()
    ]  # fmt: skip
    return {"early_bird": DataFrame(rows)}


def test_the_claim_is_judged_at_the_first_time_after_its_share_of_training():
    assert (
        verdict("B1", table())
        == verdict("B1", table(), reading="from the mask of the time before")
        == "reproduced"
    )
    assert verdict("B1", table(late=0.15)) == "not reproduced"
    assert verdict("B1", table(), share=0.1) == "not reproduced"
    assert verdict("B1", table(), share=1.0) == "not run: not configured"


def test_the_figure_shows_means_over_seeds():
    drawn, points = figure["early_bird"](table())
    shown = points[(points["curve"] == "distance_final") & (points["pruned"] == 0.3)].set_index("iteration")
    assert shown["mean"][50] == pytest.approx(0.2 + 0.001)
    assert len(points) == 2 * (4 + 3)
    assert render(drawn, "svg")
    check_declaration("early_bird", table())
